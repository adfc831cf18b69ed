"""Train a TopK autoencoder on a stream of activations, to the same result whether or not it is killed."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor

from fingerprint.adapters.checkpoint import RunState, resume, save_checkpoint
from fingerprint.adapters.plan import Text
from fingerprint.lm.load import Base
from fingerprint.provenance import Provenance, digest_of
from fingerprint.sae.artifact import Sae, SaeFacts, digest_autoencoder
from fingerprint.sae.autoencoder import (
    TopKAutoencoder,
    auxiliary_loss,
    normalise_rows,
    remove_radial_gradient,
    select_top,
)
from fingerprint.sae.config import SaeConfig
from fingerprint.sae.stream import ActivationSource, PassageActivations

CHECKPOINT_SECONDS = 30.0
_ADAM_EPSILON = 6.25e-10
"""Small beside the gradients of rarely used latents (Gao et al. 2024)."""


@dataclass(frozen=True)
class SaeProgress:
    """Where training stands.

    Attributes:
        step, steps: optimiser steps done and planned. tokens: activations seen so far.
        fvu: share of variance the step's batch left unexplained. dead_share: of the latents, by now.
        tokens_per_second: in this process. seconds_left: estimate.
    """

    step: int
    steps: int
    tokens: int
    fvu: float
    dead_share: float
    tokens_per_second: float
    seconds_left: float


@dataclass(eq=False)
class _Run:
    """The moving parts.

    Attributes:
        variance: mean ||x~ - E x~||^2, the loss's unit. silent: tokens since each latent fired [n_latents].
    """

    autoencoder: TopKAutoencoder
    optimiser: torch.optim.Adam
    variance: Tensor
    silent: Tensor
    state: RunState

    def tensors(self) -> dict[str, Tensor]:
        """What a checkpoint holds besides the optimiser."""
        return {**self.autoencoder.state_dict(), "variance": self.variance, "silent": self.silent}

    def put(self, tensors: dict[str, Tensor]) -> None:
        """Take up what a checkpoint holds."""
        own = dict(tensors)
        self.variance, self.silent = own.pop("variance"), own.pop("silent")
        self.autoencoder.load_state_dict(own)

    def dead_share(self, config: SaeConfig) -> float:
        """Share of latents that have not fired for ``dead_tokens``."""
        return float((self.silent > config.dead_tokens).float().mean())


def train_sae(
    base: Base,
    text: Text,
    config: SaeConfig,
    *,
    start: TopKAutoencoder | None = None,
    checkpoint: Path | None = None,
    progress: Callable[[SaeProgress], None] | None = None,
) -> Sae:
    """Train an autoencoder on the residual stream of a base, over passages or token windows.

    Args:
        start: a trained one to go on from, of an earlier checkpoint of the base; None: random directions.
        text: in every language that adapters will be read in: what the dictionary never saw, it cannot name.
        checkpoint: file written every 30 s and resumed from when it exists; removed at the end.

    Raises:
        FingerprintError: no such block, or too little text.
        CheckpointError: the checkpoint is of another run.
    """
    source = PassageActivations(base, text, config)
    autoencoder, facts = train_autoencoder(
        source, config, start=start, checkpoint=checkpoint, progress=progress
    )
    provenance = Provenance(base.name, base.revision, "", source.key, config.digest, config.seed)
    return Sae(autoencoder, config.layer, provenance, facts)


def train_autoencoder(
    source: ActivationSource,
    config: SaeConfig,
    *,
    start: TopKAutoencoder | None = None,
    checkpoint: Path | None = None,
    progress: Callable[[SaeProgress], None] | None = None,
) -> tuple[TopKAutoencoder, SaeFacts]:
    """Train on any stream of activations; see ``train_sae``."""
    run = _new_run(source, config)
    begun = [] if start is None else [digest_autoencoder(start)]
    key = digest_of([config.digest, source.key, source.device.type, *begun])
    run.state, stored = resume(checkpoint, key, source.device, run.optimiser)
    if stored is None:
        _prepare(run, source, config, start)
    else:
        run.put(stored)
    _optimise(
        run,
        source,
        config,
        progress=progress,
        save=lambda: save_checkpoint(checkpoint, key, run.tensors(), run.optimiser, run.state),
    )
    if checkpoint is not None:
        checkpoint.unlink(missing_ok=True)
    return run.autoencoder.requires_grad_(False), SaeFacts.of(
        run.state.losses, config, run.dead_share(config)
    )


def _new_run(source: ActivationSource, config: SaeConfig) -> _Run:
    autoencoder = TopKAutoencoder(source.width, config.n_latents, config.k, seed=config.seed)
    autoencoder.to(source.device)
    optimiser = torch.optim.Adam(
        autoencoder.parameters(), lr=config.adam_rate, betas=(0.9, 0.999), eps=_ADAM_EPSILON, fused=True
    )
    silent = torch.zeros(config.n_latents, dtype=torch.int64, device=source.device)
    return _Run(autoencoder, optimiser, torch.ones((), device=source.device), silent, RunState())


@torch.no_grad()
def _prepare(run: _Run, source: ActivationSource, config: SaeConfig, start: TopKAutoencoder | None) -> None:
    """Set scale and b_dec, and the loss's unit, from the first activations: x~ = sqrt(d) x / E||x||.

    With a start its directions are taken over; scale and b_dec are of these activations either way.
    """
    if start is not None:
        run.autoencoder.load_state_dict(start.state_dict())
    n_batches = -(-config.sample_tokens // config.batch_tokens)
    sample = torch.cat(list(islice(source.batches(0), n_batches)))
    run.autoencoder.scale.copy_(source.width**0.5 / sample.norm(dim=1).mean())
    scaled = run.autoencoder.scale * sample
    run.autoencoder.b_dec.copy_(scaled.mean(0))
    run.variance = (scaled - scaled.mean(0)).square().sum(1).mean()


def _optimise(
    run: _Run,
    source: ActivationSource,
    config: SaeConfig,
    *,
    progress: Callable[[SaeProgress], None] | None,
    save: Callable[[], None],
) -> None:
    """Run the steps that are left."""
    state, first, started, saved = run.state, run.state.step, time.monotonic(), time.monotonic()
    for x in islice(source.batches(first), config.n_steps - first):
        for group in run.optimiser.param_groups:
            group["lr"] = config.adam_rate * decay(state.step, config.n_steps, config.decay_share)
        state.losses.append(_step(run, x, config))
        state.step += 1
        if progress is not None:
            rate = (state.step - first) / (time.monotonic() - started)
            left = (config.n_steps - state.step) / rate
            size = config.batch_tokens
            progress(
                SaeProgress(
                    state.step,
                    config.n_steps,
                    state.step * size,
                    state.losses[-1],
                    run.dead_share(config),
                    rate * size,
                    left,
                )
            )
        if state.step < config.n_steps and time.monotonic() - saved >= CHECKPOINT_SECONDS:
            save()
            saved = time.monotonic()


def _step(run: _Run, x: Float[Tensor, "n d"], config: SaeConfig) -> float:
    """One optimiser step on FVU + aux_weight AuxK; gives the FVU before it."""
    autoencoder = run.autoencoder
    pre = autoencoder.pre_activations(x)
    code = select_top(pre, config.k)
    residual = autoencoder.scale * x - autoencoder.decode(code)
    fvu = residual.square().sum(1).mean() / run.variance
    _count_silence(run.silent, code.latents[code.values > 0], len(x))
    dead = run.silent > config.dead_tokens
    loss = fvu
    if config.aux_weight and bool(dead.any()):
        aux = auxiliary_loss(autoencoder, residual.detach(), pre, dead, config.most_aux_latents)
        loss = fvu + config.aux_weight * aux
    run.optimiser.zero_grad(set_to_none=True)
    loss.backward()
    remove_radial_gradient(autoencoder)
    torch.nn.utils.clip_grad_norm_(autoencoder.parameters(), config.most_gradient)
    run.optimiser.step()
    normalise_rows(autoencoder)
    return float(fvu.detach())


def _count_silence(silent: Int[Tensor, " m"], fired: Int[Tensor, " f"], n_tokens: int) -> None:
    """Add a batch's tokens to every latent's silence, and end that of those that fired."""
    silent += n_tokens
    silent[fired] = 0


def decay(step: int, steps: int, share: float) -> float:
    """Factor on the learning rate: one, then linearly to zero over the last ``share`` of the steps."""
    return min(1.0, (steps - step) / (share * steps))
