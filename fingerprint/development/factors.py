"""How many factors a response matrix has, and which: SVD beside two nulls. Torch-free.

Permuted columns (parallel analysis: Horn 1965; Buja and Eyuboglu 1992) say what rows without common structure
would give. Every entry of a response comes from the same few draws, though, and shared draws alone make
entries agree; so the second null shifts the observables along their chains against the losses: the same
draws, the same matrix of losses, no answer of any component.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from fingerprint.development.susceptibility import Draws, SusceptibilityError

MOST_FACTORS = 6
"""Factors that are asked for: each costs a null of its own."""


@dataclass(frozen=True, eq=False)
class Factors:
    """The singular value decomposition of a scaled, centred response.

    Attributes:
        values: singular values. rows: components' coordinates, U S. columns: loadings, V.
        permuted, shifted: 95 % points of the two nulls, of the first factors. n_factors: leading ones above
            both.
    """

    values: Float[np.ndarray, " f"]
    rows: Float[np.ndarray, "k f"]
    columns: Float[np.ndarray, "j f"]
    permuted: Float[np.ndarray, " b"]
    shifted: Float[np.ndarray, " b"]
    n_factors: int

    @property
    def explained(self) -> Float[np.ndarray, " f"]:
        """Share of the sum of squares of each factor."""
        return self.values**2 / (self.values**2).sum()


def scale_response(draws: Draws, losses: Float[np.ndarray, "c t j"]) -> Float[np.ndarray, "k j"]:
    """Chi with each component in units of its observable's posterior standard deviation, columns centred.

    Components have units of their own (norms, rates), so rows are scaled before columns are centred.
    """
    chi = _response(draws.phi, losses - draws.loss[:, :, None])
    spread = draws.spread
    scaled = np.divide(chi, spread[:, None], out=np.zeros_like(chi), where=spread[:, None] > 0)
    return scaled - scaled.mean(0)


def _response(phi: Float[np.ndarray, "c t k"], gap: Float[np.ndarray, "c t j"]) -> Float[np.ndarray, "k j"]:
    flat, other = phi.reshape(-1, phi.shape[-1]), gap.reshape(-1, gap.shape[-1])
    return -(flat - flat.mean(0)).T @ (other - other.mean(0)) / (len(flat) - 1)


def find_factors(
    draws: Draws,
    losses: Float[np.ndarray, "c t j"],
    *,
    n_nulls: int = 199,
    quantile: float = 0.95,
    seed: int = 0,
) -> Factors:
    """Decompose the response of all components to all data sets (or tokens).

    Raises:
        SusceptibilityError: fewer than two components or two columns, or nothing moved.
    """
    scaled = scale_response(draws, losses)
    if min(scaled.shape) < 2 or not np.abs(scaled).max() > 0:
        raise SusceptibilityError(
            f"a response of {scaled.shape[0]} components to {scaled.shape[1]} data sets has no factors: "
            "give two of either at least, whose values differ."
        )
    left, values, right = np.linalg.svd(scaled, full_matrices=False)
    permuted = permuted_values(scaled, n_nulls, seed)
    shifted = np.stack([_shifted_values(draws, losses, seed + i) for i in range(n_nulls)])
    bounds = [np.quantile(null, quantile, axis=0) for null in (permuted, shifted)]
    return Factors(
        values,
        left * values,
        right.T,
        bounds[0],
        bounds[1],
        count_above(values[: len(bounds[0])], np.maximum(*bounds)),
    )


def permuted_values(matrix: Float[np.ndarray, "k j"], n_nulls: int, seed: int) -> Float[np.ndarray, "n f"]:
    """Largest singular values of what leading factors leave, columns in random orders of their own.

    Factor f is asked of what the f before it leave; else a strong first factor, permuted, hides all others.
    """
    rng = np.random.default_rng(seed)
    left, values, right = np.linalg.svd(matrix, full_matrices=False)
    found = np.zeros((n_nulls, min(MOST_FACTORS, len(values))))
    for f in range(found.shape[1]):
        rest = (left[:, f:] * values[f:]) @ right[f:]
        found[:, f] = [_singular_values(rng.permuted(rest, axis=0))[0] for _ in range(n_nulls)]
    return found


def _singular_values(matrix: Float[np.ndarray, "k j"]) -> Float[np.ndarray, " f"]:
    """By falling size, from the Gram matrix of the shorter side: tokens are many, components few."""
    gram = matrix @ matrix.T if len(matrix) <= matrix.shape[1] else matrix.T @ matrix
    return np.sqrt(np.maximum(np.linalg.eigvalsh(gram)[::-1], 0))


def _shifted_values(draws: Draws, losses: Float[np.ndarray, "c t j"], seed: int) -> Float[np.ndarray, " f"]:
    """Singular values after each chain's observables are turned against its losses by random draws."""
    rng = np.random.default_rng(seed)
    n_draws = draws.phi.shape[1]
    turned = [
        np.roll(chain, int(rng.integers(n_draws // 4, n_draws - n_draws // 4 + 1)), axis=0)
        for chain in draws.phi
    ]
    moved = Draws(np.stack(turned), draws.loss, draws.components)
    return _singular_values(scale_response(moved, losses))[:MOST_FACTORS]


def count_above(values: Float[np.ndarray, " f"], bounds: Float[np.ndarray, " f"]) -> int:
    """Leading values above their bounds; the first one below ends the count."""
    below = np.flatnonzero(values <= bounds)
    return int(below[0]) if len(below) else len(values)
