"""Whether a stage wrote, or learned to read, a direction of the residual stream, beside meaningless ones.

The null matters more than the figure. At width d a random direction has |cos| of about 1 / sqrt(d) with any
other, but activations are not isotropic and what training writes lies where activations lie; so the observed
gain is ranked among directions drawn as activations vary, and among probes fitted to shuffled labels
(method-decomposition.md 7.3).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from fingerprint import FingerprintError
from fingerprint.lm.load import Base
from fingerprint.lm.sites import layer_of, matrix_of
from fingerprint.weights.report import Alignment, NullBand
from fingerprint.weights.residual_side import ResidualSide, residual_side, unit
from fingerprint.weights.terms import Stage

TOP = 4
"""Singular vectors that the subspace statistic uses."""
_QUANTILE = 0.99


def align(
    base: Base,
    stage: Stage,
    direction: Float[Tensor, " d"],
    nulls: Mapping[str, Float[Tensor, "_ d"]],
    *,
    k: int = TOP,
) -> tuple[Alignment, ...]:
    """Every matrix of a stage against one direction, each beside every kind of null.

    Args:
        base: any state's base: it gives norms and shapes. direction: in the residual stream, of any length.
        nulls: by kind, directions [n, d] of any length (``matched_directions``, probes of shuffled labels).

    Raises:
        FingerprintError: the direction is zero or not of the stream's width.
    """
    w = unit(direction)
    if not w.any() or w.shape[-1] != int(base.model.config.hidden_size):
        raise FingerprintError(
            f"A direction of the residual stream has {base.model.config.hidden_size} numbers, not all zero; "
            f"got {w.shape[-1]} with norm {float(direction.norm()):.3g}."
        )
    sides = {site: residual_side(base, site, terms) for site, terms in stage.terms.items()}
    observed = {site: gain(side, w[None])[0] for site, side in sides.items()}
    drawn = {kind: _gains(sides, unit(rows)) for kind, rows in nulls.items()}
    values = np.array(list(observed.values()))
    bands = {kind: _bands(kind, values, rows) for kind, rows in drawn.items()}
    return tuple(
        Alignment(
            stage=stage.name, site=site, layer=layer_of(site), matrix=matrix_of(site), role=side.role,
            cosine=float((side.directions[:1] @ w).abs().sum()),
            subspace=float((side.directions[:k] @ w).norm()), gain=observed[site],
            written=observed[site] * float(side.strengths.norm()),
            nulls=tuple(bands[kind][i] for kind in nulls),
        )
        for i, (site, side) in enumerate(sides.items())
    )  # fmt: skip


def gain(side: ResidualSide, directions: Float[Tensor, "n d"]) -> Float[np.ndarray, " n"]:
    """||D^T w|| / ||D||_F of unit directions, as the side sees them: root of the share of energy along w.

    1 where all of D lies along w, 1 / sqrt(d) where D has no preference, 0 of no change.
    """
    size = side.strengths.norm()
    if size == 0:
        return np.zeros(len(directions))
    return (((directions @ side.directions.T) * side.strengths).norm(dim=1) / size).numpy()


def _gains(sides: Mapping[str, ResidualSide], directions: Float[Tensor, "n d"]) -> Float[np.ndarray, "n m"]:
    return np.stack([gain(side, directions) for side in sides.values()], axis=1)


def _bands(
    kind: str, observed: Float[np.ndarray, " m"], drawn: Float[np.ndarray, "n m"]
) -> Sequence[NullBand]:
    """Ranks by matrix, and over all by the largest standardised excess (Westfall & Young 1993)."""
    mean, spread = drawn.mean(0), drawn.std(0) + 1e-12
    largest = ((drawn - mean) / spread).max(1)
    excess = (observed - mean) / spread
    n = len(drawn)
    return [
        NullBand(
            kind=kind, n=n, mean=float(mean[i]), high=float(np.quantile(drawn[:, i], _QUANTILE)),
            p_value=float((1 + (drawn[:, i] >= observed[i]).sum()) / (1 + n)),
            p_family=float((1 + (largest >= excess[i]).sum()) / (1 + n)),
        )
        for i in range(len(observed))
    ]  # fmt: skip


def matched_directions(
    activations: Float[Tensor, "n d"], n_directions: int, seed: int
) -> Float[Tensor, "m d"]:
    """Random directions with the covariance of activations: Gaussian combinations of centred rows.

    A Gaussian vector with covariance X^T X / n is X^T g / sqrt(n); its direction falls where activations
    vary.
    """
    rows = activations.detach().cpu().double()
    rows = rows - rows.mean(0)
    generator = torch.Generator().manual_seed(seed)
    return unit(torch.randn(n_directions, len(rows), generator=generator, dtype=torch.float64) @ rows)


def isotropic_directions(width: int, n_directions: int, seed: int) -> Float[Tensor, "m d"]:
    """Random directions without any preference: the easy null, for comparison."""
    generator = torch.Generator().manual_seed(seed)
    return unit(torch.randn(n_directions, width, generator=generator, dtype=torch.float64))
