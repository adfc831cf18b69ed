"""A team's own distribution of Lambda and phi: slices by time, and the normaliser fitted on dev alone.

Both statistics are means over a text's scored tokens, so their variance depends on its size:
Var = between + within / n_tokens, both fitted by moments on dev commits. Dividing by its root makes a
12-line diff and a 400-line diff comparable.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import nnls
from sklearn.covariance import ledoit_wolf

from fingerprint import FingerprintError
from fingerprint.config import Combination, DriftConfig
from fingerprint.passage import Corpus
from fingerprint.routing.combination import DEFAULT, RULES, combine
from fingerprint.routing.extract import Measures
from fingerprint.signature import TeamSignature

N_FOLDS = 5
LEAST_TOKENS_TO_FIT = 10
"""Dev commits with fewer scored tokens say next to nothing of the team and are left out of the fit."""
FLOOR = 1e-9
_OUTLIER = 5.0
"""Deviations beyond this many robust standard deviations are pulled in before moments are fitted."""


class TeamSlices(NamedTuple):
    """Consecutive shares of a team's commits, oldest first (routing.md section 3)."""

    train: Corpus
    dev: Corpus
    calibration: Corpus
    held_out: Corpus


def slice_team(corpus: Corpus, config: DriftConfig) -> TeamSlices:
    """Cut a team's corpus into its four slices by time, whole commits at a time."""
    return TeamSlices(*corpus.split_by_time(config.slices, config.slice_commits))


@dataclass(frozen=True, slots=True)
class Statistics:
    """Standardised statistics of texts, each [n]; zero is the team's own typical value.

    Attributes:
        log_ratio: signed; below zero the team's model helps less than it does on the team's own code.
        distance: signed; above zero phi lies farther from the team's mean than usual.
        mahalanobis: the distance itself, per dimension (about 1 for the team's own code).
    """

    log_ratio: np.ndarray
    distance: np.ndarray
    mahalanobis: np.ndarray

    def score(self, combination: Combination) -> np.ndarray:
        """The nonconformity score under one rule, [n]."""
        return combine(self.log_ratio, self.distance, combination)


