from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from fingerprint.evaluation.sign_flips import draw_clusters, mean_intervals, sign_flip_p_values


def exact(column: np.ndarray) -> float:
    """Share of all sign patterns whose |sum| reaches the observed one."""
    sums = np.abs([np.dot(signs, column) for signs in product((-1.0, 1.0), repeat=len(column))])
    return float((sums >= abs(column.sum()) * (1 - 1e-9)).mean())


def test_p_values_are_those_of_all_sign_patterns():
    rng = np.random.default_rng(0)
    values = np.column_stack([rng.normal(0.4, 1, 9), rng.integers(-2, 5, 9), np.zeros(9)])
    found = sign_flip_p_values(values, n_flips=40_000, false_discoveries=0.05, seed=0)
    assert found == pytest.approx([exact(column) for column in values.T], abs=0.01)
    assert found[2] == 1


def test_fractions_that_all_agree_reach_the_floor_of_their_number():
    """Tenths do not add up exactly: without a tolerance the pattern of all signs flipped would be missed."""
    found = sign_flip_p_values(np.full((5, 1), 0.1), n_flips=20_000, false_discoveries=0.05, seed=0)
    assert found[0] == pytest.approx(2 / 2**5, abs=0.01)


def test_intervals_of_a_mean_cover_it():
    covered, sizes = 0, np.full(40, 10.0)
    for seed in range(200):
        totals = np.random.default_rng(seed).normal(5.0, 2.0, (40, 1))
        low, high = mean_intervals(totals, sizes, draw_clusters(40, 400, seed), 0.95)
        covered += bool(low[0] <= 0.5 <= high[0])
    assert 0.88 <= covered / 200 <= 0.99
