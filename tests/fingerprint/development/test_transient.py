"""t_crit on planted curves, and no transient where there is none."""

from __future__ import annotations

import numpy as np
import pytest

from fingerprint.development.transient import TransientError, find_minimum

STEPS = tuple(2**i for i in range(10))


def curves(shape: np.ndarray, n: int = 200, noise: float = 0.3, seed: int = 0) -> np.ndarray:
    """Units differ in level and answer to the curve with noise of their own."""
    rng = np.random.default_rng(seed)
    return shape[:, None] + rng.standard_normal(n) + noise * rng.standard_normal((len(shape), n))


def test_a_planted_dip_is_found_with_its_depth():
    shape = np.abs(np.arange(10) - 5.0) * 0.1
    reading = find_minimum(STEPS, curves(shape), n_draws=400)
    assert reading.step == STEPS[5] and reading.low <= reading.step <= reading.high
    assert reading.rise.low < 0.4 < reading.rise.high
    assert reading.is_transient


def test_a_falling_curve_is_not_transient():
    reading = find_minimum(STEPS, curves(-np.arange(10) * 0.1), n_draws=400)
    assert reading.step == STEPS[-1] and not reading.is_transient


def test_flat_curves_give_a_rise_of_about_zero_and_the_nominal_rate_of_false_transients():
    """The naive rise of the same curves is always positive: the minimum was chosen on them."""
    readings = [find_minimum(STEPS, curves(np.zeros(10), 60, 1.0, s), n_draws=200) for s in range(60)]
    naive = [np.ptp(curves(np.zeros(10), 60, 1.0, s).mean(1)) for s in range(60)]
    mean = np.mean([reading.rise.value for reading in readings])
    assert abs(mean) < 0.08 < np.mean(naive)
    assert sum(reading.is_transient for reading in readings) <= 7


def test_too_little_is_refused():
    with pytest.raises(TransientError, match="8 units"):
        find_minimum(STEPS, np.zeros((10, 7)))
    with pytest.raises(TransientError, match="three checkpoints"):
        find_minimum((0, 1), np.zeros((2, 20)))
