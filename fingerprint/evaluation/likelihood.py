"""Scores as evidence: likelihood ratios and probabilities fitted on a past slice, and how good they are.

Fit on calibration, judge on test: a calibrator judged where it was fitted flatters itself.
Logarithms are natural unless a name says otherwise. Torch-free.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.optimize import minimize
from scipy.special import expit, log_softmax, logit, softmax
from sklearn.isotonic import IsotonicRegression

from fingerprint import FingerprintError
from fingerprint.evaluation.metrics import Labels, Scores, centre_rows

N_BINS = 15
"""Equal-mass bins of the calibration error (evaluation.md section 4.4)."""


# ------------------------------------------------------------------------------------ likelihood ratios


def cllr(target: Float[np.ndarray, " p"], other: Float[np.ndarray, " q"]) -> float:
    """Cost of log-likelihood ratios in bits (Brümmer and du Preez 2006): 0 perfect, 1 says nothing.

    Args:
        target: log-likelihood ratios of true claims. other: of false ones.

    Cllr = mean log2(1 + e^-target) / 2 + mean log2(1 + e^other) / 2. Above 1 misleads; NaN when a side is
    empty.
    """
    if not len(target) or not len(other):
        return float("nan")
    bits = np.logaddexp(0, -target).mean() + np.logaddexp(0, other).mean()
    return float(bits / (2 * np.log(2)))


def min_cllr(target: Float[np.ndarray, " p"], other: Float[np.ndarray, " q"]) -> float:
    """Cllr after the best monotone recalibration of these very scores (PAVA): discrimination alone.

    Cllr - min-Cllr is the loss from calibration. The fit is on the scores it judges, so this is a bound, not
    a result.
    """
    if not len(target) or not len(other):
        return float("nan")
    # both kinds weigh the same in all, so the fitted posterior has prior 1/2 and its logit is the log-ratio
    weights = np.concatenate([np.full(len(target), 0.5 / len(target)), np.full(len(other), 0.5 / len(other))])
    is_target = np.concatenate([np.ones(len(target)), np.zeros(len(other))])
    fit = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip")
    posterior = fit.fit_transform(np.concatenate([target, other]), is_target, sample_weight=weights)
    ratios = logit(np.clip(posterior, 0, 1))
    return cllr(ratios[: len(target)], ratios[len(target) :])


@dataclass(frozen=True, slots=True)
class RatioCalibration:
    """A score as a log-likelihood ratio: slope * score + offset; the slope is never negative."""

    slope: float
    offset: float

    def ratios(self, scores: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """Log-likelihood ratios of claims with these scores, in nats."""
        return self.slope * scores + self.offset


def fit_ratios(target: Float[np.ndarray, " p"], other: Float[np.ndarray, " q"]) -> RatioCalibration:
    """Logistic calibration on a past slice's true and false claims, both kinds weighing the same.

    Targets are Platt's (1999), (p + 1) / (p + 2) and 1 / (q + 2): separable scores give finite ratios. Scores
    that point the wrong way get slope 0, an uninformative ratio, not a flipped one.

    Raises:
        FingerprintError: a side is empty.
    """
    _expect(len(target) > 0 and len(other) > 0, f"{len(target)} true and {len(other)} false claims")
    scores = np.concatenate([target, other])
    mean, spread = float(scores.mean()), float(scores.std()) + 1e-12
    x = (scores - mean) / spread
    is_target = np.arange(len(x)) < len(target)
    wanted = np.where(is_target, (len(target) + 1) / (len(target) + 2), 1 / (len(other) + 2))
    weight = np.where(is_target, 0.5 / len(target), 0.5 / len(other))

    def objective(theta: np.ndarray) -> tuple[float, np.ndarray]:
        z = theta[0] * x + theta[1]
        error = weight * (expit(z) - wanted)
        return float(weight @ (np.logaddexp(0, z) - wanted * z)), np.array([error @ x, error.sum()])

    found = minimize(objective, np.zeros(2), jac=True, method="L-BFGS-B", bounds=[(0, None), (None, None)]).x
    slope = float(found[0]) / spread
    return RatioCalibration(slope, float(found[1]) - slope * mean)


# ----------------------------------------------------------------------------------- closed-set probabilities


@dataclass(frozen=True, slots=True)
class Temperature:
    """Closed-set probabilities from scores: softmax of scale * centred scores; scale is 1 / temperature."""

    scale: float

    def probabilities(self, scores: Scores) -> Float[np.ndarray, "n k"]:
        """Probability of each author for each text; rows sum to 1."""
        return softmax(self.scale * centre_rows(scores), axis=1)


def fit_temperature(scores: Scores, labels: Labels) -> Temperature:
    """Temperature of the best likelihood on a past slice (Guo et al. 2017), every text weighing the same.

    Labels are smoothed by one text per author in all (Platt's rule for K classes), so separable scores give a
    finite scale. Scores that point the wrong way get scale 0: equal probabilities.

    Raises:
        FingerprintError: no texts.
    """
    _expect(len(labels) > 0, "no texts")
    n, k = scores.shape
    centred = centre_rows(scores)
    spread = float(centred.std()) + 1e-12
    x = centred / spread
    wanted = np.full((n, k), 1 / (n + k))
    wanted[np.arange(n), labels] = (n + 1) / (n + k)

    def objective(theta: np.ndarray) -> tuple[float, np.ndarray]:
        log_p = log_softmax(theta[0] * x, axis=1)
        gradient = ((np.exp(log_p) - wanted) * x).sum() / n
        return float(-(wanted * log_p).sum() / n), np.array([gradient])

    found = minimize(objective, np.ones(1), jac=True, method="L-BFGS-B", bounds=[(0, None)]).x
    return Temperature(float(found[0]) / spread)


def top_confidence(
    probabilities: Float[np.ndarray, "n k"], labels: Labels
) -> tuple[Float[np.ndarray, " n"], Bool[np.ndarray, " n"]]:
    """Confidence in the likeliest author, and whether it is the true one; a tie at the top is not right."""
    confidence = probabilities.max(axis=1)
    own = probabilities[np.arange(len(labels)), labels]
    is_alone = (probabilities >= confidence[:, None]).sum(axis=1) == 1
    return confidence, (own == confidence) & is_alone


def calibration_error(
    confidence: Float[np.ndarray, " n"], is_right: Bool[np.ndarray, " n"], n_bins: int = N_BINS
) -> float:
    """ECE: mean over texts of |share right - mean confidence| of the text's bin, bins of equal mass.

    Equal confidences stay in one bin, so fewer bins can result. Of perfectly calibrated scores it is not zero
    but about sqrt(2 c (1 - c) n_bins / (pi n)) for confidences near c: compare with a shuffled control.
    """
    if not len(confidence):
        return float("nan")
    edges = np.quantile(confidence, np.arange(1, n_bins) / n_bins, method="inverted_cdf")
    bins = np.searchsorted(np.unique(edges), confidence, side="left")
    gaps = np.bincount(bins, weights=is_right - confidence)
    return float(np.abs(gaps).sum() / len(confidence))


def c_at_1(is_right: Bool[np.ndarray, " n"], is_answered: Bool[np.ndarray, " n"]) -> float:
    """Accuracy that credits abstaining at the rate of right answers (Peñas and Rodrigo 2011).

    c@1 = (n_right + n_unanswered * n_right / n) / n; NaN without texts. Plain accuracy when all are answered.
    """
    if not len(is_right):
        return float("nan")
    n, n_right = len(is_right), int((is_right & is_answered).sum())
    return (n_right + (n - int(is_answered.sum())) * n_right / n) / n


def abstention_threshold(confidence: Float[np.ndarray, " n"], is_right: Bool[np.ndarray, " n"]) -> float:
    """Least confidence at which to answer, for the highest c@1 on a past slice; the lowest such one.

    Raises:
        FingerprintError: no texts.
    """
    _expect(len(confidence) > 0, "no texts")
    thresholds = np.unique(confidence)
    values = [c_at_1(is_right, confidence >= threshold) for threshold in thresholds]
    return float(thresholds[int(np.argmax(values))])


def _expect(is_enough: bool, seen: str) -> None:
    if not is_enough:
        raise FingerprintError(
            f"expected a past slice to calibrate on, got {seen}: give calibration a larger share"
        )
