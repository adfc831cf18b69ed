"""The curve over bases: paired on the same hunks, refused on others."""

from __future__ import annotations

import numpy as np
import pytest

from fingerprint.evaluation.systems import ALM, B6, SITES
from fingerprint.evaluation.tables import ClosedSet
from service.flows.evaluation.backend import Donation
from service.flows.evaluation.bases import BasesError, gain


def donated(n: int, skill: float) -> Donation:
    """Commits of four hunks, two authors; perplexity tells them with so much skill, B6 not at all."""
    labels = np.arange(n) % 2
    noise = np.random.default_rng(0).normal(size=(n, 2))
    own = noise + skill * np.eye(2)[labels]
    closed = ClosedSet(labels, tuple(str(i // 4) for i in range(n)), np.ones(n), 50)
    return Donation("one", {}, {}, labels, closed, {ALM: own, SITES: own, B6: noise})


def test_what_a_base_gains_is_paired_with_the_first() -> None:
    large, small = donated(48, 3.0), donated(48, 0.2)
    assert gain(large, large) == ()
    found = gain(small, large)
    assert [(row.first, row.unit) for row in found] == [
        (name, unit) for name in (ALM, SITES) for unit in ("hunk", "commit")
    ]
    assert all(row.second == f"{row.first}, under the first base" for row in found)
    assert all((row.auroc.value or 0) < 0 for row in found)


def test_other_hunks_are_refused() -> None:
    with pytest.raises(BasesError, match="the same hunks under every base"):
        gain(donated(48, 1.0), donated(44, 1.0))
