"""Singular terms of what an adapter adds to each matrix, without ever forming it."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from fingerprint.lm.pair import RouteWeights


def factored_svd(
    up: Float[Tensor, "o r"], down: Float[Tensor, "r i"]
) -> tuple[Float[Tensor, "o k"], Float[Tensor, " k"], Float[Tensor, "k i"]]:
    """(left, strengths, right) of up @ down in double precision, largest first; exact, k <= min(o, r, i).

    With up = Q_u R_u and down^T = Q_d R_d the product is Q_u (R_u R_d^T) Q_d^T, and the Qs are orthonormal:
    only the small middle matrix is decomposed.
    """
    left, left_factor = torch.linalg.qr(up.detach().cpu().double())
    right, right_factor = torch.linalg.qr(down.detach().cpu().double().T)
    inner, strengths, outer = torch.linalg.svd(left_factor @ right_factor.T, full_matrices=False)
    return left @ inner, strengths, outer @ right.T


def singular_values(
    weights: RouteWeights, directions: Mapping[str, Tensor], scale: float
) -> dict[str, Float[Tensor, " r"]]:
    """Of s D A, every site, largest first; at most r of them differ from zero.

    Args:
        weights: D, [d_out, r] per site. directions: A, [r, d_in].
    """
    return {
        site: factored_svd(scale * change, directions[site])[1].float() for site, change in weights.items()
    }
