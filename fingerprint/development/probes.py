"""Linear read-outs of a label, judged on groups they were not fitted on.

Every probe is a direction: a unit's score is its row times the direction. A row is an activation of the
residual stream, a row of latents, or the unit's loss alone, so that all of them go through the same folds,
the same bootstrap and the same null. Never in sample: with more dimensions than units a mean difference
separates anything (method-development.md E.1).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int
from sklearn.linear_model import LogisticRegression

from fingerprint import FingerprintError
from fingerprint.development.statistics import group_numbers, shuffle_labels, t_statistics
from fingerprint.evaluation.metrics import Interval, auroc, bootstrap_draws, percentile_interval

Rows = Float[np.ndarray, "n d"]
Labels = Bool[np.ndarray, " n"]
Fit = Callable[[Rows, Labels, Sequence[str]], Float[np.ndarray, " d"]]
"""(rows, labels, groups) of the training units -> a direction, of any length."""
Penalty = Literal["l1", "l2"]
STRENGTHS: dict[Penalty, tuple[float, ...]] = {"l2": (1e-3, 1e-2, 1e-1), "l1": (0.03, 0.1, 0.3)}
"""C of the logistic probes, smallest first: inverse strength of the penalty on standardised rows."""
_LEAST_SPREAD = 1e-9


def difference_of_means(rows: Rows, labels: Labels, groups: Sequence[str]) -> Float[np.ndarray, " d"]:
    """Mean of the positives minus mean of the negatives (mass mean)."""
    del groups
    return rows[labels].mean(0) - rows[~labels].mean(0)


def logistic(rows: Rows, labels: Labels, groups: Sequence[str]) -> Float[np.ndarray, " d"]:
    """L2 logistic regression on standardised rows, in raw space; C by folds within the training units.

    A column's unit is its spread within the labels: over all rows it would shrink what tells them apart.
    """
    return _penalised(rows, labels, groups, "l2")


def sparse_logistic(rows: Rows, labels: Labels, groups: Sequence[str]) -> Float[np.ndarray, " d"]:
    """The same with an L1 penalty: a few latents of many."""
    return _penalised(rows, labels, groups, "l1")


def on_best_layer(n_layers: int, fit: Fit) -> Fit:
    """A probe of one layer, the one whose mean difference is best on folds within the training units.

    Takes rows [n, n_layers * d], layer after layer; the direction is zero in all layers but one.
    """

    def chosen(rows: Rows, labels: Labels, groups: Sequence[str]) -> Float[np.ndarray, " d"]:
        layers = np.split(rows, n_layers, axis=1)
        aurocs = [
            cross_validate(part, labels, groups, difference_of_means, n_folds=3).auroc for part in layers
        ]
        best = int(np.argmax(aurocs))
        direction = np.zeros((n_layers, layers[0].shape[1]))
        direction[best] = fit(layers[best], labels, groups)
        return direction.ravel()

    return chosen


def best_latent(rows: Rows, labels: Labels, groups: Sequence[str]) -> Float[np.ndarray, " d"]:
    """The one latent with the largest |t| between the labels, signed: E.1's predictor latent."""
    t = t_statistics(rows, labels, groups)
    best = int(np.argmax(np.abs(t)))
    direction = np.zeros(rows.shape[1])
    direction[best] = 1.0 if t[best] >= 0 else -1.0
    return direction


def _penalised(
    rows: Rows, labels: Labels, groups: Sequence[str], penalty: Penalty
) -> Float[np.ndarray, " d"]:
    within = rows[labels].var(0) * labels.mean() + rows[~labels].var(0) * (~labels).mean()
    spread = np.sqrt(within)
    spread = np.where(spread > _LEAST_SPREAD * (1 + np.abs(rows).max()), spread, np.inf)
    scaled = (rows - rows.mean(0)) / spread
    strength = _choose_strength(scaled, labels, groups, penalty)
    return _fit_logistic(scaled, labels, penalty, strength) / spread


def _fit_logistic(rows: Rows, labels: Labels, penalty: Penalty, c: float) -> Float[np.ndarray, " d"]:
    is_sparse = penalty == "l1"
    model = LogisticRegression(
        C=c, l1_ratio=1.0 if is_sparse else 0.0, solver="liblinear" if is_sparse else "lbfgs",
        class_weight="balanced", max_iter=500, tol=1e-4, random_state=0,
    )  # fmt: skip
    return model.fit(rows, labels).coef_[0]


