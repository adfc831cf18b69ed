"""Whether a figure is larger on the hunks that reviewers remarked on than on the others of the same diff.

Pairs are made within one diff alone: what a change is about, who wrote it and who reviewed it explain no part
of the result. Hunks of one change are not independent, so intervals resample whole changes. Torch-free.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.stats import rankdata

from fingerprint.evaluation.metrics import Interval, bootstrap_draws, percentile_interval
from fingerprint.evaluation.significance import PairedDifference, Statistic, paired_difference

LEAST_REMARKED, LEAST_CHANGES = 10, 5
"""Below either an interval would be read as more than it is; five changes give 126 different resamples."""


@dataclass(frozen=True, slots=True)
class RemarkRanking:
    """How a figure ranks the remarked hunks.

    Attributes:
        interval: share of the pairs (remarked, not remarked) of one diff in which the remarked hunk's figure
            is the larger one, ties half, pairs alike; .5 is chance. By whole changes.
        p_value: share of shuffles, within each diff, of who was remarked on that rank as high, the observed
            one counted; one-sided, never below 1 / (n_shuffles + 1).
        n_remarked: remarked hunks in pairs. n_hunks: hunks in pairs. n_changes: changes with pairs.
    """

    interval: Interval
    p_value: float
    n_remarked: int
    n_hunks: int
    n_changes: int
    n_pairs: int


@dataclass(frozen=True, slots=True)
class TooFewRemarks:
    """Nothing can be said.

    Attributes:
        n_remarked: remarked hunks of diffs that have another hunk too. n_changes: changes with such a diff.
    """

    n_remarked: int
    n_changes: int

    @property
    def reason(self) -> str:
        """What there is and what is needed."""
        return (
            f"too few remarks: {self.n_remarked} remarked hunks in {self.n_changes} changes with another "
            f"hunk beside, need {LEAST_REMARKED} in {LEAST_CHANGES}"
        )


def rank_remarks(
    values: Float[np.ndarray, " n"],
    is_remarked: Bool[np.ndarray, " n"],
    changes: Sequence[str],
    diffs: Sequence[str] | None = None,
    *,
    n_draws: int = 1000,
    n_shuffles: int = 2000,
    seed: int = 0,
) -> RemarkRanking | TooFewRemarks:
    """Rank the remarked hunks of every diff among its others.

    Args:
        values: a figure of every hunk. changes: the change of each.
        diffs: the diff of each, where a change was remarked on at several commits; None: one a change.
    """
    found = _pairings(values, is_remarked, list(zip(changes, diffs or changes, strict=True)))
    if (few := _too_few(found)) is not None:
        return few
    owners, won = [one.change for one in found], sum(one.won for one in found)
    share = _share_won(found)
    draws = bootstrap_draws(share, owners, n_draws=n_draws, seed=seed)
    rng = np.random.default_rng(seed)
    shuffled = np.sum([one.shuffle(rng, n_shuffles) for one in found], axis=0)
    n_as_high = int((shuffled >= won - 1e-9).sum())
    return RemarkRanking(
        percentile_interval(share(np.arange(len(found))), draws, 0.95), (1 + n_as_high) / (1 + n_shuffles),
        sum(one.n_remarked for one in found), sum(len(one.ranks) for one in found), len(set(owners)),
        sum(one.n_pairs for one in found),
    )  # fmt: skip


def contrast_remarks(
    values: Float[np.ndarray, " n"],
    control: Float[np.ndarray, " n"],
    is_remarked: Bool[np.ndarray, " n"],
    changes: Sequence[str],
    diffs: Sequence[str] | None = None,
    *,
    n_draws: int = 1000,
    seed: int = 0,
) -> PairedDifference | TooFewRemarks:
    """How much better a figure ranks the remarked hunks than a control does, on the same pairs.

    A control that ranks them below .5 is read the other way round: where reviewers remark on short hunks,
    shortness is the control.

    Returns:
        Share of pairs won by the figure minus that by the control, by whole changes.
    """
    keys = list(zip(changes, diffs or changes, strict=True))
    found = _pairings(values, is_remarked, keys)
    if (few := _too_few(found)) is not None:
        return few
    rows = np.arange(len(found))
    either = [_share_won(_pairings(sign * control, is_remarked, keys)) for sign in (1, -1)]
    best = max(either, key=lambda share: share(rows))
    owners = [one.change for one in found]
    return paired_difference(_share_won(found), best, owners, n_draws=n_draws, seed=seed)


@dataclass(frozen=True, slots=True)
class _Pairing:
    """One diff with remarked hunks and others. ranks: of its hunks' figures, the remarked ones' first."""

    change: str
    ranks: np.ndarray
    n_remarked: int

    @property
    def n_pairs(self) -> int:
        return self.n_remarked * (len(self.ranks) - self.n_remarked)

    @property
    def won(self) -> float:
        """Pairs in which the remarked hunk's figure is the larger one (Mann and Whitney's U)."""
        return float(self.ranks[: self.n_remarked].sum()) - self._least_sum

    def shuffle(self, rng: np.random.Generator, n_shuffles: int) -> np.ndarray:
        """``won`` with the remarks dealt out anew, [n_shuffles]."""
        dealt = rng.permuted(np.tile(self.ranks, (n_shuffles, 1)), axis=1)
        return dealt[:, : self.n_remarked].sum(axis=1) - self._least_sum

    @property
    def _least_sum(self) -> float:
        """Of the remarked ones' ranks when no pair is won."""
        return self.n_remarked * (self.n_remarked + 1) / 2


def _too_few(found: Sequence[_Pairing]) -> TooFewRemarks | None:
    n_remarked, n_changes = sum(one.n_remarked for one in found), len({one.change for one in found})
    is_enough = n_remarked >= LEAST_REMARKED and n_changes >= LEAST_CHANGES
    return None if is_enough else TooFewRemarks(n_remarked, n_changes)


def _share_won(found: Sequence[_Pairing]) -> Statistic:
    """The share of pairs won in the diffs of given numbers, which may repeat."""
    won, pairs = np.array([(one.won, one.n_pairs) for one in found], dtype=float).T
    return lambda rows: float(won[rows].sum() / pairs[rows].sum())


def _pairings(
    values: Float[np.ndarray, " n"], is_remarked: Bool[np.ndarray, " n"], keys: Sequence[tuple[str, str]]
) -> list[_Pairing]:
    """The diffs with both kinds of hunks; keys: change and diff of each hunk."""
    rows_of: dict[tuple[str, str], list[int]] = {}
    for row, key in enumerate(keys):
        rows_of.setdefault(key, []).append(row)
    found: list[_Pairing] = []
    for (change, _), rows in rows_of.items():
        own = sorted(rows, key=lambda row: not is_remarked[row])
        n_remarked = int(is_remarked[rows].sum())
        if 0 < n_remarked < len(rows):
            found.append(_Pairing(change, rankdata(values[own]), n_remarked))
    return found
