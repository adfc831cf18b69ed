"""From per-site contributions of every candidate author to one score per author. Pure numpy and scikit-learn.

To first order a sum over routes is the log-ratio that per-author perplexity (ALM) already measures; routing
can win only by knowing which sites to trust (routing.md section 4). Version 1 has no trained back-end:
weights are fitted on the repository's own dev slice, never on test. Contributions are shaped [n, K, S]:
nats per scored token of text n, candidate author k, site s.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold

Contributions = Float[np.ndarray, "n k s"]
Scores = Float[np.ndarray, "n k"]
Labels = Int[np.ndarray, " n"]

Model = TypeVar("Model")

PENALTIES = (0.003, 0.03, 0.3, 3.0, 30.0)
"""Ridge strengths tried by cross-validation over dev commits; the last leaves little but the plain sum."""
N_FOLDS = 4


def sum_sites(contributions: Contributions) -> Scores:
    """The plain sum: first-order ALM."""
    return contributions.sum(axis=2)


def remove_bias(
    contributions: Float[np.ndarray, "n k *s"], background: Float[np.ndarray, "m k *s"]
) -> Float[np.ndarray, "n k *s"]:
    """Subtract each author's (and site's) mean on background texts: bias_n of routing.md section 2."""
    return contributions - background.mean(axis=0, keepdims=True)


@dataclass(frozen=True)
class SiteWeights:
    """Weights over sites, shared by all authors: score_k = (sum_s c_ks) t + sum_s w_s c_ks / spread_s.

    Attributes:
        temperature: t, unpenalised: the plain sum is the point of no other evidence.
        weights: w [S]. spread: root mean square of each site's centred contributions on dev [S].
        penalty: the ridge strength that cross-validation chose.
    """

    temperature: float
    weights: Float[np.ndarray, " s"]
    spread: Float[np.ndarray, " s"]
    penalty: float

    def score(self, contributions: Contributions) -> Scores:
        """Scores [n, K], rows not centred."""
        return sum_sites(contributions) * self.temperature + contributions @ (self.weights / self.spread)


def fit_site_weights(contributions: Contributions, labels: Labels, groups: Sequence[str]) -> SiteWeights:
    """Fit shared site weights by conditional logistic regression over the candidate authors.

    Every author present weighs the same in all. The ridge strength is the one with the best cross-validated
    likelihood, folds made of whole commits.
    """
    centred = contributions - contributions.mean(axis=1, keepdims=True)
    spread = np.sqrt((centred**2).mean(axis=(0, 1))) + 1e-12

    features = _with_sum(centred, spread)

    def fit(rows: np.ndarray, penalty: float) -> np.ndarray:
        return fit_conditional([(features[rows], labels[rows])], penalty)

    def loss(rows: np.ndarray, found: np.ndarray) -> float:
        return conditional_loss(found, features[rows], labels[rows])[0]

    penalty = _choose(PENALTIES, fit, loss, labels, groups)
    found = fit(np.arange(len(labels)), penalty)
    return SiteWeights(float(found[0]), found[1:], spread, penalty)


def fit_conditional(
    parts: Sequence[tuple[np.ndarray, np.ndarray]], penalty: float
) -> Float[np.ndarray, " p"]:
    """Weights of a conditional logistic regression over candidate authors, one set for all parts.

    Args:
        parts: features [n, K, P] and author columns [n]; n and K may differ from part to part, and every
            part weighs the same.
        penalty: ridge strength on every weight but the first, which stands for the plain sum.
    """
    prepared = [_Part.of(*part) for part in parts]
    start = np.zeros(parts[0][0].shape[2])
    return np.asarray(minimize(_objective, start, (prepared, penalty), jac=True, method="L-BFGS-B").x)


def conditional_loss(
    theta: np.ndarray, features: Float[np.ndarray, "n k p"], labels: Labels
) -> tuple[float, Float[np.ndarray, " p"]]:
    """Mean cross-entropy, every author present weighing the same, and its gradient."""
    return _Part.of(features, labels).loss(theta)


@dataclass(frozen=True, eq=False, slots=True)
class _Part:
    """Rows with what does not depend on the weights made once."""

    features: np.ndarray
    flat: np.ndarray
    labels: np.ndarray
    weight: np.ndarray
    rows: np.ndarray

    @classmethod
    def of(cls, features: np.ndarray, labels: Labels) -> _Part:
        flat = features.reshape(-1, features.shape[2])
        return cls(features, flat, labels, _balanced(labels), np.arange(len(labels)))

    def loss(self, theta: np.ndarray) -> tuple[float, np.ndarray]:
        """``conditional_loss``."""
        logits = self.features @ theta
        logits -= logits.max(axis=1, keepdims=True)
        error = np.exp(logits)
        total = error.sum(axis=1, keepdims=True)
        value = -float(self.weight @ (logits[self.rows, self.labels] - np.log(total[:, 0])))
        error /= total
        error[self.rows, self.labels] -= 1
        error *= self.weight[:, None]
        return value, error.ravel() @ self.flat


def _objective(theta: np.ndarray, parts: Sequence[_Part], penalty: float) -> tuple[float, np.ndarray]:
    """Mean loss of the parts and the ridge, with the gradient."""
    ridge = penalty * theta
    ridge[0] = 0.0
    found = [part.loss(theta) for part in parts]
    value = sum(loss for loss, _ in found) / len(found) + float(ridge @ theta) / 2
    return value, np.sum([gradient for _, gradient in found], axis=0) / len(found) + ridge


def _with_sum(centred: Contributions, spread: np.ndarray) -> Float[np.ndarray, "n k p"]:
    """Features: the sum over sites, then every site over its spread."""
    return np.concatenate([centred.sum(axis=2, keepdims=True), centred / spread], axis=2)


def _balanced(labels: Labels) -> Float[np.ndarray, " n"]:
    """Weights that give every author present the same total, 1 in all."""
    counts = np.bincount(labels)
    return 1.0 / (counts[labels] * np.count_nonzero(counts))


@dataclass(frozen=True)
class AuthorLogistic:
    """Logistic regression on all site contributions of all candidates at once (routing.md section 6's best).

    Attributes:
        n_classes: authors; those absent from dev keep the lowest score.
    """

    classifier: LogisticRegression
    mean: Float[np.ndarray, " p"]
    spread: Float[np.ndarray, " p"]
    n_classes: int
    penalty: float

    def score(self, contributions: Contributions) -> Scores:
        """Log-probabilities [n, K]."""
        values = self.classifier.predict_log_proba((_flat(contributions) - self.mean) / self.spread)
        scores = np.full((len(values), self.n_classes), float(values.min()) - 1)
        scores[:, self.classifier.classes_] = values
        return scores


def fit_author_logistic(
    contributions: Contributions, labels: Labels, groups: Sequence[str]
) -> AuthorLogistic:
    """Fit an author-specific logistic back-end; strength by cross-validation over whole commits."""
    flat = _flat(contributions)
    mean, spread = flat.mean(axis=0), flat.std(axis=0) + 1e-12
    scaled = (flat - mean) / spread

    def fit(rows: np.ndarray, penalty: float) -> LogisticRegression:
        model = LogisticRegression(C=1 / (penalty * scaled.shape[1]), class_weight="balanced", max_iter=2000)
        return model.fit(scaled[rows], labels[rows])

    def loss(rows: np.ndarray, model: LogisticRegression) -> float:
        known = rows[np.isin(labels[rows], model.classes_)]
        log_p = model.predict_log_proba(scaled[known])
        return float(-log_p[np.arange(len(known)), np.searchsorted(model.classes_, labels[known])].mean())

    penalty = _choose(PENALTIES, fit, loss, labels, groups)
    n_classes = contributions.shape[1]
    return AuthorLogistic(fit(np.arange(len(labels)), penalty), mean, spread, n_classes, penalty)


def _flat(contributions: Contributions) -> Float[np.ndarray, "n p"]:
    centred = contributions - contributions.mean(axis=1, keepdims=True)
    return centred.reshape(len(centred), -1)


def cross_fit(
    fit: Callable[[np.ndarray], Callable[[np.ndarray], Scores]], labels: Labels, groups: Sequence[str]
) -> Scores:
    """Scores of texts by a model fitted on the other folds: what it gives on texts that it has not seen.

    Args:
        fit: from rows to fit on to a scorer of rows. groups: commits, kept whole in a fold.

    A fold whose others show fewer than two authors is fitted with itself.
    """
    every = np.arange(len(labels))
    n_folds = min(N_FOLDS, len(set(groups)))
    if n_folds < 2:
        return fit(every)(every)
    parts: dict[int, np.ndarray] = {}
    for others, rows in GroupKFold(n_folds).split(labels, labels, groups):
        known = others if len(np.unique(labels[others])) > 1 else every
        parts |= dict(zip(rows.tolist(), fit(known)(rows), strict=True))
    return np.stack([parts[i] for i in every.tolist()])


def _choose(
    penalties: Sequence[float],
    fit: Callable[[np.ndarray, float], Model],
    loss: Callable[[np.ndarray, Model], float],
    labels: Labels,
    groups: Sequence[str],
) -> float:
    """The penalty with the least mean loss over folds of whole groups; the strongest without folds."""
    n_folds = min(N_FOLDS, len(set(groups)))
    if n_folds < 2:
        return penalties[-1]
    folds = [
        (train, test)
        for train, test in GroupKFold(n_folds).split(labels, labels, groups)
        if len(np.unique(labels[train])) > 1
    ]
    losses = [float(np.mean([loss(test, fit(train, p)) for train, test in folds])) for p in penalties]
    return penalties[int(np.argmin(losses))] if folds else penalties[-1]