@dataclass(frozen=True)
class Normaliser:
    """Means and variances of the team's own commits, fitted on dev.

    Row 0 of every mean is over all languages, row 1 + i that of languages[i], drawn towards row 0.

    Attributes:
        languages: languages of the dev commits.
        log_ratio_mean: [1 + n_languages] nats per scored token. log_ratio_variance: [2] between, within.
        phi_mean: [1 + n_languages, d]. phi_variance: [2, d] between, within. precision: [d, d] of the
            studentised phi, the inverse of its Ledoit-Wolf covariance.
        log_ratio_scale, distance_scale: [3] centre, lower and upper scale of the standardised statistics
            (a two-piece normal: the two sides need not be alike), measured on folds left out of the fit.
        typical: [2] mean of Lambda per scored token and median Mahalanobis distance on dev, for people.
        combination: how the two statistics become the score.
    """

    languages: tuple[str, ...]
    log_ratio_mean: np.ndarray
    log_ratio_variance: np.ndarray
    phi_mean: np.ndarray
    phi_variance: np.ndarray
    precision: np.ndarray
    log_ratio_scale: np.ndarray
    distance_scale: np.ndarray
    typical: np.ndarray
    combination: Combination = DEFAULT

    def statistics(self, measures: Measures) -> Statistics:
        """Standardised statistics of texts with at least one scored token."""
        return self.standardise(*self.raw_statistics(measures))

    def score(self, measures: Measures) -> np.ndarray:
        """Nonconformity scores [n] of texts under the normaliser's own rule."""
        return self.statistics(measures).score(self.combination)

    def standardise(self, student: np.ndarray, distance: np.ndarray) -> Statistics:
        """What raw_statistics gave, on the scales of the team's own commits."""
        first = two_piece(student, self.log_ratio_scale)
        return Statistics(first, two_piece(np.log(distance + FLOOR), self.distance_scale), distance)

    def low_log_ratio(self, measures: Measures) -> np.ndarray:
        """The log-ratio statistic alone, [n], larger where it is lower: what the null team is read for."""
        return -two_piece(self._student_log_ratio(measures), self.log_ratio_scale)

    def _student_log_ratio(self, measures: Measures) -> np.ndarray:
        n = measures.n_scored
        return (measures.log_ratio / n - self.log_ratio_mean[self._rows(measures)]) / np.sqrt(
            _variance(self.log_ratio_variance, n)
        )

    def raw_statistics(self, measures: Measures) -> tuple[np.ndarray, np.ndarray]:
        """Studentised log-ratio and Mahalanobis distance per dimension, before their scales."""
        n = measures.n_scored[:, None]
        deviation = (measures.phi / n - self.phi_mean[self._rows(measures)]) / np.sqrt(
            _variance(self.phi_variance, n)
        )
        squared = np.einsum("nd,de,ne->n", deviation, self.precision, deviation)
        return self._student_log_ratio(measures), np.sqrt(np.maximum(squared, 0) / deviation.shape[1])

    def _rows(self, measures: Measures) -> np.ndarray:
        row_of = {language: i + 1 for i, language in enumerate(self.languages)}
        return np.array([row_of.get(language, 0) for language in measures.languages], dtype=int)

    def to_readings(self) -> dict[str, np.ndarray]:
        """Its arrays under "normaliser_<name>", for TeamSignature.readings; the rest goes into the facts."""
        return {f"normaliser_{name}": getattr(self, name) for name in _ARRAYS}

    @classmethod
    def of_team(cls, signature: TeamSignature) -> Normaliser:
        """The normaliser of a signature, with its rule.

        Raises:
            FingerprintError: the signature is of another version.
        """
        rule = signature.facts.get("combination")
        if rule not in RULES:
            raise FingerprintError(
                f"The team signature names the rule {rule!r}, this version knows {', '.join(RULES)}: "
                "it was written by another version. Profile again."
            )
        found = cls.from_readings(signature.readings, signature.facts["normaliser_languages"])
        return replace(found, combination=rule)

    @classmethod
    def of_null(cls, signature: TeamSignature) -> Normaliser:
        """The normaliser of the null team adapter, the log-ratio's part of which means something."""
        return cls.from_readings(signature.null, signature.facts["null_languages"])

    @classmethod
    def from_readings(cls, readings: Mapping[str, np.ndarray], languages: Sequence[str]) -> Normaliser:
        """What to_readings wrote, with the default rule.

        Raises:
            FingerprintError: when an array is missing.
        """
        names = _ARRAYS
        missing = [name for name in names if f"normaliser_{name}" not in readings]
        if missing:
            raise FingerprintError(
                f"The team signature lacks {', '.join(missing)}: written by another version. Profile again."
            )
        arrays: dict[str, Any] = {name: np.asarray(readings[f"normaliser_{name}"]) for name in names}
        return cls(tuple(languages), **arrays)


_ARRAYS = tuple(f.name for f in fields(Normaliser) if f.name not in {"languages", "combination"})


@dataclass(frozen=True)
class DevCommits:
    """The dev commits as the fit left each out in turn: what the rule may be chosen on.

    Attributes:
        n_scored: [n] scored tokens. statistics: standardised by folds that did not hold the commit.
    """

    n_scored: np.ndarray
    statistics: Statistics


def fit_normaliser(dev: Measures, config: DriftConfig) -> tuple[Normaliser, DevCommits]:
    """Fit means, variances, covariance and scales on dev commits.

    Args:
        dev: one text per commit.

    Returns:
        The normaliser, with the configured rule or the default one, and the commits it was fitted on.

    Raises:
        FingerprintError: with fewer than config.least_dev commits of a usable size.
    """
    kept = dev.take(np.flatnonzero(dev.n_scored >= LEAST_TOKENS_TO_FIT))
    if len(kept) < config.least_dev:
        raise FingerprintError(
            f"The team's history is too short: {len(kept)} dev commits with at least {LEAST_TOKENS_TO_FIT} "
            f"scored tokens, need {config.least_dev}. Add repositories, paths or authors to the team."
        )
    folds = np.arange(len(kept)) % N_FOLDS
    left_out = [np.flatnonzero(folds == fold) for fold in range(N_FOLDS)]
    parts = [
        _fit_moments_only(kept.take(np.flatnonzero(folds != fold)), config).raw_statistics(kept.take(out))
        for fold, out in enumerate(left_out)
    ]
    order = np.argsort(np.concatenate(left_out))
    student = np.concatenate([part[0] for part in parts])[order]
    distance = np.concatenate([part[1] for part in parts])[order]
    plain = _fit_moments_only(kept, config)
    fitted = Normaliser(
        plain.languages,
        plain.log_ratio_mean,
        plain.log_ratio_variance,
        plain.phi_mean,
        plain.phi_variance,
        plain.precision,
        two_piece_scale(student),
        two_piece_scale(np.log(distance + FLOOR)),
        np.array([kept.log_ratio.sum() / kept.n_scored.sum(), np.median(distance)]),
        config.combination or DEFAULT,
    )
    return fitted, DevCommits(kept.n_scored, fitted.standardise(student, distance))


