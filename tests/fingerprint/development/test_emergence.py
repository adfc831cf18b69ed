"""Curves of known kind are called by it, and nothing is called sharper than its checkpoints allow."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

from fingerprint import FingerprintError
from fingerprint.development.emergence import fit_emergence

STEPS = [2**i for i in range(12)]
X = np.log2(STEPS)
ERROR = 0.03


def curve(kind: str, rng: np.random.Generator) -> np.ndarray:
    if kind == "logistic":
        return 0.5 + rng.uniform(0.3, 0.45) * expit((X - rng.uniform(3, 8)) / rng.uniform(0.2, 0.7))
    if kind == "linear":
        return 0.5 + rng.uniform(0.02, 0.04) * X
    return np.full(len(X), rng.uniform(0.5, 0.9))


@pytest.mark.parametrize("kind", ["constant", "linear", "logistic"])
def test_curves_are_classified(kind) -> None:
    """At least 95 of 100 of each kind, 12 checkpoints, a standard error of .03."""
    n_right = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        values = curve(kind, rng) + ERROR * rng.standard_normal(len(X))
        n_right += fit_emergence(STEPS, values, np.full(len(X), ERROR), n_draws=1).model == kind
    assert n_right >= 95


def test_t50_lies_in_its_interval() -> None:
    """Nominal 95 %: of 40 curves at least 34."""
    n_inside = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        values = 0.5 + 0.4 * expit((X - 6.3) / 0.5) + ERROR * rng.standard_normal(len(X))
        found = fit_emergence(STEPS, values, np.full(len(X), ERROR), n_draws=60, seed=seed)
        assert found.high is not None or found.low is None
        n_inside += found.low is not None and found.high is not None and found.low <= 2**6.3 <= found.high
    assert n_inside >= 34


def test_nothing_is_sharper_than_the_checkpoints() -> None:
    step_function = np.where(X >= 6, 0.95, 0.5)
    coarse = fit_emergence(STEPS, step_function, np.full(len(X), 0.01))
    assert coarse.model == "logistic" and coarse.width == coarse.spacing == 1.0
    assert coarse.is_limited and not coarse.is_sharp
    fine_steps = sorted({round(2 ** (i / 4)) for i in range(8, 44)})
    x = np.log2(fine_steps)
    fine = fit_emergence(fine_steps, 0.5 + 0.45 * expit((x - 6.5) / 0.1), np.full(len(x), 0.01))
    assert fine.is_sharp and fine.width is not None and fine.width < 1.0
    assert fine.t50 == pytest.approx(2**6.5, rel=0.1)


def test_draws_of_the_units_set_the_interval() -> None:
    values = 0.5 + 0.4 * expit((X - 6) / 0.5)
    draws = np.stack([0.5 + 0.4 * expit((X - c) / 0.5) for c in np.linspace(5, 7, 41)])
    found = fit_emergence(STEPS, values, np.full(len(X), 0.02), draws=draws)
    assert found.low == pytest.approx(2**5.05, rel=0.05) and found.high == pytest.approx(2**6.95, rel=0.05)


@pytest.mark.parametrize("steps", [[0, 1, 2, 4, 8], [1, 2, 4], [1, 4, 2, 8, 16]])
def test_steps_must_be_a_series(steps) -> None:
    with pytest.raises(FingerprintError, match="rising steps"):
        fit_emergence(steps, np.zeros(len(steps)), np.ones(len(steps)))
