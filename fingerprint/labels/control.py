"""Labels beside the base control. A label that the base earns too describes the text that both read."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from fingerprint.labels.label import Label

CORPUS = "corpus, not author"


def mark_corpus(labels: Sequence[Label], control: Sequence[Label]) -> list[Label]:
    """Labels with ``is_corpus`` set where any label of the control says the same, whatever its component."""
    by_term: defaultdict[str, set[int]] = defaultdict(set)
    for position, label in enumerate(control):
        for term in label.terms:
            by_term[term].add(position)

    def is_found(label: Label) -> bool:
        near = {position for term in label.terms for position in by_term[term]}
        return any(label.is_like(control[position]) for position in near)

    return [replace(label, is_corpus=is_found(label)) for label in labels]
