"""Closed-set attribution and detection metrics, with intervals by whole commits. Pure numpy; torch-free.

Definitions follow evaluation.md section 4.4. Scores are shaped [n, K]: one row per text, one column per
author, larger means "more likely this author". Labels are column numbers. Hunks of one commit are not
independent, so every interval resamples commits, never hunks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.stats import rankdata

Scores = Float[np.ndarray, "n k"]
Labels = Int[np.ndarray, " n"]


def centre_rows(scores: Scores) -> Scores:
    """Scores minus their mean over authors, row by row (cohort centring).

    A row's level says how predictable the text is, not who wrote it. There is no division by the row's
    spread: with two authors it would collapse every row to plus and minus one.
    """
    return scores - scores.mean(axis=1, keepdims=True)


def auroc(positive: Float[np.ndarray, " p"], negative: Float[np.ndarray, " q"]) -> float:
    """Chance that a positive scores above a negative, ties counting half; NaN when either is empty."""
    n_positive, n_negative = len(positive), len(negative)
    if not n_positive or not n_negative:
        return float("nan")
    ranks = rankdata(np.concatenate([positive, negative]))
    above = ranks[:n_positive].sum() - n_positive * (n_positive + 1) / 2
    return float(above / (n_positive * n_negative))


def equal_error_rate(positive: Float[np.ndarray, " p"], negative: Float[np.ndarray, " q"]) -> float:
    """Error rate at the threshold where misses and false alarms are closest (their mean there)."""
    if not len(positive) or not len(negative):
        return float("nan")
    thresholds = np.unique(np.concatenate([positive, negative, [np.inf]]))
    misses = np.searchsorted(np.sort(positive), thresholds, side="left") / len(positive)
    alarms = 1 - np.searchsorted(np.sort(negative), thresholds, side="left") / len(negative)
    best = int(np.argmin(np.abs(misses - alarms)))
    return float((misses[best] + alarms[best]) / 2)


def tpr_at_fpr(
    positive: Float[np.ndarray, " p"], negative: Float[np.ndarray, " q"], false_alarms: float
) -> float:
    """Share of positives found by the lowest threshold that flags at most this share of negatives.

    Flagged means strictly above the highest negative that must stay unflagged, so the allowed number of
    negatives, floor(false_alarms * q), is never exceeded, with ties neither.
    """
    if not len(positive) or not len(negative):
        return float("nan")
    n_allowed = int(np.floor(false_alarms * len(negative) + 1e-9))
    if n_allowed >= len(negative):
        return 1.0
    limit = np.sort(negative)[::-1][n_allowed]
    return float(np.mean(positive > limit))


def one_vs_rest(scores: Scores, labels: Labels, measure: Callable[..., float], *extra: float) -> list[float]:
    """A two-sample measure per author with at least one own and one other text, in column order."""
    found: list[float] = []
    for k in range(scores.shape[1]):
        is_own = labels == k
        if is_own.any() and not is_own.all():
            found.append(measure(scores[is_own, k], scores[~is_own, k], *extra))
    return found


def macro(values: Sequence[float]) -> float:
    """Mean over authors; NaN without any."""
    return float(np.mean(values)) if len(values) else float("nan")


def macro_auroc(scores: Scores, labels: Labels) -> float:
    """Mean over authors of the one-vs-rest AUROC of the author's column."""
    return macro(one_vs_rest(scores, labels, auroc))


def balanced_top(scores: Scores, labels: Labels, k: int = 1) -> float:
    """Mean over authors of the share of their texts that rank them among the first k.

    An author tied with others stands behind them: a constant score earns nothing.
    """
    own = scores[np.arange(len(labels)), labels]
    n_at_least = (scores >= own[:, None]).sum(axis=1)
    is_found = n_at_least <= k
    return macro([float(is_found[labels == author].mean()) for author in np.unique(labels)])


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure and its 95 % interval by whole-commit bootstrap; NaN bounds when it was not resampled."""

    value: float
    low: float
    high: float


def cluster_bootstrap(
    statistic: Callable[[Int[np.ndarray, " m"]], float],
    clusters: Sequence[str],
    *,
    n_draws: int = 1000,
    seed: int = 0,
    confidence: float = 0.95,
) -> Interval:
    """Percentile interval of a statistic under resampling of whole clusters.

    Args:
        statistic: takes row numbers (with repetition) and returns the figure; NaN draws are left out.
        clusters: the cluster (commit) of each row.

    To compare two systems on the same rows, let the statistic return their difference (paired bootstrap).
    """
    _, cluster_of = np.unique(np.asarray(clusters), return_inverse=True)
    members = np.split(np.argsort(cluster_of, kind="stable"), np.cumsum(np.bincount(cluster_of))[:-1])
    rng = np.random.default_rng(seed)
    draws = [
        statistic(np.concatenate([members[i] for i in rng.integers(0, len(members), len(members))]))
        for _ in range(n_draws)
    ]
    kept = np.array([value for value in draws if not np.isnan(value)])
    value = statistic(np.arange(len(cluster_of)))
    if not len(kept):
        return Interval(value, float("nan"), float("nan"))
    tail = (1 - confidence) / 2
    low, high = np.quantile(kept, [tail, 1 - tail])
    return Interval(value, float(low), float(high))


def detection_bootstrap(
    measure: Callable[..., float],
    scores: Float[np.ndarray, " n"],
    is_positive: np.ndarray,
    clusters: Sequence[str],
    *extra: float,
    n_draws: int = 1000,
    seed: int = 0,
) -> Interval:
    """Interval of a two-sample measure (positives against negatives) by whole clusters."""
    flags = np.asarray(is_positive, dtype=bool)

    def statistic(rows: np.ndarray) -> float:
        return measure(scores[rows][flags[rows]], scores[rows][~flags[rows]], *extra)

    return cluster_bootstrap(statistic, clusters, n_draws=n_draws, seed=seed)


def pool_by_group(
    scores: Scores, labels: Labels, groups: Sequence[str], weights: Float[np.ndarray, " n"] | None = None
) -> tuple[Float[np.ndarray, "g k"], Int[np.ndarray, " g"], list[str]]:
    """One row per group (commit): the weighted mean of its rows, its label and its name.

    Args:
        weights: for instance scored tokens; equal when None.

    A group whose rows bear two labels is split by label: no commit here has two authors, but a caller's bag
    may.
    """
    keys = [(group, int(label)) for group, label in zip(groups, labels, strict=True)]
    names = list(dict.fromkeys(keys))
    position = {key: i for i, key in enumerate(names)}
    rows = np.array([position[key] for key in keys], dtype=int)
    share = np.ones(len(rows)) if weights is None else np.asarray(weights, dtype=float)
    total = np.bincount(rows, weights=share, minlength=len(names))
    pooled = np.stack(
        [np.bincount(rows, weights=share * column, minlength=len(names)) / total for column in scores.T],
        axis=1,
    )
    return pooled, np.array([label for _, label in names], dtype=int), [group for group, _ in names]
