"""Draws from the tempered posterior around a checkpoint by stochastic-gradient Langevin dynamics (SGLD).

The law sampled is p(w) ~ exp(-n beta L(w) - gamma / 2 |w - w*|^2) over any named parameters (Welling & Teh
2011; Lau et al. 2025, arXiv 2308.12108). One step, with a diagonal preconditioner G,

    w <- w - (eps / 2) G [n beta grad L_m(w) + gamma (w - w*)] + (eps G)^1/2 xi,     xi ~ N(0, 1).

G is estimated at w* and then frozen: for a constant G the stationary law is the same. RMSProp-SGLD (Li et
al. 2016, arXiv 1512.07666; used by Lee et al. 2025, arXiv 2510.12071) adapts G and leaves out the term that
would make it exact; it is there to repeat what was published.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from fingerprint import FingerprintError
from fingerprint.adapters.adapter import digest_weights
from fingerprint.development.config import SamplerConfig
from fingerprint.development.curvature import Local, measure_local
from fingerprint.development.trace import Chain, Trace, read_chain, write_chain
from fingerprint.provenance import digest_of

Loss = Callable[[torch.Generator], Float[Tensor, ""]]
"""Mean loss, in nats, of a minibatch drawn with the generator; differentiable in the sampled parameters."""
Observe = Callable[[], Mapping[str, Tensor]]
"""What is read at a draw, by name: scalars or vectors. ``LOSS`` must be among them."""
LOSS = "loss"
"""Name of the mean loss on a fixed set, of which the minibatch losses are unbiased estimates."""
Weights = Mapping[str, Tensor]


class DivergedError(FingerprintError):
    """Every chain left the finite numbers."""


@dataclass(frozen=True)
class SampleProgress:
    """Where sampling stands: chain of chains, step of steps in it, and the minibatch loss, nats."""

    chain: int
    chains: int
    step: int
    steps: int
    loss: float


def sample(
    params: Weights,
    star: Weights,
    loss_batches: Loss,
    observe: Observe,
    cfg: SamplerConfig,
    *,
    masks: Mapping[str, Bool[Tensor, "*shape"]] | None = None,
    label: str = "",
    store: Path | None = None,
    progress: Callable[[SampleProgress], None] = lambda _: None,
) -> Trace:
    """Sample chain after chain from ``star``; the parameters' values come back as they were.

    The model must be in eval mode (dropout would count as loss), its sampled parameters fp32 (bf16 swallows
    the steps).

    Args:
        params: the live tensors to move, by name. star: w*, the same names and shapes.
        loss_batches: the minibatch loss. observe: what every draw and w* are read for, without gradients.
        masks: entries that may move, for parameters of which not all do.
        label: names the checkpoint; with the seed and the chain's number it seeds noise and minibatches, so
            that no result depends on the order in which checkpoints or chains are run.
        store: folder in which finished chains are kept and found again; of this run alone.

    Raises:
        DivergedError: every chain diverged. FingerprintError: names, shapes or types that do not go together.
    """
    _check(params, star)
    started = time.process_time()
    digest = _digest(star, masks, label, cfg)
    chains: list[Chain] = []
    with _restored(params):
        _put(params, star)
        local = measure_local(params, loss_batches, lambda: _generator(params, cfg, label, -1), cfg, masks)
        at_star = _observation(observe)
        if LOSS not in at_star:
            raise FingerprintError(f"observe() gave {sorted(at_star)}; it must give {LOSS!r}, the mean loss")
        for number in range(cfg.n_chains):
            place = None if store is None else store / f"chain-{number}.npz"
            chain = None if place is None else read_chain(place, digest)
            if chain is None:
                _put(params, star)
                told = _teller(progress, number, cfg)
                target = _Target(params, star, loss_batches, observe)
                chain = _run_chain(target, cfg, local, _seed(cfg, label, number), told)
                if place is not None:
                    write_chain(place, digest, chain)
            chains.append(chain)
    return _collect(chains, at_star, local, cfg, time.process_time() - started)


@torch.no_grad()
def langevin_step(
    w: Float[Tensor, "*shape"],
    gradient: Float[Tensor, "*shape"],
    star: Float[Tensor, "*shape"],
    G: Float[Tensor, "*shape"] | float,
    noise: Float[Tensor, "*shape"],
    *,
    step_size: float,
    n_beta: float,
    gamma: float,
) -> None:
    """One step of the module's equation, in place."""
    drift = n_beta * gradient + gamma * (w - star)
    w.sub_(step_size / 2 * G * drift).add_(noise * _root(step_size * G))


def _root(values: Float[Tensor, "*shape"] | float) -> Float[Tensor, "*shape"] | float:
    return values.sqrt() if isinstance(values, Tensor) else math.sqrt(values)


@dataclass(frozen=True, eq=False)
class _Target:
    """What ``sample`` was given."""

    params: Weights
    star: Weights
    loss_batches: Loss
    observe: Observe


