"""Curves over checkpoints: sign flips, peaks and monotonicity, each with its error. Pure numpy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from jaxtyping import Float
from scipy.optimize import isotonic_regression

from fingerprint import FingerprintError
from fingerprint.development.influence import Estimate

PEAK_ERRORS = 2.0
"""Standard errors of a difference by which a peak stands above both neighbours."""


@dataclass(frozen=True)
class Point:
    """One checkpoint of a curve.

    Attributes:
        step: of training. estimate: the figure and its error.
    """

    step: int
    estimate: Estimate


@dataclass(frozen=True)
class Monotonicity:
    """Whether one direction explains a curve within its errors.

    Attributes:
        direction: of the better isotonic fit. misfit: its weighted sum of squared residuals. p_value: of a
            misfit as large, were the fit true; small says not monotone.
    """

    direction: Literal["rising", "falling"]
    misfit: float
    p_value: float


def sign_flips(points: Sequence[Point]) -> list[tuple[int, int]]:
    """Pairs of steps between which the sign changes, the interval excluding 0 on both sides."""
    sure = [point for point in points if point.estimate.excludes_zero]
    return [
        (before.step, after.step)
        for before, after in pairwise(sure)
        if before.estimate.value * after.estimate.value < 0
    ]


def peaks(points: Sequence[Point]) -> list[tuple[int, Literal["peak", "trough"]]]:
    """Inner steps that stand above (or below) both neighbours by more than two errors of the difference."""
    found: list[tuple[int, Literal["peak", "trough"]]] = []
    for before, here, after in zip(points, points[1:], points[2:], strict=False):
        rises = [_rise(side, here) for side in (before, after)]
        if min(rises) > PEAK_ERRORS:
            found.append((here.step, "peak"))
        elif max(rises) < -PEAK_ERRORS:
            found.append((here.step, "trough"))
    return found


def _rise(side: Point, here: Point) -> float:
    """How much higher a point is than another, in errors of the difference."""
    error = np.hypot(side.estimate.se, here.estimate.se)
    return float((here.estimate.value - side.estimate.value) / error) if error > 0 else 0.0


def monotonicity(points: Sequence[Point], *, n_draws: int = 2000, seed: int = 0) -> Monotonicity:
    """Fit both directions by isotonic regression and ask whether the residuals of the better are noise.

    The null adds normal noise of each point's error to the fit and fits both directions again, so that the
    choice of the better direction is part of it.

    Raises:
        FingerprintError: fewer than three points, or one without an error.
    """
    y = np.array([point.estimate.value for point in points])
    se = np.array([point.estimate.se for point in points])
    if len(y) < 3 or not np.all(np.isfinite(y)) or not np.all(se > 0):
        raise FingerprintError(
            f"Monotonicity needs three checkpoints with errors above 0, got {len(y)} with the errors "
            f"{se.tolist()}"
        )
    misfit, fit, is_rising = _best_fit(y, se)
    rng = np.random.default_rng(seed)
    null = [_best_fit(fit + se * rng.standard_normal(len(y)), se)[0] for _ in range(n_draws)]
    p_value = (1 + sum(value >= misfit - 1e-12 for value in null)) / (1 + n_draws)
    return Monotonicity("rising" if is_rising else "falling", misfit, p_value)


def _best_fit(
    y: Float[np.ndarray, " n"], se: Float[np.ndarray, " n"]
) -> tuple[float, Float[np.ndarray, " n"], bool]:
    fits = [(up, isotonic_regression(y, weights=se**-2, increasing=up).x) for up in (True, False)]
    scored = [(float(np.square((y - fit) / se).sum()), fit, up) for up, fit in fits]
    return min(scored, key=lambda one: one[0])
