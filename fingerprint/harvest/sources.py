"""What yields activations per token: the latents of a dictionary, the components of a decomposition.

A source is the only thing here that runs a model. Everything behind it sees firings alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import nn

from fingerprint.harvest.firings import Firings
from fingerprint.lm.load import Base
from fingerprint.lm.tokens import Batch, hidden_states
from fingerprint.provenance import digest_of
from fingerprint.sae.artifact import Sae
from fingerprint.sae.residual import block_name, read_residual
from fingerprint.vpd.components import observed
from fingerprint.vpd.gates import leaky_lower
from fingerprint.vpd.metrics import FIRES
from fingerprint.vpd.targets import TokenTarget, digest_target
from fingerprint.vpd.train import Decomposition


@runtime_checkable
class Source(Protocol):
    """What is harvested."""

    @property
    def key(self) -> str:
        """Digest of model, state and components."""
        ...

    @property
    def groups(self) -> tuple[tuple[str, int], ...]:
        """(name, components) of each part, in the order of the components' numbers."""
        ...

    def read(self, batch: Batch) -> Firings:
        """Everything that fires on the batch's real tokens, position 0 included."""
        ...


@dataclass(frozen=True, eq=False)
class SaeSource:
    """Latents of a dictionary; strength is the activation.

    Attributes:
        sae: the dictionary. base: its base. model: what is run: the base's own, or a routed model in some
            state, which the caller holds. state: name of that state, for the key.
    """

    sae: Sae
    base: Base
    model: nn.Module
    state: str = "base"

    @property
    def key(self) -> str:
        """Digest of dictionary and state."""
        return digest_of([self.sae.digest, self.state])

    @property
    def groups(self) -> tuple[tuple[str, int], ...]:
        """One part."""
        return ((f"latents after block {self.sae.layer}", self.sae.autoencoder.n_latents),)

    @torch.inference_mode()
    def read(self, batch: Batch) -> Firings:
        """Latents with a positive activation among the k largest."""
        block = block_name(self.base, self.sae.layer)
        code = self.sae.autoencoder.encode(read_residual(self.model, block, batch)[batch.mask].float())
        rows, columns = batch.mask.nonzero(as_tuple=True)
        token, place = (code.values > 0).nonzero(as_tuple=True)
        found = (rows[token], columns[token], code.latents[token, place], code.values[token, place])
        return Firings(*(values.cpu().numpy() for values in found))


@dataclass(frozen=True, eq=False)
class VpdSource:
    """Components of a decomposition; strength is the gate, and a component fires where it is above .1.

    Attributes:
        target: what was decomposed: weights, or the edit of a state. found: the decomposition. state: name
            of the state in which the model is run, which the caller holds, for the key.
    """

    target: TokenTarget
    found: Decomposition
    state: str = "base"

    @property
    def key(self) -> str:
        """Digest of what was decomposed, the dials, what training made of them, and the state."""
        final = float(np.sum(self.found.losses))
        return digest_of([digest_target(self.target), self.found.config.digest, final, self.state])

    @property
    def groups(self) -> tuple[tuple[str, int], ...]:
        """The sites."""
        components = self.found.components
        return tuple(zip(components.sites, components.counts, strict=True))

    @torch.no_grad()
    def read(self, batch: Batch) -> Firings:
        """Components whose gate is open on the clean pass."""
        with observed(self.found.components.sites) as inputs:
            hidden_states(self.target.model, batch)
        gates = leaky_lower(self.found.gates(inputs))
        row, column, component = (batch.mask[..., None] & (gates > FIRES)).nonzero(as_tuple=True)
        strength = gates[row, column, component]
        return Firings(*(values.cpu().numpy() for values in (row, column, component, strength)))
