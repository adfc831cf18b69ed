"""Closed-set attribution and detection metrics, with intervals by whole commits. Pure numpy; torch-free.

Definitions follow evaluation.md section 4.4. Scores are shaped [n, K]: one row per text, one column per
author, larger means "more likely this author". Labels are column numbers. Hunks of one commit are not
independent, so every interval resamples commits, never hunks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

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
    ordered = np.sort(negative)  # intervals ask a million times: eight times as fast as ranking
    if np.isnan(ordered[-1]) or np.isnan(positive.max()):
        return float("nan")
    above = (ordered.searchsorted(positive, "left").sum() + ordered.searchsorted(positive, "right").sum()) / 2
    return float(above / (n_positive * n_negative))


def stratified_auroc(
    scores: Float[np.ndarray, " n"], is_positive: Bool[np.ndarray, " n"], strata: Int[np.ndarray, " n"]
) -> float:
    """Chance that a positive scores above a negative of its own stratum; ties count half, pairs count alike.

    What the strata hold fixed can explain no part of it. NaN when no stratum has both.
    """
    return _pooled_auroc(
        (scores[(strata == stratum) & is_positive], scores[(strata == stratum) & ~is_positive])
        for stratum in np.unique(strata)
    )


def _pooled_auroc(sides: Iterable[tuple[Float[np.ndarray, " p"], Float[np.ndarray, " q"]]]) -> float:
    """AUROC over the pairs within each (positive, negative), all alike; NaN when nowhere has both."""
    both = [(positive, negative) for positive, negative in sides if len(positive) and len(negative)]
    n_pairs = np.array([len(positive) * len(negative) for positive, negative in both], dtype=float)
    areas = np.array([auroc(positive, negative) for positive, negative in both])
    return float(areas @ n_pairs / n_pairs.sum()) if both else float("nan")


def size_strata(n_tokens: Float[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
    """Doublings of size: texts of one stratum differ in it by less than a factor of two."""
    return np.floor(np.log2(np.maximum(n_tokens, 1))).astype(int)


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


def verification_trials(
    scores: Scores, labels: Labels
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " m"]]:
    """Every claim "this author wrote this text" (T2): scores of the n true claims and of the n (K - 1) false.

    Rows are centred over the cohort, so that claims about different texts share one threshold.
    """
    centred = centre_rows(scores)
    is_own = labels[:, None] == np.arange(scores.shape[1])
    return centred[is_own], centred[~is_own]


def verification_eer(scores: Scores, labels: Labels) -> float:
    """Equal error rate over all claims, with one threshold for all authors."""
    return equal_error_rate(*verification_trials(scores, labels))


def directory_concordance(scores: Scores, labels: Labels, directories: Sequence[str]) -> float:
    """S6: chance that a text of a leans more to a than a text of b in the same directory; ties count half.

    Leaning is score_a - score_b. Only pairs of texts of two authors in one directory count, each pair once,
    all alike; NaN without any. Topic is held fixed as far as a directory holds it.
    """
    _, directory_of = np.unique(np.asarray(directories), return_inverse=True)

    def leanings() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for place in range(directory_of.max(initial=-1) + 1):
            here = np.flatnonzero(directory_of == place)
            for a, b in combinations(np.unique(labels[here]).tolist(), 2):
                lean = scores[here, a] - scores[here, b]
                yield lean[labels[here] == a], lean[labels[here] == b]

    return _pooled_auroc(leanings())


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

    To compare two systems on the same rows: ``significance.paired_difference``.
    """
    draws = bootstrap_draws(statistic, clusters, n_draws=n_draws, seed=seed)
    return percentile_interval(statistic(np.arange(len(clusters))), draws, confidence)


def bootstrap_draws(
    statistic: Callable[[Int[np.ndarray, " m"]], float],
    clusters: Sequence[str],
    *,
    n_draws: int = 1000,
    seed: int = 0,
) -> Float[np.ndarray, " draws"]:
    """The statistic under resampling of whole clusters, with replacement; NaN draws are left out."""
    _, cluster_of = np.unique(np.asarray(clusters), return_inverse=True)
    order, sizes = np.argsort(cluster_of, kind="stable"), np.bincount(cluster_of)
    starts = np.cumsum(sizes) - sizes
    rng = np.random.default_rng(seed)

    def rows_of(picked: np.ndarray) -> np.ndarray:
        n_rows = sizes[picked]
        first = np.repeat(starts[picked] - (np.cumsum(n_rows) - n_rows), n_rows)
        return order[first + np.arange(len(first))]

    n = len(sizes)
    draws = np.array([statistic(rows_of(rng.integers(0, n, n))) for _ in range(n_draws)], dtype=float)
    return draws[~np.isnan(draws)]


def percentile_interval(value: float, draws: Float[np.ndarray, " draws"], confidence: float) -> Interval:
    """A figure with the central interval of its draws; NaN bounds without draws."""
    if not len(draws):
        return Interval(value, float("nan"), float("nan"))
    tail = (1 - confidence) / 2
    low, high = np.quantile(draws, [tail, 1 - tail])
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


class Pooled(NamedTuple):
    """Groups: the weighted mean scores of each [g, K], its label, its name, and its summed weight."""

    scores: Float[np.ndarray, "g k"]
    labels: Int[np.ndarray, " g"]
    groups: list[str]
    weights: Float[np.ndarray, " g"]


def pool_by_group(
    scores: Scores, labels: Labels, groups: Sequence[str], weights: Float[np.ndarray, " n"] | None = None
) -> Pooled:
    """One row per group (commit).

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
    own = np.array([label for _, label in names], dtype=int)
    return Pooled(pooled, own, [group for group, _ in names], total)


def bag_commits(
    scores: Scores,
    labels: Labels,
    groups: Sequence[str],
    *,
    size: int = 10,
    weights: Float[np.ndarray, " n"] | None = None,
    seed: int = 0,
) -> tuple[Float[np.ndarray, "b k"], Int[np.ndarray, " b"]]:
    """Bags of so many commits of one author, drawn at random without overlap; what is left over is dropped.

    A bag's scores are the mean over its commits, each commit pooled first (``pool_by_group``), so that a
    large commit weighs no more than a small one.

    Returns:
        Bag scores and labels, authors in order. Bags share no commit, so each is a cluster of its own.
    """
    pooled, commit_labels, _, _ = pool_by_group(scores, labels, groups, weights)
    rng = np.random.default_rng(seed)
    bags: list[np.ndarray] = []
    for author in np.unique(commit_labels):
        own = rng.permutation(np.flatnonzero(commit_labels == author))
        n_bags = len(own) // size
        bags += list(own[: n_bags * size].reshape(n_bags, size))
    if not bags:
        return np.empty((0, scores.shape[1])), np.empty(0, dtype=int)
    return np.stack([pooled[bag].mean(axis=0) for bag in bags]), commit_labels[[bag[0] for bag in bags]]
