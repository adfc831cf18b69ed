"""From scores to rows: every system judged on the same texts, with intervals by whole commits."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from fingerprint.evaluation.metrics import (
    Interval,
    auroc,
    bag_commits,
    balanced_top,
    centre_rows,
    cluster_bootstrap,
    detection_bootstrap,
    equal_error_rate,
    macro,
    macro_auroc,
    one_vs_rest,
    pool_by_group,
    size_strata,
    stratified_auroc,
    tpr_at_fpr,
)
from fingerprint.evaluation.results import ContrastRow, DetectionRow, Figure, SystemRow
from fingerprint.evaluation.significance import paired_difference


@dataclass(frozen=True, eq=False)
class ClosedSet:
    """The texts a closed set of authors is judged on.

    Attributes:
        labels: author column of each hunk sample [n]. groups: commit of each.
        weights: scored tokens of each; a commit's score is the mean over its hunks so weighted.
        n_draws: bootstrap draws.
    """

    labels: Int[np.ndarray, " n"]
    groups: tuple[str, ...]
    weights: Float[np.ndarray, " n"]
    n_draws: int = 1000

    def by_unit(
        self, scores: np.ndarray, unit: str
    ) -> tuple[Float[np.ndarray, "m k"], Int[np.ndarray, " m"], Sequence[str]]:
        """Row-centred scores, labels and clusters by "hunk", by "commit" or by bag of "ten commits"."""
        centred = centre_rows(scores)
        if unit == "hunk":
            return centred, self.labels, self.groups
        if unit == "ten commits":
            bags, labels = bag_commits(centred, self.labels, self.groups, weights=self.weights)
            return bags, labels, [str(i) for i in range(len(labels))]
        return pool_by_group(centred, self.labels, self.groups, self.weights)[:3]

    def judge(self, system: str, scores: Float[np.ndarray, "n k"]) -> list[SystemRow]:
        """Rows of one system, by hunk, by commit and, where two authors have so many, by ten commits."""
        units = ["hunk", "commit"]
        if len(np.unique(self.by_unit(scores, "ten commits")[1])) > 1:
            units.append("ten commits")
        return [self._row(system, scores, unit) for unit in units]

    def _row(self, system: str, scores: np.ndarray, unit: str) -> SystemRow:
        values, labels, groups = self.by_unit(scores, unit)
        area = cluster_bootstrap(
            lambda rows: macro_auroc(values[rows], labels[rows]), groups, n_draws=self.n_draws
        )
        top = cluster_bootstrap(
            lambda rows: balanced_top(values[rows], labels[rows]), groups, n_draws=self.n_draws
        )
        return SystemRow(
            system=system,
            unit=unit,
            n=len(labels),
            n_authors=values.shape[1],
            auroc=figure(area),
            balanced=figure(top),
            top3=number(balanced_top(values, labels, 3)) if values.shape[1] > 3 else None,
            eer=number(macro(one_vs_rest(values, labels, equal_error_rate))),
        )

    def contrast(
        self, scores: Mapping[str, Float[np.ndarray, "n k"]], first: str, second: str
    ) -> list[ContrastRow]:
        """Paired difference in macro AUROC of two systems, by hunk and by commit."""
        found = []
        for unit in ("hunk", "commit"):
            a, labels, groups = self.by_unit(scores[first], unit)
            b = self.by_unit(scores[second], unit)[0]
            difference = paired_difference(
                lambda rows, a=a, labels=labels: macro_auroc(a[rows], labels[rows]),
                lambda rows, b=b, labels=labels: macro_auroc(b[rows], labels[rows]),
                groups,
                n_draws=self.n_draws,
            )
            area = figure(difference.interval)
            found.append(ContrastRow(first=first, second=second, unit=unit, auroc=area))
        return found


@dataclass(frozen=True, eq=False)
class Detection:
    """Two sides that every system is asked to tell apart.

    Attributes:
        against: who the strangers are. unit: "commit", "hunk" or "ten commits". team, strangers: the commit
            of each text (its own number for a bag), the cluster of the intervals. n_draws: bootstrap draws.
        sizes: scored tokens of the team's texts and then of the strangers'; None: no row is matched by size.
    """

    against: str
    unit: str
    team: tuple[str, ...]
    strangers: tuple[str, ...]
    n_draws: int = 1000
    sizes: Float[np.ndarray, " k"] | None = None

    def judge(
        self, system: str, team: Float[np.ndarray, " n"], strangers: Float[np.ndarray, " m"]
    ) -> DetectionRow:
        """One system's row; novelties, larger for more foreign."""
        flags = np.repeat([False, True], [len(self.team), len(self.strangers)])
        clusters = [f"team {commit}" for commit in self.team] + [
            f"other {commit}" for commit in self.strangers
        ]
        novelty = np.concatenate([team, strangers])
        return DetectionRow(
            system=system,
            against=self.against,
            unit=self.unit,
            n_team=len(team),
            n_strangers=len(strangers),
            auroc=figure(detection_bootstrap(auroc, novelty, flags, clusters, n_draws=self.n_draws)),
            matched=None if self.sizes is None else figure(self._matched(novelty, flags, clusters)),
            tpr_at_1=number(tpr_at_fpr(strangers, team, 0.01)),
            tpr_at_5=number(tpr_at_fpr(strangers, team, 0.05)),
        )

    def _matched(
        self, novelty: Float[np.ndarray, " k"], flags: Bool[np.ndarray, " k"], clusters: list[str]
    ) -> Interval:
        assert self.sizes is not None
        strata = size_strata(self.sizes)
        return cluster_bootstrap(
            lambda rows: stratified_auroc(novelty[rows], flags[rows], strata[rows]),
            clusters,
            n_draws=self.n_draws,
        )


def judge_sides(
    against: str, unit: str, novelty: Mapping[str, np.ndarray], is_stranger: Bool[np.ndarray, " k"],
    clusters: Sequence[str], *, sizes: Float[np.ndarray, " k"] | None, n_draws: int,
) -> Iterator[DetectionRow]:  # fmt: skip
    """A row a system, of texts in any order.

    Args:
        novelty: [k] by system. is_stranger: whose text each is. clusters, sizes: as in ``Detection``.
    """
    order = np.concatenate([np.flatnonzero(~is_stranger), np.flatnonzero(is_stranger)])
    n_team = int((~is_stranger).sum())
    named = tuple(str(clusters[i]) for i in order)
    ordered = None if sizes is None else sizes[order]
    judge = Detection(against, unit, named[:n_team], named[n_team:], n_draws, sizes=ordered)
    for name, values in novelty.items():
        yield judge.judge(name, values[order[:n_team]], values[order[n_team:]])


def figure(interval: Interval) -> Figure:
    """An interval as a serialisable figure."""
    return Figure(value=number(interval.value), low=number(interval.low), high=number(interval.high))


def number(value: float) -> float | None:
    """The value, None when it is not a number."""
    return None if math.isnan(value) else round(float(value), 6)
