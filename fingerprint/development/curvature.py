"""What the loss looks like at w*: gradient, frozen preconditioner, top curvature, and from them the step."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from fingerprint import FingerprintError
from fingerprint.development.config import SamplerConfig

Loss = Callable[[torch.Generator], Float[Tensor, ""]]
Weights = Mapping[str, Tensor]
_REACH = 1e-3
"""Length of the finite difference, as a share of |w*|, and at least this."""


@dataclass(frozen=True, eq=False)
class Local:
    """The neighbourhood of w*.

    Attributes:
        G: diagonal preconditioner, mean 1 over the entries that move, 0 elsewhere; under rmsprop, the mask.
        step_size: epsilon. curvature: top |eigenvalue| of G^1/2 H G^1/2 (nan when not needed).
        gradient_norm: of the mean loss over the entries that move. n_params: how many move.
    """

    G: dict[str, Tensor]
    step_size: float
    curvature: float
    gradient_norm: float
    n_params: int


def measure_local(
    params: Weights,
    loss_batches: Loss,
    generator: Callable[[], torch.Generator],
    cfg: SamplerConfig,
    masks: Mapping[str, Bool[Tensor, "*shape"]] | None = None,
) -> Local:
    """Estimate it on ``cfg.gradient_batches`` minibatches at the parameters' present values.

    Args:
        generator: gives a new generator of one and the same seed, so that every gradient is of one batch set.
    """
    allowed = {
        name: torch.ones_like(w) if masks is None or name not in masks else masks[name].to(w)
        for name, w in params.items()
    }
    n_params = int(sum(float(mask.sum()) for mask in allowed.values()))
    if not n_params:
        raise FingerprintError("No entry of the parameters may move: the masks leave none")
    mean, square = _moments(params, loss_batches, generator(), cfg.gradient_batches)
    norm = math.sqrt(sum(float((mean[name].square() * allowed[name]).sum()) for name in params))
    G = frozen_preconditioner(square, allowed, cfg.clamp) if cfg.preconditioner == "frozen" else allowed
    if cfg.step_size is not None:
        return Local(G, cfg.step_size, math.nan, norm, n_params)
    top = top_curvature(params, G, _mean_gradient(params, loss_batches, generator, cfg), cfg)
    stiffest = cfg.n_beta * top + cfg.gamma * max(float(g.max()) for g in G.values())
    return Local(G, cfg.step_share / stiffest, top, norm, n_params)


def frozen_preconditioner(square: Weights, allowed: Weights, clamp: float) -> dict[str, Tensor]:
    """G ~ 1 / rms gradient, clamped to [1 / clamp, clamp] times its geometric mean, mean 1.

    Args:
        square: mean squared minibatch gradients. allowed: 1 where an entry moves, else 0.
    """
    moving = torch.cat([square[name][allowed[name] > 0] for name in square]).sqrt()
    alive = moving[moving > 0]
    if not len(alive):
        return dict(allowed)
    centre = float(alive.log().mean().exp())
    G = {name: allowed[name] / square[name].sqrt().clamp(centre / clamp, centre * clamp) for name in square}
    total = sum(float(g.sum()) for g in G.values()) / len(moving)
    return {name: g / total for name, g in G.items()}


@torch.no_grad()
def top_curvature(
    params: Weights, G: Weights, gradient: Callable[[], dict[str, Tensor]], cfg: SamplerConfig
) -> float:
    """Largest |eigenvalue| of G^1/2 H G^1/2 by power iteration on central differences of the gradient.

    Differences, not second derivatives: fused attention has none on a CPU.
    """
    star = {name: w.detach().clone() for name, w in params.items()}
    reach = _REACH * max(1.0, math.sqrt(sum(float(w.square().sum()) for w in star.values())))
    random = torch.Generator().manual_seed(cfg.seed)
    v = {name: torch.randn(w.shape, generator=random).to(w) * (G[name] > 0) for name, w in params.items()}
    top = 0.0
    for _ in range(cfg.curvature_rounds):
        length = _norm(v)
        if length == 0:  # flat: the gradient does not change along v
            break
        way = {name: G[name].sqrt() * v[name] / length for name in v}
        scale = reach / _norm(way)
        sides: list[dict[str, Tensor]] = []
        for sign in (1.0, -1.0):
            for name, w in params.items():
                w.copy_(star[name] + sign * scale * way[name])
            sides.append(gradient())
        v = {name: G[name].sqrt() * (sides[0][name] - sides[1][name]) / (2 * scale) for name in v}
        top = _norm(v)
    for name, w in params.items():
        w.copy_(star[name])
    return top


def _norm(values: Weights) -> float:
    return math.sqrt(sum(float(value.double().square().sum()) for value in values.values()))


def _moments(
    params: Weights, loss_batches: Loss, generator: torch.Generator, n_batches: int
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Mean and mean square of the minibatch gradients."""
    mean = {name: torch.zeros_like(w) for name, w in params.items()}
    square = {name: torch.zeros_like(w) for name, w in params.items()}
    for _ in range(n_batches):
        gradients = torch.autograd.grad(loss_batches(generator), list(params.values()), allow_unused=True)
        for name, gradient in zip(params, gradients, strict=True):
            if gradient is not None:
                mean[name] += gradient / n_batches
                square[name] += gradient.square() / n_batches
    return mean, square


def _mean_gradient(
    params: Weights, loss_batches: Loss, generator: Callable[[], torch.Generator], cfg: SamplerConfig
) -> Callable[[], dict[str, Tensor]]:
    """Gradient over a quarter of the batches: the top curvature needs no more."""

    def gradient() -> dict[str, Tensor]:
        with torch.enable_grad():
            return _moments(params, loss_batches, generator(), max(1, cfg.gradient_batches // 4))[0]

    return gradient
