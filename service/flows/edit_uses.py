"""On which tokens the edits of an adapter open, in words, beside a null adapter's edits on the same text."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fingerprint.harvest.store import Component
from fingerprint.labels.control import mark_corpus
from fingerprint.labels.label import Label
from fingerprint.labels.offline import label_tokens
from fingerprint.passage import Passage
from fingerprint.vpd.report import EditUse

if TYPE_CHECKING:
    from fingerprint.lm.load import Base
    from fingerprint.vpd.targets import TokenTarget
    from fingerprint.vpd.train import Decomposition

MOST_USES = 20
"""Edits told of."""
Runs = Mapping[str, "tuple[TokenTarget, Decomposition]"]
"""The adapter's own decomposition first, then null adapters'."""


def read_uses(base: Base, runs: Runs, passages: Sequence[Passage]) -> tuple[tuple[EditUse, ...], int, int]:
    """The adapter's edits whose tokens tell, the most open first; how many open untold; tokens read.

    Edits that are open nearly everywhere would come first by any measure of use, and say nothing of where.
    Counts are kept, no window of code: the report may be older than somebody's wish to be forgotten.

    Raises:
        FingerprintError: nothing in the passages is marked.
    """
    own, *nulls = (_components(base, target, found, passages) for target, found in runs.values())
    components, n_tokens = own
    control = [label for others, _ in nulls for label in _labels(others)]
    marked = {label.component: label for label in mark_corpus(_labels(components), control)}
    used = sorted(components, key=lambda one: -one.n_firings * (one.mean_strength or 0.0))
    used = [one for one in used if one.n_firings]
    told = [one for one in used if marked[one.number].is_clear]
    uses = tuple(_use(one, marked[one.number]) for one in told[:MOST_USES])
    return uses, len(used) - len(told), n_tokens


def _components(
    base: Base, target: TokenTarget, found: Decomposition, passages: Sequence[Passage]
) -> tuple[list[Component], int]:
    """Every edit on the passages' scored tokens, and how many these are."""
    from fingerprint.harvest.collect import harvest
    from fingerprint.harvest.sources import VpdSource

    with tempfile.TemporaryDirectory() as place:
        kept = harvest(VpdSource(target, found), base, passages, Path(place) / "harvest")
        return list(kept.components(0, kept.n_components)), int(kept.facts["n_counted"])


def _labels(components: Sequence[Component]) -> list[Label]:
    return [label_tokens(one) for one in components]


def _use(one: Component, label: Label) -> EditUse:
    return EditUse(
        matrix=one.group, component=one.index, density=one.density, gate=one.mean_strength or 0.0,
        words=label.text, is_nulls_too=label.is_corpus,
    )  # fmt: skip
