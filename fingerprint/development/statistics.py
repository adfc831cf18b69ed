"""Many features at once: t, its null by shuffled labels, and the search for latents. Torch-free.

A label may belong to whole groups (the author of a commit) or be crossed with them (a function and its
mutant). In the first case groups exchange labels, and t is Welch's; in the second the label is exchanged
within each group, and t is that of paired differences (method-development.md E.2).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from fingerprint.evaluation.sign_flips import pieces

Rows = Float[np.ndarray, "n m"]
Labels = Bool[np.ndarray, " n"]
LEAST_FIRING = 0.02
"""Share of units a latent must fire on to be tested."""
_AT_ONCE = 50
_LEAST_VARIANCE = 1e-24


def group_numbers(groups: Sequence[str]) -> Int[np.ndarray, " n"]:
    """Groups as numbers from 0."""
    return np.unique(np.asarray(groups), return_inverse=True)[1].astype(int)


def is_crossed(labels: Labels, groups: Sequence[str]) -> bool:
    """Whether every group has units of both labels."""
    numbers = group_numbers(groups)
    return all(len(np.unique(labels[numbers == g])) == 2 for g in np.unique(numbers))


def shuffle_labels(labels: Labels, groups: Sequence[str], rng: np.random.Generator) -> Labels:
    """Labels that mean nothing: exchanged within every group that has both, between those that have one."""
    numbers, shuffled = group_numbers(groups), labels.copy()
    pure: list[np.ndarray] = []
    for g in np.unique(numbers):
        own = np.flatnonzero(numbers == g)
        if len(np.unique(labels[own])) == 2:
            shuffled[own] = rng.permutation(labels[own])
        else:
            pure.append(own)
    drawn = rng.permutation([labels[own[0]] for own in pure]) if pure else []
    for own, label in zip(pure, drawn, strict=True):
        shuffled[own] = label
    return shuffled


def t_statistics(rows: Rows, labels: Labels, groups: Sequence[str]) -> Float[np.ndarray, " m"]:
    """Positives against negatives, by column: paired where labels are crossed with groups, else Welch's."""
    if is_crossed(labels, groups):
        differences = paired_differences(rows, labels, groups)
        return _paired_t(np.ones((1, len(differences))), differences)[0]
    return _welch_t(labels[None].astype(float), rows)[0]


def paired_differences(rows: Rows, labels: Labels, groups: Sequence[str]) -> Float[np.ndarray, "g m"]:
    """Mean of a group's positives minus mean of its negatives."""
    numbers = group_numbers(groups)
    n = numbers.max(initial=-1) + 1
    means = []
    for side in (True, False):
        share = np.zeros((n, len(labels)))
        chosen = np.flatnonzero(labels == side)
        share[numbers[chosen], chosen] = 1
        means.append((share / share.sum(1, keepdims=True)) @ rows)
    return means[0] - means[1]


def largest_t_null(
    rows: Rows, labels: Labels, groups: Sequence[str], *, n_shuffles: int, seed: int
) -> Float[np.ndarray, " k"]:
    """Largest |t| over all columns, under each of ``n_shuffles`` shuffles of the labels."""
    rng, found = np.random.default_rng(seed), []
    crossed = is_crossed(labels, groups)
    differences = paired_differences(rows, labels, groups) if crossed else None
    for n in pieces(n_shuffles, _AT_ONCE):
        if differences is not None:
            t = _paired_t(rng.choice(np.array([-1.0, 1.0]), size=(n, len(differences))), differences)
        else:
            t = _welch_t(np.array([shuffle_labels(labels, groups, rng) for _ in range(n)], float), rows)
        found.append(np.abs(t).max(1))
    return np.concatenate(found)


def _welch_t(positive: Float[np.ndarray, "k n"], rows: Rows) -> Float[np.ndarray, "k m"]:
    """Welch's t of every column under every labelling; 0 where nothing varies."""
    centred = rows - rows.mean(0)
    means, errors = [], []
    for chosen in (positive, 1 - positive):
        n = chosen.sum(1, keepdims=True)
        mean = chosen @ centred / n
        variance = (chosen @ centred**2 - n * mean**2) / np.maximum(n - 1, 1)
        means.append(mean)
        errors.append(np.maximum(variance, 0) / n)
    error = errors[0] + errors[1]
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(error > _LEAST_VARIANCE, (means[0] - means[1]) / np.sqrt(error), 0.0)


def _paired_t(
    signs: Float[np.ndarray, "k g"], differences: Float[np.ndarray, "g m"]
) -> Float[np.ndarray, "k m"]:
    """The t of the mean difference of every column under every pattern of signs; 0 where nothing varies."""
    n = len(differences)
    mean = signs @ differences / n
    variance = ((differences**2).sum(0) - n * mean**2) / max(n - 1, 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(variance > _LEAST_VARIANCE, mean / np.sqrt(np.maximum(variance, 0) / n), 0.0)


# ------------------------------------------------------------------------------------------ the search


@dataclass(frozen=True, slots=True)
class FoundLatent:
    """A latent that tells the labels apart.

    Attributes:
        layer, latent: which. t: positives against negatives. p_value: against the largest |t| over all
            latents and layers of shuffled labels. separation: share of positives it fires on minus that of
            negatives.
    """

    layer: int
    latent: int
    t: float
    p_value: float
    separation: float


@dataclass(frozen=True)
class LatentSearch:
    """The thesis' search (Tahimic & Cheng 2025), with a null.

    Attributes:
        predictors: largest |t| first. steering: largest |separation| first. n_tested: latents and layers.
        n_found: latents with a max-t p-value of at most .05.
    """

    predictors: tuple[FoundLatent, ...]
    steering: tuple[FoundLatent, ...]
    n_tested: int
    n_found: int


def search_latents(
    latents: dict[int, Rows], labels: Labels, groups: Sequence[str], *, n_best: int = 20, n_shuffles: int =
    200, seed: int = 0,
) -> LatentSearch:  # fmt: skip
    """The best latents of all layers together; in sample, so the p-value and not t says what they are worth.

    Args:
        latents: pooled activations by layer.
    """
    places = [
        (layer, int(i))
        for layer, rows in latents.items()
        for i in np.flatnonzero((rows > 0).mean(0) >= LEAST_FIRING)
    ]
    if not places:
        return LatentSearch((), (), 0, 0)
    rows = np.stack([latents[layer][:, i] for layer, i in places], axis=1)
    t = t_statistics(rows, labels, groups)
    null = np.sort(largest_t_null(rows, labels, groups, n_shuffles=n_shuffles, seed=seed))
    n_above = len(null) - np.searchsorted(null, np.abs(t) * (1 - 1e-12))
    p_values = (1 + n_above) / (1 + len(null))
    separation = (rows[labels] > 0).mean(0) - (rows[~labels] > 0).mean(0)
    found = [
        FoundLatent(layer, i, float(t[k]), float(p_values[k]), float(separation[k]))
        for k, (layer, i) in enumerate(places)
    ]
    return LatentSearch(
        tuple(sorted(found, key=lambda one: -abs(one.t))[:n_best]),
        tuple(sorted(found, key=lambda one: -abs(one.separation))[:n_best]),
        len(found), int((p_values <= 0.05).sum()),
    )  # fmt: skip
