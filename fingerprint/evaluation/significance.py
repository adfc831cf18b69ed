"""Whether a difference between systems is more than chance: within a repository, across them, over a table.

Within a repository: the paired bootstrap by whole commits. Across repositories: Wilcoxon's signed ranks.
Over all (task, split, repository) cells: Benjamini-Hochberg (evaluation.md section 4.6). Torch-free.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Float, Int
from scipy.stats import PermutationMethod, false_discovery_control, rankdata, wilcoxon

from fingerprint import FingerprintError
from fingerprint.evaluation.metrics import Interval, bootstrap_draws, percentile_interval

Statistic = Callable[[Int[np.ndarray, " m"]], float]
"""A figure of one system on the given rows, which may repeat."""
Cell = TypeVar("Cell", bound=Hashable)

EXACT_FLIPS = 2**17
"""Sign patterns enumerated when ranks are tied; 17 repositories, and the drawn approximation beyond."""


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """First system minus second on the same rows.

    Attributes:
        interval: the difference with its percentile interval.
        p_value: two-sided: twice the smaller share of draws on either side of zero, the observed one counted,
            so never below 2 / (n_draws + 1). It agrees with the interval about zero.
        n_clusters: commits resampled.
    """

    interval: Interval
    p_value: float
    n_clusters: int


def paired_difference(
    first: Statistic,
    second: Statistic,
    clusters: Sequence[str],
    *,
    n_draws: int = 1000,
    seed: int = 0,
    confidence: float = 0.95,
) -> PairedDifference:
    """Paired bootstrap by whole clusters of the difference of any figure of two systems.

    Args:
        first, second: the figure of either system on given row numbers.
        clusters: the commit of each row.
    """

    def difference(rows: np.ndarray) -> float:
        return first(rows) - second(rows)

    draws = bootstrap_draws(difference, clusters, n_draws=n_draws, seed=seed)
    n_beyond = min(int((draws <= 0).sum()), int((draws >= 0).sum()))
    p_value = min(1.0, 2 * (1 + n_beyond) / (1 + len(draws))) if len(draws) else float("nan")
    interval = percentile_interval(difference(np.arange(len(clusters))), draws, confidence)
    return PairedDifference(interval, p_value, len(set(clusters)))


@dataclass(frozen=True, slots=True)
class SignedRanks:
    """Wilcoxon's test over repositories.

    Attributes:
        n: repositories whose difference is not zero. n_won: those with a positive difference.
        p_value: exact and two-sided (drawn when ranks are tied and n is above 17).
        floor: the least p-value n repositories can give, 2 / 2^n: .031 with six, .0005 with twelve.
    """

    n: int
    n_won: int
    p_value: float

    @property
    def floor(self) -> float:
        """The least p-value that n repositories can give."""
        return 2.0 ** (1 - self.n)


def compare_across_repositories(differences: Float[np.ndarray, " n"], seed: int = 0) -> SignedRanks:
    """Exact two-sided Wilcoxon signed-rank test of differences, one a repository; zeros are left out.

    Raises:
        FingerprintError: a difference is not a number, or all are zero.
    """
    if np.isnan(differences).any():
        raise FingerprintError(
            f"expected a difference for every repository, got NaN in {np.isnan(differences).sum()} of "
            f"{len(differences)}: leave out repositories without a score, and say which"
        )
    moved = differences[differences != 0]
    if not len(moved):
        raise FingerprintError(f"expected differences between two systems, got {len(differences)} zeros")
    is_tied = len(np.unique(rankdata(np.abs(moved)))) < len(moved)
    rng = np.random.default_rng(seed)
    method: Any = PermutationMethod(n_resamples=EXACT_FLIPS, rng=rng) if is_tied else "exact"
    tested: Any = wilcoxon(moved, method=method)
    return SignedRanks(len(moved), int((moved > 0).sum()), float(tested.pvalue))


@dataclass(frozen=True, slots=True)
class Discovery:
    """One cell's p-value, adjusted for the table, and whether it passes."""

    p_value: float
    adjusted: float
    is_found: bool


def benjamini_hochberg(p_values: Mapping[Cell, float], q: float = 0.05) -> dict[Cell, Discovery]:
    """Benjamini and Hochberg 1995 over a table: the expected share of false discoveries is at most q.

    Holds for independent or positively dependent p-values (PRDS), as split-conformal ones are (Bates et al.
    2023).

    Raises:
        FingerprintError: a p-value is missing or not between 0 and 1.
    """
    wrong = [cell for cell, p in p_values.items() if not 0 <= p <= 1]
    if wrong:
        raise FingerprintError(
            f"expected p-values from 0 to 1, got others for {wrong}: leave these cells out"
        )
    if not p_values:
        return {}
    adjusted = false_discovery_control(np.array(list(p_values.values())), method="bh")
    return {
        cell: Discovery(p, float(a), bool(a <= q))
        for (cell, p), a in zip(p_values.items(), adjusted, strict=True)
    }
