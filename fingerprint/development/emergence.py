"""When a reading appears along checkpoints: constant, linear or logistic in the logarithm of the step.

Each curve is fitted by least squares weighted with its points' standard errors, and the fits are compared by
BIC = chi^2 + k ln n. With a handful of checkpoints BIC alone calls one flat curve in six a slope, so a curve
with more parameters must beat every simpler one by ``LEAST_EVIDENCE`` (positive evidence in the scale of Kass
& Raftery 1995).
No change is reported as sharper than the checkpoints stand apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float
from scipy.optimize import least_squares
from scipy.special import expit

from fingerprint import FingerprintError

Model = Literal["constant", "linear", "logistic"]
LEAST_EVIDENCE = 4.0
"""BIC by which a curve must beat every simpler one."""
SHARP_EVIDENCE = 6.0
"""BIC by which a logistic curve must win to be called sharp (strong evidence)."""
SHARP_WIDTH = 1.0
"""Doublings of the step within which a sharp change runs from a tenth to nine tenths."""
LEAST_POINTS = 5
"""A logistic curve has four parameters."""
_TENTH_TO_NINE = 2 * np.log(9)
_LEAST_ERROR = 1e-3
_NARROWEST, _WIDEST = 0.05, 8.0
_GRID_CENTRES, _GRID_SCALES = 200, 16
_LEAST_POWER = 1e-12
Points = Float[np.ndarray, " t"]


@dataclass(frozen=True, slots=True)
class Emergence:
    """What became of one reading.

    Attributes:
        model: the curve chosen. bic: of every curve, by name.
        evidence: by how much the chosen curve beats the best simpler one; 0 for a constant.
        start, end: the curve's value at the first and last checkpoint.
        t50: step at which a logistic curve stands half way; low, high: its 95 % interval. None otherwise.
        width: doublings of the step from a tenth to nine tenths, never below ``spacing``. None otherwise.
        spacing: doublings between the checkpoints around t50. None otherwise.
        is_sharp: a logistic curve with strong evidence, narrower than one doubling.
    """

    model: Model
    bic: dict[str, float]
    evidence: float
    start: float
    end: float
    t50: float | None = None
    low: float | None = None
    high: float | None = None
    width: float | None = None
    spacing: float | None = None
    is_sharp: bool = False

    @property
    def is_limited(self) -> bool:
        """Whether the checkpoints, and not the curve, set the width."""
        return self.width is not None and self.width == self.spacing


def fit_emergence(
    steps: Sequence[int], values: Points, errors: Points, *, draws: Float[np.ndarray, "n t"] | None = None,
    n_draws: int = 200, seed: int = 0,
) -> Emergence:  # fmt: skip
    """Choose a curve for one reading along checkpoints.

    Args:
        steps: rising, from 1 on; a start at step 0 has no logarithm: leave it out.
        values, errors: the reading and its standard error at each step.
        draws: the whole curve under resampling of the units, all checkpoints together; they tell more of t50
            than independent errors do. None: ``n_draws`` normal ones.

    Raises:
        FingerprintError: fewer than ``LEAST_POINTS`` checkpoints, or a step below 1.
    """
    if len(steps) < LEAST_POINTS or min(steps) < 1 or list(steps) != sorted(set(steps)):
        raise FingerprintError(
            f"Emergence needs at least {LEAST_POINTS} checkpoints at rising steps from 1 on, got "
            f"{list(steps)}."
        )
    x, sigma = np.log2(np.asarray(steps, dtype=float)), np.maximum(errors, _LEAST_ERROR)
    fits = {"constant": _constant(x, values, sigma), "linear": _linear(x, values, sigma)}
    fits["logistic"] = _logistic(x, values, sigma)
    bic = {name: _bic(fit(x), len(fit.parameters), values, sigma) for name, fit in fits.items()}
    model, evidence = _choose(bic)
    fit = fits[model]
    ends = float(fit(x[:1])[0]), float(fit(x[-1:])[0])
    if model != "logistic":
        return Emergence(model, bic, evidence, *ends)
    if draws is None:
        draws = values + sigma * np.random.default_rng(seed).standard_normal((n_draws, len(x)))
    centres, _ = _search_logistic(x, draws, sigma)
    low, high = np.quantile(centres, [0.025, 0.975])
    spacing = _spacing(x, fit.parameters[2])
    width = max(float(_TENTH_TO_NINE * fit.parameters[3]), spacing)
    is_sharp = evidence > SHARP_EVIDENCE and width < SHARP_WIDTH
    return Emergence(
        model, bic, evidence, *ends, t50=float(2 ** fit.parameters[2]), low=float(2**low),
        high=float(2**high), width=width, spacing=spacing, is_sharp=is_sharp,
    )  # fmt: skip


def _choose(bic: dict[str, float]) -> tuple[Model, float]:
    """The richest curve that beats all simpler ones clearly, and by how much."""
    linear = bic["constant"] - bic["linear"]
    logistic = min(bic["constant"], bic["linear"]) - bic["logistic"]
    if logistic > LEAST_EVIDENCE:
        return "logistic", logistic
    return ("linear", linear) if linear > LEAST_EVIDENCE else ("constant", 0.0)


def _bic(fitted: Points, n_parameters: int, values: Points, sigma: Points) -> float:
    return float((((values - fitted) / sigma) ** 2).sum() + n_parameters * np.log(len(values)))


def _spacing(x: Points, centre: float) -> float:
    """Doublings between the checkpoints on either side; of the nearest two where it lies outside."""
    place = int(np.clip(np.searchsorted(x, centre), 1, len(x) - 1))
    return float(x[place] - x[place - 1])


@dataclass(frozen=True, slots=True)
class _Curve:
    """Constant (a), linear (a, slope) or logistic (a, rise, centre, scale), of x = log2 step."""

    parameters: tuple[float, ...]

    def __call__(self, x: Points) -> Points:
        if len(self.parameters) == 1:
            return np.full(len(x), self.parameters[0])
        if len(self.parameters) == 2:
            return self.parameters[0] + self.parameters[1] * x
        a, rise, centre, scale = self.parameters
        return a + rise * expit((x - centre) / scale)


def _constant(_x: Points, y: Points, sigma: Points) -> _Curve:
    return _Curve((float(np.average(y, weights=sigma**-2)),))


def _linear(x: Points, y: Points, sigma: Points) -> _Curve:
    slope, a = np.polyfit(x, y, 1, w=1 / sigma)
    return _Curve((float(a), float(slope)))


def _logistic(x: Points, y: Points, sigma: Points) -> _Curve:
    """Least squares with the centre within the checkpoints: the best of a grid, polished.

    Level and rise are linear, so that only centre and scale are searched.
    """
    centre, scale = (float(value[0]) for value in _search_logistic(x, y[None], sigma))

    def solve(at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        columns = np.stack([np.ones(len(x)), expit((x - at[0]) / np.exp(at[1]))], axis=1)
        found, *_ = np.linalg.lstsq(columns / sigma[:, None], y / sigma, rcond=None)
        return found, (y - columns @ found) / sigma

    bounds = [x[0], np.log(_NARROWEST)], [x[-1], np.log(_WIDEST)]
    start = np.clip([centre, np.log(scale)], *(np.array(bound) for bound in bounds))
    best = least_squares(lambda at: solve(at)[1], start, bounds=bounds).x
    (a, rise), _ = solve(best)
    return _Curve((float(a), float(rise), float(best[0]), float(np.exp(best[1]))))


def _search_logistic(
    x: Points, curves: Float[np.ndarray, "n t"], sigma: Points
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """(centre, scale) of the best logistic curve on a grid, for many curves at once."""
    centres = np.linspace(x[0], x[-1], _GRID_CENTRES)
    scales = np.geomspace(_NARROWEST, _WIDEST, _GRID_SCALES)
    centre, scale = (grid.ravel() for grid in np.meshgrid(centres, scales, indexing="ij"))
    weight = sigma**-2 / (sigma**-2).sum()
    shape = expit((x - centre[:, None]) / scale[:, None])
    shape -= (shape @ weight)[:, None]
    power = (shape**2) @ weight
    gained = (curves * weight) @ shape.T
    explained = np.where(power > _LEAST_POWER, gained**2 / np.maximum(power, _LEAST_POWER), 0.0)
    best = explained.argmax(1)
    return centre[best], scale[best]
