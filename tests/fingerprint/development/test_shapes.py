"""Detectors on curves whose shape is known."""

from __future__ import annotations

import numpy as np
import pytest

from fingerprint import FingerprintError
from fingerprint.development.influence import Estimate
from fingerprint.development.shapes import Point, monotonicity, peaks, sign_flips


def curve(values: list[float], se: float) -> list[Point]:
    return [Point(10 * i, Estimate(float(v), se, 2 * se, 8)) for i, v in enumerate(values)]


def test_a_flip_needs_both_sides_sure():
    assert sign_flips(curve([-3, -2, 0.5, 2, 3], se=0.5)) == [(10, 30)]
    assert sign_flips(curve([-3, 0.9, -2], se=0.5)) == []
    assert sign_flips(curve([-3, 3, -3], se=0.5)) == [(0, 10), (10, 20)]
    assert sign_flips(curve([1, 2, 3], se=0.1)) == []


def test_a_peak_stands_above_both_neighbours():
    assert peaks(curve([0, 3, 0], se=0.5)) == [(10, "peak")]
    assert peaks(curve([0, -3, 0], se=0.5)) == [(10, "trough")]
    assert peaks(curve([0, 3, 2.5], se=0.5)) == []
    assert peaks(curve([0, 1.4, 0], se=0.5)) == []  # 1.4 is 1.98 errors of a difference
    assert peaks(curve([0, 1.42, 0], se=0.5)) == [(10, "peak")]


def test_monotone_curves_fit_and_others_do_not():
    falling = monotonicity(curve([5, 4, 3.1, 3.2, 1, 0], se=0.3))
    assert falling.direction == "falling"
    assert falling.p_value > 0.2
    humped = monotonicity(curve([0, 3, 6, 3, 0], se=0.3))
    assert humped.p_value < 0.01


def test_noise_around_a_monotone_curve_is_rarely_called_otherwise():
    rng = np.random.default_rng(0)
    truth = np.array([0, 1, 2, 3, 4, 4.5])
    found = [
        monotonicity(curve(list(truth + 0.5 * rng.standard_normal(6)), 0.5), n_draws=100, seed=i).p_value
        for i in range(40)
    ]
    assert np.mean(np.array(found) < 0.05) <= 0.15


def test_what_cannot_be_tested_is_refused():
    with pytest.raises(FingerprintError, match="three checkpoints"):
        monotonicity(curve([1, 2], se=0.1))
    with pytest.raises(FingerprintError, match="errors above 0"):
        monotonicity(curve([1, 2, 3], se=0.0))