def _run_chain(
    target: _Target, cfg: SamplerConfig, local: Local, seed: int, told: Callable[[int, float], None]
) -> Chain:
    """Burn in, then draw; a chain that leaves the finite numbers ends there and is marked."""
    params, star = target.params, target.star
    names, tensors = list(params), list(params.values())
    noise_of, batch_of = (torch.Generator(tensors[0].device).manual_seed(seed + part) for part in (0, 1))
    squares = {name: torch.zeros_like(tensor) for name, tensor in params.items()}
    losses: list[float] = []
    draws: dict[str, list[np.ndarray]] = {}
    for step in range(1, cfg.n_steps + 1):
        loss = target.loss_batches(batch_of)
        gradients = torch.autograd.grad(loss, tensors, allow_unused=True)
        losses.append(float(loss.detach()))
        if not math.isfinite(losses[-1]):
            return Chain({}, np.array(losses), is_finite=False)
        for name, w, gradient in zip(names, tensors, gradients, strict=True):
            g = torch.zeros_like(w) if gradient is None else gradient
            noise = torch.randn(w.shape, generator=noise_of, device=w.device, dtype=w.dtype)
            langevin_step(
                w, g, star[name], _scaling(name, g, squares, local, cfg), noise,
                step_size=local.step_size, n_beta=cfg.n_beta, gamma=cfg.gamma,
            )  # fmt: skip
        told(step, losses[-1])
        if step > cfg.burn_in and (step - cfg.burn_in) % cfg.steps_between == 0:
            seen = _observation(target.observe)
            if not all(np.isfinite(values).all() for values in seen.values()):
                return Chain({}, np.array(losses), is_finite=False)
            for name, values in seen.items():
                draws.setdefault(name, []).append(values)
    return Chain({name: np.stack(rows) for name, rows in draws.items()}, np.array(losses), is_finite=True)


def _scaling(
    name: str, g: Float[Tensor, "*shape"], squares: dict[str, Tensor], local: Local, cfg: SamplerConfig
) -> Float[Tensor, "*shape"] | float:
    """G of one tensor at this step."""
    if cfg.preconditioner != "rmsprop":
        return local.G[name]
    V = squares[name].mul_(cfg.rmsprop_alpha).addcmul_(g, g, value=1 - cfg.rmsprop_alpha)
    return local.G[name] / (V.sqrt() + cfg.rmsprop_eps)  # local.G is the mask here


@torch.no_grad()
def _observation(observe: Observe) -> dict[str, np.ndarray]:
    return {name: values.detach().cpu().double().numpy() for name, values in observe().items()}


def _collect(
    chains: list[Chain], at_star: dict[str, np.ndarray], local: Local, cfg: SamplerConfig, seconds: float
) -> Trace:
    whole = [chain for chain in chains if chain.is_finite]
    if not whole:
        raise DivergedError(
            f"All {len(chains)} chains diverged, the first after {len(chains[0].losses)} of {cfg.n_steps} "
            f"steps at step size {local.step_size:.2e}. Raise gamma, or lower step_share or n_beta."
        )
    return Trace(
        draws={name: np.stack([chain.draws[name] for chain in whole]) for name in whole[0].draws},
        at_star=at_star,
        batch_losses=np.stack([chain.losses for chain in whole]),
        diverged=tuple(number for number, chain in enumerate(chains) if not chain.is_finite),
        n_params=local.n_params,
        step_size=local.step_size,
        curvature=local.curvature,
        gradient_norm=local.gradient_norm,
        n_beta=cfg.n_beta,
        gamma=cfg.gamma,
        seconds=seconds,
    )


def _seed(cfg: SamplerConfig, label: str, chain: int) -> int:
    return int(digest_of([cfg.seed, label, chain])[:12], 16)


def _generator(params: Weights, cfg: SamplerConfig, label: str, chain: int) -> torch.Generator:
    return torch.Generator(next(iter(params.values())).device).manual_seed(_seed(cfg, label, chain))


def _digest(star: Weights, masks: Weights | None, label: str, cfg: SamplerConfig) -> str:
    """Of what determines a chain, apart from the closures: their folder is the caller's to name."""
    own = cfg.model_dump(mode="json", exclude={"n_chains"})  # a run may be given more chains later
    masked = {} if masks is None else {name: mask.float() for name, mask in masks.items()}
    return digest_of([own, label, digest_weights(star), digest_weights(masked)])


def _teller(
    progress: Callable[[SampleProgress], None], chain: int, cfg: SamplerConfig
) -> Callable[[int, float], None]:
    return lambda step, loss: progress(SampleProgress(chain, cfg.n_chains, step, cfg.n_steps, loss))


def _check(params: Weights, star: Weights) -> None:
    if not params:
        raise FingerprintError("There is no parameter to sample: give at least one")
    for name, w in params.items():
        seen = tuple(star[name].shape) if name in star else None
        if seen != tuple(w.shape):
            raise FingerprintError(f"star has {seen} for {name!r}, the model {tuple(w.shape)}")
        if w.dtype not in {torch.float32, torch.float64}:
            raise FingerprintError(
                f"{name!r} is {w.dtype}: sampled parameters must be float32, or the steps vanish in rounding"
            )


@torch.no_grad()
def _put(params: Weights, values: Weights) -> None:
    for name, w in params.items():
        w.copy_(values[name])


@contextmanager
def _restored(params: Weights) -> Iterator[None]:
    """Let the parameters alone be differentiable; put values and flags back afterwards."""
    before = {name: w.detach().clone() for name, w in params.items()}
    flags = {name: w.requires_grad for name, w in params.items()}
    try:
        for w in params.values():
            w.requires_grad_(True)
        yield
    finally:
        _put(params, before)
        for name, w in params.items():
            w.requires_grad_(flags[name])
