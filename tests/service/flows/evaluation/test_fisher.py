"""A null of shuffled authors is one only where commits change hands."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np

from fingerprint.evaluation.protocol import Sample
from fingerprint.passage import passage_from_lines
from service.flows.evaluation.fisher import PlacedTexts

QUARTER = 91 * 86_400.0


def samples(when: dict[str, float]) -> list[Sample]:
    """Thirty commits of each author, all within days of the time given."""
    found = []
    for author, start in when.items():
        for i in range(30):
            passage = passage_from_lines(
                [(True, "x")], path="a.py", language="python", group=f"{author}{i}", author=author,
                written_at=start + 3600.0 * i,
            )  # fmt: skip
            found.append(Sample((passage,), passage.marked))
    return found


def placed(authors: tuple[str, ...]) -> PlacedTexts:
    material = SimpleNamespace(
        authors=authors,
        labels=lambda chosen: np.array([authors.index(s.passages[0].author) for s in chosen]),
    )
    setup = SimpleNamespace(material=material, config=SimpleNamespace(fisher_samples=100))
    return PlacedTexts(cast(Any, setup), {}, np.zeros((0, 1)), {})


def test_authors_of_one_quarter_change_places() -> None:
    labels = placed(("ann", "bob")).shuffled(samples({"ann": 10 * QUARTER, "bob": 10 * QUARTER}), 0)
    assert labels is not None
    assert sorted(labels.tolist()) == [0] * 30 + [1] * 30
    assert 0.2 < np.mean(labels == np.repeat([0, 1], 30)) < 0.8


def test_authors_of_different_years_have_no_null() -> None:
    assert placed(("ann", "bob")).shuffled(samples({"ann": 10 * QUARTER, "bob": 20 * QUARTER}), 0) is None
