"""The terms of the objective as pure functions (SPEC 4)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from fingerprint.vpd.components import Components


def smooth_l0(gates: Float[Tensor, "*b c"], gamma: float) -> Float[Tensor, "*b c"]:
    """g^2 / (g^2 + gamma^2): counts open gates, with bounded gradients however small gamma is."""
    square = gates.square()
    return square / (square + gamma**2)


def l_p(gates: Float[Tensor, "*b c"], p: float) -> Float[Tensor, "*b c"]:
    """(g + 1e-12)^p, the paper's importance (Bushnaq et al. 2026)."""
    return (gates + 1e-12).pow(p)


def importance_loss(penalties: Float[Tensor, "n c"]) -> Float[Tensor, ""]:
    """Mean over positions of the penalties' sum over components, all sites together."""
    return penalties.sum(-1).mean()


def frequency_loss(frequencies: Float[Tensor, " c"], reference: float) -> Float[Tensor, ""]:
    """Sum over components of f log2(1 + a' f).

    Args:
        frequencies: f, each component's mean penalty over all positions of a step, already pooled.
        reference: the fixed count a' in place of the number of positions.
    """
    return (frequencies * torch.log2(1 + reference * frequencies)).sum()


def faithfulness_loss(components: Components, *, relative: bool) -> Float[Tensor, ""]:
    """Mean over sites of |Delta|^2 / |M|^2, or the mean of Delta's squared entries over all sites.

    A zero M counts as of norm 1 in the relative form.
    """
    errors, norms, sizes = [], [], 0
    for delta, matrix in components.deltas():
        errors.append(delta.square().sum())
        norms.append(matrix.square().sum())
        sizes += matrix.numel()
    error = torch.stack(errors)
    if not relative:
        return error.sum() / sizes
    norm = torch.stack(norms)
    return (error / torch.where(norm > 0, norm, 1.0)).mean()


def kl_divergence(target_logits: Float[Tensor, "n v"], logits: Float[Tensor, "n v"]) -> Float[Tensor, " n"]:
    """KL(target || masked) of each position in nats, fp32 whatever the logits are."""
    target = target_logits.float().log_softmax(-1)
    return F.kl_div(logits.float().log_softmax(-1), target, reduction="none", log_target=True).sum(-1)


def squared_error(target: Float[Tensor, "n d"], outputs: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
    """Mean over outputs of the squared difference, for toys."""
    return (target.float() - outputs.float()).square().mean(-1)


def anneal(ends: tuple[float, float], step: int, steps: int, share: float = 1.0) -> float:
    """Linear from the first end at step 0 to the last at ``share`` of the steps, then held."""
    first, last = ends
    done = min(1.0, step / max(1.0, share * (steps - 1)))
    return first + (last - first) * done
