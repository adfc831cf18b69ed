"""A back-end trained on other repositories: which features tell authors apart anywhere.

Features are contributions of shared things (a base's sites, the kinds of tokens), so their weights mean
the same in every repository and need no label of the one they are used on. Conditional logistic
regression over the candidate authors, every repository weighing the same; the ridge strength is the one
that serves a repository left out best (routing.md section 4). Pure numpy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from fingerprint import FingerprintError
from fingerprint.evaluation.combine import PENALTIES, conditional_loss, fit_conditional

Contributions = Float[np.ndarray, "n k f"]


@dataclass(frozen=True, eq=False)
class Labelled:
    """One repository's texts: features [n, K, F], author columns [n]."""

    features: Contributions
    labels: Int[np.ndarray, " n"]


@dataclass(frozen=True, eq=False)
class TransferredWeights:
    """Weights over standardised features, the first one their sum.

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
    whole = np.concatenate([features.sum(axis=2, keepdims=True), features], axis=2)
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
        name: (standardise(donor.features, donor.features), donor.labels) for name, donor in donors.items()
    }
    penalty = PENALTIES[-1] if len(parts) < 2 else min(PENALTIES, key=lambda p: _loss_left_out(parts, p))
    return TransferredWeights(fit_conditional(list(parts.values()), penalty), penalty, tuple(donors))


def _loss_left_out(parts: Mapping[str, tuple[np.ndarray, np.ndarray]], penalty: float) -> float:
    losses = []
    for name, left_out in parts.items():
        theta = fit_conditional([part for other, part in parts.items() if other != name], penalty)
        losses.append(conditional_loss(theta, *left_out)[0])
    return float(np.mean(losses))
