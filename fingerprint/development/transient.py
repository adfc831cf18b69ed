"""Whether a loss first falls and then rises over training: t_crit and its interval.

The loss is one out of distribution, read on the same units (sequences, files) at every checkpoint. The
smallest of many noisy means lies below the true minimum, so the rise after it is cross-fitted: the checkpoint
is chosen on one half of the units and the rise read on the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from fingerprint import FingerprintError
from fingerprint.evaluation.metrics import Interval, percentile_interval

LEAST_UNITS = 8


class TransientError(FingerprintError):
    """Too few checkpoints or units to speak of a minimum."""


@dataclass(frozen=True)
class TransientReading:
    """The minimum of a loss curve over training.

    Attributes:
        step: t_crit, where the mean loss is smallest. low, high: its percentile interval, in steps.
        rise: mean loss at the end minus at t_crit, cross-fitted, in the loss's units.
        is_transient: t_crit lies before the last checkpoint and the interval of the rise above zero.
    """

    step: int
    low: int
    high: int
    rise: Interval
    is_transient: bool


def find_minimum(
    steps: Sequence[int],
    losses: Float[np.ndarray, "t n"],
    *,
    n_draws: int = 2_000,
    confidence: float = 0.95,
    seed: int = 0,
) -> TransientReading:
    """t_crit of the mean over units, by a bootstrap of whole units (the same units at every checkpoint).

    Raises:
        TransientError: fewer than three checkpoints or eight units, or a loss that is not finite.
    """
    n_steps, n_units = losses.shape
    if n_steps != len(steps) or n_steps < 3 or n_units < LEAST_UNITS or not np.isfinite(losses).all():
        raise TransientError(
            f"expected finite losses at three checkpoints or more on {LEAST_UNITS} units or more, got "
            f"{n_steps} checkpoints ({len(steps)} steps) on {n_units} units; read more of either."
        )
    rng = np.random.default_rng(seed)
    halves = [np.arange(n_units) % 2 == half for half in (0, 1)]
    weights = _resample(halves[0], n_draws, rng) + _resample(halves[1], n_draws, rng)
    chosen = (losses @ weights).argmin(0)
    rises = _cross_fitted_rise(losses, halves, weights)
    rise = float(_cross_fitted_rise(losses, halves, np.ones((n_units, 1)))[0])
    interval = percentile_interval(rise, rises, confidence)
    tail = (1 - confidence) / 2
    low, high = np.quantile(chosen, [tail, 1 - tail], method="nearest")
    best = int(losses.mean(1).argmin())
    return TransientReading(
        int(steps[best]), int(steps[low]), int(steps[high]), interval,
        best < n_steps - 1 and interval.low > 0,
    )  # fmt: skip


def _resample(
    half: Bool[np.ndarray, " n"], n_draws: int, rng: np.random.Generator
) -> Float[np.ndarray, "n draws"]:
    """How often each unit of a half is drawn."""
    own = np.flatnonzero(half)
    counts = np.zeros((len(half), n_draws))
    counts[own] = rng.multinomial(len(own), np.full(len(own), 1 / len(own)), n_draws).T
    return counts


def _cross_fitted_rise(
    losses: Float[np.ndarray, "t n"],
    halves: Sequence[Bool[np.ndarray, " n"]],
    weights: Float[np.ndarray, "n draws"],
) -> Float[np.ndarray, " draws"]:
    first, second = (losses[:, half] @ weights[half] / weights[half].sum(0) for half in halves)
    draws = np.arange(weights.shape[1])
    by_first = second[-1] - second[first.argmin(0), draws]
    by_second = first[-1] - first[second.argmin(0), draws]
    return (by_first + by_second) / 2
