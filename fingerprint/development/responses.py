"""The response of a model's components at one checkpoint: sampled, then read as chi and its factors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from fingerprint import FingerprintError
from fingerprint.development.components import (
    Probe,
    head_probes,
    latent_probe,
    mlp_probes,
    read_components,
    site_probes,
)
from fingerprint.development.config import SusceptibilityConfig
from fingerprint.development.factors import Factors, find_factors
from fingerprint.development.llc import effective_draws
from fingerprint.development.losses import Windows, batch_loss, mean_loss_of, token_losses
from fingerprint.development.sampling import LOSS, SampleProgress, sample
from fingerprint.development.susceptibility import Draws, Response, measure_response
from fingerprint.development.trace import Trace
from fingerprint.lm.load import Base
from fingerprint.lm.pair import RoutedModel
from fingerprint.lm.tokens import full_batch
from fingerprint.sae.artifact import Sae
from fingerprint.sae.residual import block_name, read_residual

PHI, TOKENS = "phi", "tokens/"


def component_probes(
    model: Base | RoutedModel, sae: Sae | None = None, latents: Sequence[int] = ()
) -> list[Probe]:
    """Heads and MLPs; the sites of a routed model; latents, where a dictionary is given."""
    base = model if isinstance(model, Base) else model.base
    probes = [*head_probes(base), *mlp_probes(base)]
    if isinstance(model, RoutedModel):
        probes += site_probes(base)
    if sae is not None and latents:
        probes.append(latent_probe(base, sae, latents))
    return probes


@torch.no_grad()
def busiest_latents(base: Base, sae: Sae, windows: Windows, n_most: int) -> list[int]:
    """The latents that fire on most tokens of the windows, by falling count, ties by number."""
    counts = torch.zeros(sae.autoencoder.n_latents)
    block = block_name(base, sae.layer)
    for window in windows:
        ids = torch.from_numpy(window.ids.astype(np.int64))[None].to(base.device)
        code = sae.autoencoder.encode(read_residual(base.model, block, full_batch(ids))[0, 1:])
        counts += torch.bincount(code.latents[code.values > 0].cpu(), minlength=len(counts))
    order = counts.argsort(descending=True, stable=True)[:n_most]
    return [int(i) for i in order if counts[i] > 0]


def sample_responses(
    model: nn.Module,
    params: Mapping[str, Tensor],
    train: Windows,
    sets: Mapping[str, Windows],
    probes: Sequence[Probe],
    config: SusceptibilityConfig,
    *,
    label: str,
    store: Path | None = None,
    progress: Callable[[SampleProgress], None] = lambda _: None,
) -> Trace:
    """Draw weights around the model's own and read, at each, all components and the losses of all tokens.

    Args:
        params: what moves. train: the text that the posterior is of. sets: shifted data sets, by name.
        label: names the checkpoint, for its seeds. store: folder of this run's finished chains.

    Returns:
        Draws of "loss", "phi" [k] in the order of the probes, and "tokens/<set>" [n], nats.
    """
    star = {name: values.detach().clone() for name, values in params.items()}

    def observe() -> Mapping[str, Tensor]:
        phi, losses = read_components(model, train, probes)
        seen = {LOSS: mean_loss_of(losses), PHI: phi}
        return seen | {f"{TOKENS}{name}": torch.cat(token_losses(model, own)) for name, own in sets.items()}

    rows = min(config.batch_rows, len(train))
    loss = batch_loss(model, train, rows)
    return sample(params, star, loss, observe, config.sampler, label=label, store=store, progress=progress)


@dataclass(frozen=True, eq=False)
class CheckpointResponse:
    """A trace with the names of what was read.

    Attributes:
        step: of the checkpoint. components, sets: names, in the trace's order.
    """

    step: int
    trace: Trace
    components: tuple[str, ...]
    sets: tuple[str, ...]
    config: SusceptibilityConfig

    def __post_init__(self) -> None:
        """Names must be those of what was observed."""
        n_read = self.trace.of(PHI).shape[-1]
        if n_read != len(self.components):
            raise FingerprintError(
                f"step {self.step}: {n_read} components were observed, {len(self.components)} are named."
            )

    @cached_property
    def draws(self) -> Draws:
        """Observables and the training text's loss."""
        return Draws(self.trace.of(PHI), self.trace.of(LOSS), self.components)

    @cached_property
    def tokens(self) -> Float[np.ndarray, "c t n"]:
        """Loss of every token of every set, set after set."""
        return np.concatenate([self.trace.of(f"{TOKENS}{name}") for name in self.sets], -1)

    @cached_property
    def set_losses(self) -> Float[np.ndarray, "c t j"]:
        """Mean loss per token of each set."""
        return np.stack([self.trace.of(f"{TOKENS}{name}").mean(-1) for name in self.sets], -1)

    @cached_property
    def response(self) -> Response:
        """Chi of every component to every set, with its error."""
        return measure_response(self.draws, self.set_losses, n_blocks=self.config.n_blocks)

    def contrast(self, first: str, second: str) -> Response:
        """Chi to the difference of two sets' losses, one column: chi is linear, its errors are not."""
        gap = self.set_losses[..., self.sets.index(first)] - self.set_losses[..., self.sets.index(second)]
        losses = (gap + self.draws.loss)[..., None]  # the response takes the training text's loss off again
        return measure_response(self.draws, losses, n_blocks=self.config.n_blocks)

    @cached_property
    def factors(self) -> Factors:
        """Factors of the response to single tokens, beside their nulls."""
        return find_factors(self.draws, self.tokens, n_nulls=self.config.n_nulls, seed=self.config.seed)

    @property
    def token_factors(self) -> Float[np.ndarray, "n k"]:
        """Chi of every component to every token, rows tokens, in units of the observables' spread."""
        chi = measure_response(self.draws, self.tokens, n_blocks=2 * self.trace.n_chains).chi.T
        spread = self.draws.spread
        return np.divide(chi, spread, out=np.zeros_like(chi), where=spread > 0)

    @cached_property
    def effective_draws(self) -> float:
        """Independent draws that the chains are worth, median over components: few make errors too small."""
        phi = self.draws.phi
        return float(np.median([effective_draws(phi[..., k]) for k in range(phi.shape[-1])]))

    @property
    def rise(self) -> float:
        """Mean loss of the draws minus the checkpoint's own, nats a token: how local the posterior is."""
        return float(self.trace.of(LOSS).mean() - self.trace.at_star[LOSS])
