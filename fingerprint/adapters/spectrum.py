"""Singular values of what an adapter adds to each matrix."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from fingerprint.lm.pair import RouteWeights


def singular_values(
    weights: RouteWeights, directions: Mapping[str, Tensor], scale: float
) -> dict[str, Float[Tensor, " r"]]:
    """Of s D A, every site, largest first; at most r of them differ from zero.

    Args:
        weights: D, [d_out, r] per site. directions: A, [r, d_in].

    The product is never formed: with the QR decomposition A^T = Q R the columns of Q are orthonormal, so
    s D A = s D R^T Q^T has the singular values of the thin matrix s D R^T.
    """
    found = {}
    for site, change in weights.items():
        _, r = torch.linalg.qr(directions[site].detach().float().cpu().T)
        found[site] = torch.linalg.svdvals(scale * change.detach().float().cpu() @ r.T)
    return found
