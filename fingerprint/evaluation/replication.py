"""Does a reading come back from other code of the same author? What does not is not reported. Torch-free."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations
from math import factorial

import numpy as np
from jaxtyping import Float, Int
from scipy.stats import rankdata

from fingerprint import FingerprintError
from fingerprint.evaluation.metrics import balanced_top


def icc1(readings: Float[np.ndarray, "authors repeats *components"]) -> Float[np.ndarray, "*components"]:
    """ICC(1), the share of a component's variance that lies between authors (Shrout and Fleiss 1979).

    Args:
        readings: of each author, one reading a repeat (disjoint half, or seed), of each component.

    ICC(1) = (MSB - MSW) / (MSB + (r - 1) MSW) with r repeats, MSB and MSW the mean squares between and within
    authors of the one-way random model: from -1 / (r - 1) to 1; NaN where nothing varies.

    Raises:
        FingerprintError: fewer than two authors or two repeats.
    """
    n, r = readings.shape[:2]
    if min(n, r) < 2:
        raise FingerprintError(f"expected two or more authors and repeats, got {n} authors and {r} repeats")
    means = readings.mean(axis=1, keepdims=True)
    between = r * ((means[:, 0] - readings.mean(axis=(0, 1))) ** 2).sum(axis=0) / (n - 1)
    within = ((readings - means) ** 2).sum(axis=(0, 1)) / (n * (r - 1))
    total = between + (r - 1) * within
    return np.divide(between - within, total, out=np.full_like(total, np.nan), where=total > 0)


MOST_DEALS = 2_000
"""Deals of halves to authors enumerated, or drawn where there are more: all of six authors' or fewer."""


@dataclass(frozen=True, slots=True)
class Identification:
    """How well half A of each author finds half B of the same author.

    Attributes:
        auroc: chance that an author's two halves are more alike than halves of two authors; .5 is chance.
        top1: share of halves A whose most similar half B is the author's own; 1 / n_authors is chance.
        p_value: of the area, by dealing halves B to other authors: the share of deals, the true one counted,
            whose area is at least as large; 1 / n_authors! is the least.
    """

    auroc: float
    top1: float
    n_authors: int
    p_value: float


def identify_halves(similarity: Float[np.ndarray, "k k"], seed: int = 0) -> Identification:
    """Identification from similarities; rows are halves A, columns halves B, of the same authors in order."""
    k = len(similarity)
    if factorial(k) <= MOST_DEALS:  # the identity, which is the true deal, comes first among them
        deals = np.array(list(permutations(range(k))))
    else:
        rng = np.random.default_rng(seed)
        deals = np.array([np.arange(k), *(rng.permutation(k) for _ in range(MOST_DEALS))])
    areas = _areas(similarity, deals)
    top1 = balanced_top(similarity, np.arange(k))
    return Identification(float(areas[0]), top1, k, float(np.mean(areas >= areas[0] - 1e-12)))


def _areas(similarity: Float[np.ndarray, "k k"], deals: Int[np.ndarray, "n k"]) -> Float[np.ndarray, " n"]:
    """AUROC of each deal's own pairs (row i, column deal[i]) above all others, by the rank sum."""
    k = len(similarity)
    ranks = rankdata(similarity).reshape(k, k)
    sums = ranks[np.arange(k), deals].sum(axis=1)
    return (sums - k * (k + 1) / 2) / (k * (k * k - k))


def half_similarity(
    first: Float[np.ndarray, "k p"], second: Float[np.ndarray, "k p"]
) -> Float[np.ndarray, "k k"]:
    """Cosines of signatures of halves A and B, each half less its mean over authors.

    What all authors share makes every cosine large and says nothing of who wrote it. A signature equal to the
    mean has cosine 0 with all.
    """

    def directions(signatures: np.ndarray) -> np.ndarray:
        centred = signatures - signatures.mean(axis=0)
        length = np.linalg.norm(centred, axis=1, keepdims=True)
        return np.divide(centred, length, out=np.zeros_like(centred), where=length > 0)

    return directions(first) @ directions(second).T
