"""A back-end trained on other repositories: which features tell authors apart anywhere.

Features are contributions of shared things (a base's sites, the kinds of tokens), so their weights mean
the same in every repository and need no label of the one they are used on. Conditional logistic
regression over the candidate authors, every repository weighing the same; the ridge strength is the one
that serves a repository left out best (routing.md section 4). Pure numpy and scipy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import minimize
from scipy.special import log_softmax

from fingerprint import FingerprintError
from fingerprint.evaluation.combine import PENALTIES, balance_authors

Contributions = Float[np.ndarray, "n k f"]


@dataclass(frozen=True, eq=False)
class Labelled:
    """One repository's texts: features [n, K, F], author columns [n]."""

    features: Contributions
    labels: Int[np.ndarray, " n"]


@dataclass(frozen=True, eq=False)
class TransferredWeights:
    """Weights over standardised features, the last one their sum.

    Attributes:
        weights: [F + 1]. penalty: the ridge strength chosen. repositories: which ones taught them.
    """

    weights: Float[np.ndarray, " p"]
    penalty: float
    repositories: tuple[str, ...]

    def score(self, features: Contributions, past: Float[np.ndarray, "m k f"]) -> Float[np.ndarray, "n k"]:
        """Scores of texts of another repository.

        Args:
            past: features of earlier texts there, unlabelled: they give the spreads.
        """
        return standardise(features, past) @ self.weights


def standardise(features: Contributions, past: Float[np.ndarray, "m k f"]) -> Float[np.ndarray, "n k p"]:
    """Row-centred features and their sum, each over its root mean square on the past texts."""
    spread = np.sqrt((_centred_with_sum(past) ** 2).mean(axis=(0, 1)))
    return _centred_with_sum(features) / np.where(spread > 0, spread, np.inf)


def _centred_with_sum(features: Contributions) -> Float[np.ndarray, "n k p"]:
    whole = np.concatenate([features, features.sum(axis=2, keepdims=True)], axis=2)
    return whole - whole.mean(axis=1, keepdims=True)


def fit_transferred(donors: Mapping[str, Labelled]) -> TransferredWeights:
    """Fit on every donor; with two or more, each is left out once to choose the ridge strength.

    The features of a donor are standardised on themselves.

    Raises:
        FingerprintError: no donor, or donors with different features.
    """
    sizes = {name: donor.features.shape[2] for name, donor in donors.items()}
    if len(set(sizes.values())) != 1:
        raise FingerprintError(
            f"Donors need the same features, got {sizes or 'no donor'}: use one base for all."
        )
    parts = {
        name: Labelled(standardise(donor.features, donor.features), donor.labels)
        for name, donor in donors.items()
    }
    penalty = PENALTIES[-1] if len(parts) < 2 else min(PENALTIES, key=lambda p: _loss_left_out(parts, p))
    return TransferredWeights(_fit(list(parts.values()), penalty), penalty, tuple(donors))


def _loss_left_out(parts: Mapping[str, Labelled], penalty: float) -> float:
    losses = []
    for name, left_out in parts.items():
        theta = _fit([part for other, part in parts.items() if other != name], penalty)
        losses.append(_loss(theta, left_out)[0])
    return float(np.mean(losses))


def _fit(parts: Sequence[Labelled], penalty: float) -> Float[np.ndarray, " p"]:
    """Minimum of the mean loss plus a ridge on all but the sum."""
    n_features = parts[0].features.shape[2]
    ridge = np.full(n_features, penalty)
    ridge[-1] = 0.0

    def objective(theta: np.ndarray) -> tuple[float, np.ndarray]:
        found = [_loss(theta, part) for part in parts]
        value = float(np.mean([loss for loss, _ in found])) + float(ridge @ theta**2) / 2
        return value, np.mean([gradient for _, gradient in found], axis=0) + ridge * theta

    return np.asarray(minimize(objective, np.zeros(n_features), jac=True, method="L-BFGS-B").x)


def _loss(theta: np.ndarray, part: Labelled) -> tuple[float, np.ndarray]:
    """Mean cross-entropy over authors present, each weighing the same, and its gradient."""
    rows = np.arange(len(part.labels))
    weight = balance_authors(part.labels)
    log_p = log_softmax(part.features @ theta, axis=1)
    error = np.exp(log_p)
    error[rows, part.labels] -= 1
    gradient = np.einsum("n,nk,nkp->p", weight, error, part.features)
    return float(-(weight * log_p[rows, part.labels]).sum()), gradient