def _fit_moments_only(dev: Measures, config: DriftConfig) -> Normaliser:
    """Means, variances and precision; scales left at one."""
    n = dev.n_scored
    languages = tuple(sorted(set(dev.languages)))
    values = np.column_stack([dev.log_ratio / n, dev.phi / n[:, None]])
    means, variances = np.zeros((1 + len(languages), values.shape[1])), np.zeros((2, values.shape[1]))
    for column in range(values.shape[1]):
        x = _pull_in(values[:, column])
        mean, variances[:, column] = fit_moments(x, n)
        weights = 1 / _variance(variances[:, column], n)
        means[:, column] = _language_means(
            x, weights, mean, dev.languages, languages, config.language_commits
        )
    rows = np.array([languages.index(language) + 1 for language in dev.languages])
    student = (values - means[rows])[:, 1:] / np.sqrt(_variance(variances[:, 1:], n[:, None]))
    covariance = ledoit_wolf(np.apply_along_axis(_pull_in, 0, student), assume_centered=True)[0]
    ridge = 1e-3 * np.eye(len(covariance))
    unit = np.array([0.0, 1.0, 1.0])
    return Normaliser(
        languages,
        means[:, 0],
        variances[:, 0],
        means[:, 1:],
        variances[:, 1:],
        np.linalg.inv(np.asarray(covariance) + ridge),
        unit,
        unit,
        np.zeros(2),
    )


def fit_moments(x: np.ndarray, n_tokens: np.ndarray) -> tuple[float, np.ndarray]:
    """Mean and [between, within] of values whose variance is between + within / n_tokens.

    Args:
        x: [n] means over n_tokens tokens each.

    Non-negative least squares of squared deviations on (1, 1 / n_tokens), re-weighted a few times.
    """
    variance = np.full(len(x), max(float(np.var(x)), FLOOR**2))
    design = np.column_stack([np.ones(len(x)), 1 / n_tokens])
    fitted, mean = np.array([variance[0], 0.0]), float(np.mean(x))
    for _ in range(6):
        mean = float(np.average(x, weights=1 / variance))
        # the variance of a squared deviation grows with the square of its mean
        scaled = design / variance[:, None]
        fitted = nnls(scaled, (x - mean) ** 2 / variance)[0]
        variance = _variance(fitted, n_tokens)
    return mean, np.maximum(fitted, 0)


def _variance(parts: np.ndarray, n_tokens: np.ndarray) -> np.ndarray:
    return np.maximum(parts[0] + parts[1] / n_tokens, FLOOR**2)


def _language_means(
    x: np.ndarray,
    weights: np.ndarray,
    mean: float,
    labels: Sequence[str],
    languages: Sequence[str],
    prior: float,
) -> np.ndarray:
    """[1 + n_languages]: the overall mean, then each language's, drawn to it as if by ``prior`` commits."""
    strength = prior * float(weights.mean())
    found = [mean]
    for language in languages:
        own = np.array([label == language for label in labels])
        found.append(
            (float((weights * x)[own].sum()) + strength * mean) / (float(weights[own].sum()) + strength)
        )
    return np.array(found)


def _pull_in(x: np.ndarray) -> np.ndarray:
    """Values with far outliers moved to the edge, so that one odd commit does not set the scale."""
    middle = np.median(x)
    spread = 1.4826 * np.median(np.abs(x - middle))
    return x if spread <= FLOOR else np.clip(x, middle - _OUTLIER * spread, middle + _OUTLIER * spread)


def two_piece_scale(x: np.ndarray) -> np.ndarray:
    """[centre, lower, upper] of values [n]: median, and root mean square deviation on either side of it."""
    x = _pull_in(x)
    centre = float(np.median(x))
    sides = [
        np.sqrt(np.mean(np.square(side))) if len(side) else 0.0
        for side in (x[x < centre] - centre, x[x > centre] - centre)
    ]
    whole = max(float(np.std(x)), FLOOR)
    # a side seen in few commits is drawn towards the common scale
    n = len(x) / 2
    lower, upper = (np.sqrt((n * side**2 + 5 * whole**2) / (n + 5)) for side in sides)
    return np.array([centre, lower, upper])


def two_piece(x: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Values [n] standardised by the scale of their own side."""
    centre, lower, upper = scale
    return np.where(x < centre, (x - centre) / lower, (x - centre) / upper)