def _choose_strength(rows: Rows, labels: Labels, groups: Sequence[str], penalty: Penalty) -> float:
    """The C with the best AUROC on inner folds; the strongest penalty where no inner fold has both labels."""
    scores = dict.fromkeys(STRENGTHS[penalty], 0.0)
    for train, test in _folds(labels, groups, 2, 0):
        if _is_one_sided(labels[train]) or _is_one_sided(labels[test]):
            continue
        for c in scores:
            found = rows[test] @ _fit_logistic(rows[train], labels[train], penalty, c)
            scores[c] += auroc(found[labels[test]], found[~labels[test]])
    return max(scores, key=lambda c: scores[c])


# ------------------------------------------------------------------------------------- held-out scores


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Scores of units by probes that had not seen their groups.

    Attributes:
        scores: of each unit, by its fold's probe. fold: of each unit; scores of two folds have two scales, so
            only units of one fold are compared.
    """

    scores: Float[np.ndarray, " n"]
    fold: Int[np.ndarray, " n"]
    labels: Labels
    groups: tuple[str, ...]

    def auroc_of(self, rows: Int[np.ndarray, " m"]) -> float:
        """AUROC over the pairs within folds, all alike, of the given units; NaN without a pair."""
        above, n_pairs = 0.0, 0
        for number in np.unique(self.fold[rows]):
            here = rows[self.fold[rows] == number]
            positive, negative = self.scores[here[self.labels[here]]], self.scores[here[~self.labels[here]]]
            if len(positive) and len(negative):
                above += auroc(positive, negative) * len(positive) * len(negative)
                n_pairs += len(positive) * len(negative)
        return above / n_pairs if n_pairs else float("nan")

    @property
    def auroc(self) -> float:
        """Over all units."""
        return self.auroc_of(np.arange(len(self.scores)))

    def draws(self, n_draws: int, seed: int = 0) -> Float[np.ndarray, " k"]:
        """AUROCs of whole groups drawn with replacement: the same groups for every probe of these units."""
        return bootstrap_draws(self.auroc_of, self.groups, n_draws=n_draws, seed=seed)

    def interval(self, n_draws: int = 500, seed: int = 0) -> Interval:
        """With its 95 % interval by whole groups."""
        return percentile_interval(self.auroc, self.draws(n_draws, seed), 0.95)


Score = Callable[[Int[np.ndarray, " a"], Int[np.ndarray, " b"]], Float[np.ndarray, " b"]]
"""(training units, test units) -> scores of the test units."""


def held_out_scores(
    labels: Labels, groups: Sequence[str], score: Score, *, n_folds: int = 5, seed: int = 0,
    hold_out: Sequence[str] | None = None,
) -> HeldOut:  # fmt: skip
    """Scores of every unit by whatever was fitted on other groups.

    Args:
        hold_out: a kind of each unit, such as its mutation operator; then every kind is a fold.

    Raises:
        FingerprintError: too few groups, or no fold has both labels on either side.
    """
    scores, fold = np.zeros(len(labels)), np.full(len(labels), -1)
    plan = _folds(labels, groups, n_folds, seed) if hold_out is None else _kinds(groups, hold_out)
    for number, (train, test) in enumerate(plan):
        if len(train) and not _is_one_sided(labels[train]):
            scores[test], fold[test] = score(train, test), number
    kept = np.flatnonzero(fold >= 0)
    found = HeldOut(scores[kept], fold[kept], labels[kept], tuple(groups[int(i)] for i in kept))
    if not len(kept) or np.isnan(found.auroc):
        raise FingerprintError(
            f"{len(labels)} units in {len(set(groups))} groups cannot be divided so that every side has both "
            "labels. Give more groups of either label."
        )
    return found


def cross_validate(
    rows: Rows, labels: Labels, groups: Sequence[str], fit: Fit, *, n_folds: int = 5, seed: int = 0,
    tested: Rows | None = None, hold_out: Sequence[str] | None = None,
) -> HeldOut:  # fmt: skip
    """Score every unit by a probe fitted on other groups; ``hold_out`` and errors as above.

    Args:
        tested: other rows of the same units to score, when the probe is to be tried on a changed text; the
            units of a fold are left out of its fit either way.
    """
    there = rows if tested is None else tested

    def score(train: Int[np.ndarray, " a"], test: Int[np.ndarray, " b"]) -> Float[np.ndarray, " b"]:
        return there[test] @ fit(rows[train], labels[train], [groups[int(i)] for i in train])

    return held_out_scores(labels, groups, score, n_folds=n_folds, seed=seed, hold_out=hold_out)


def unfitted(scores: Float[np.ndarray, " n"], labels: Labels, groups: Sequence[str]) -> HeldOut:
    """Scores that no label of these units has touched: one fold, so that all are compared."""
    return HeldOut(scores, np.zeros(len(scores), dtype=int), labels, tuple(groups))


def _folds(
    labels: Labels, groups: Sequence[str], n_folds: int, seed: int
) -> Iterator[tuple[Int[np.ndarray, " a"], Int[np.ndarray, " b"]]]:
    """Whole groups, dealt out by label and size; no more folds than the rarer label has groups."""
    numbers = group_numbers(groups)
    n = min(n_folds, *(len(np.unique(numbers[labels == side])) for side in (False, True)))
    if n < 2:
        raise FingerprintError(
            f"Probing needs at least two groups of either label, got {n}: nothing could be held out."
        )
    fold = _deal(np.bincount(numbers, labels), np.bincount(numbers), n, seed)[numbers]
    for number in range(n):
        yield np.flatnonzero(fold != number), np.flatnonzero(fold == number)


def _deal(
    n_positive: Float[np.ndarray, " g"], sizes: Int[np.ndarray, " g"], n_folds: int, seed: int
) -> Int[np.ndarray, " g"]:
    """A fold for every group: by share of positives and falling size, there and back, ties at random."""
    rng = np.random.default_rng(seed)
    order = np.lexsort((rng.random(len(sizes)), -sizes, n_positive / sizes))
    turns = np.arange(len(sizes)) % (2 * n_folds)
    fold = np.empty(len(sizes), dtype=int)
    fold[order] = rng.permutation(n_folds)[np.minimum(turns, 2 * n_folds - 1 - turns)]
    return fold


def _kinds(
    groups: Sequence[str], hold_out: Sequence[str]
) -> Iterator[tuple[Int[np.ndarray, " a"], Int[np.ndarray, " b"]]]:
    """Each kind once; its groups are left out of the training units whatever their kind."""
    kinds, numbers = np.asarray(hold_out), group_numbers(groups)
    for kind in np.unique(kinds):
        test = np.flatnonzero(kinds == kind)
        yield np.flatnonzero(~np.isin(numbers, numbers[test])), test


def _is_one_sided(labels: Labels) -> bool:
    return bool(labels.all() or not labels.any())


# ------------------------------------------------------------------------------------------- the nulls


@dataclass(frozen=True, slots=True)
class ProbeScore:
    """One probe in one place.

    Attributes:
        auroc, low, high: held out, 95 % by whole groups. null_high: 95 % quantile of the same with shuffled
            labels; NaN when none were drawn. p_value: one-sided, against them.
    """

    auroc: float
    low: float
    high: float
    null_high: float
    p_value: float


def measure_probe(
    rows: Rows, labels: Labels, groups: Sequence[str], fit: Fit, *, n_folds: int = 5, n_draws: int = 500,
    n_shuffles: int = 20, seed: int = 0,
) -> ProbeScore:  # fmt: skip
    """Held-out AUROC with its interval, beside the same procedure on shuffled labels."""
    found = cross_validate(rows, labels, groups, fit, n_folds=n_folds, seed=seed)
    interval = found.interval(n_draws, seed)
    null = shuffled_aurocs(rows, labels, groups, fit, n_shuffles=n_shuffles, n_folds=n_folds, seed=seed)
    high = float(np.quantile(null, 0.95)) if len(null) else float("nan")
    p_value = float((1 + (null >= interval.value).sum()) / (1 + len(null))) if len(null) else float("nan")
    return ProbeScore(interval.value, interval.low, interval.high, high, p_value)


def shuffled_aurocs(
    rows: Rows, labels: Labels, groups: Sequence[str], fit: Fit, *, n_shuffles: int, n_folds: int = 5,
    seed: int = 0,
) -> Float[np.ndarray, " k"]:  # fmt: skip
    """AUROCs of the whole procedure with labels that mean nothing."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(n_shuffles):
        shuffled = shuffle_labels(labels, groups, rng)
        found.append(cross_validate(rows, shuffled, groups, fit, n_folds=n_folds, seed=seed).auroc)
    return np.array(found)


def shuffled_directions(
    rows: Rows, labels: Labels, groups: Sequence[str], fit: Fit, *, n_shuffles: int, seed: int = 0
) -> Float[np.ndarray, "k d"]:
    """Probes fitted to shuffled labels: where a direction points that means nothing, fitted on these rows."""
    rng = np.random.default_rng(seed)
    return np.stack([fit(rows, shuffle_labels(labels, groups, rng), groups) for _ in range(n_shuffles)])
