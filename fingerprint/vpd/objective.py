"""One training step's losses, phase by phase (SPEC 6)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from fingerprint.vpd.components import Components, Masks, observed
from fingerprint.vpd.config import VpdConfig
from fingerprint.vpd.gates import GatingNetwork, leaky_lower, leaky_upper
from fingerprint.vpd.losses import (
    anneal,
    faithfulness_loss,
    frequency_loss,
    importance_loss,
    l_p,
    smooth_l0,
)
from fingerprint.vpd.masks import draw_sources, draw_subset, masks_from, step_generator
from fingerprint.vpd.targets import Target
from fingerprint.vpd.workers import mean_over_workers


@dataclass(frozen=True, eq=False)
class Clean:
    """A clean pass: the whole of every M in place.

    Attributes:
        batch: what was run. outputs: at the counted positions. inputs: of every site. counted: positions.
    """

    batch: Any
    outputs: Float[Tensor, "n d"]
    inputs: dict[str, Tensor]
    counted: Bool[Tensor, "*b"]


@dataclass(frozen=True, eq=False)
class Gates:
    """Causal importances of a batch: ``lower`` for masks, ``upper`` for sparsity."""

    lower: Float[Tensor, "*b c"]
    upper: Float[Tensor, "*b c"]


@dataclass(frozen=True)
class StepLosses:
    """The terms of one step, before their coefficients."""

    faithfulness: float
    stochastic: float
    adversarial: float
    importance: float
    frequency: float
    total: float


def precision(target: Target, config: VpdConfig) -> torch.autocast:
    """The precision of a run's matrix products, in training and in the metrics alike."""
    return torch.autocast(target.device.type, torch.bfloat16, enabled=config.autocast)


class Objective:
    """The losses of a decomposition; holds no state of training."""

    def __init__(
        self, target: Target, components: Components, gates: GatingNetwork, config: VpdConfig
    ) -> None:
        self.target, self.components, self.network, self.config = target, components, gates, config

    @torch.no_grad()
    def observe(self, batch: Any) -> Clean:
        """Phase 1: the clean pass."""
        with observed(self.target.sites) as inputs, precision(self.target, self.config):
            outputs = self.target.run(batch)
        return Clean(batch, outputs, inputs, self.target.counted(batch))

    def gates(self, clean: Clean) -> Gates:
        """Phase 2: gates from the clean inputs, through which alone gradients reach the network."""
        with precision(self.target, self.config):
            z = self.network(clean.inputs)
        return Gates(leaky_lower(z), leaky_upper(z))

    def stochastic(self, clean: Clean, gates: Gates, step: int) -> Float[Tensor, ""]:
        """Phase 3: random sources on a random subset of sites."""
        shape = clean.counted.shape
        generator = step_generator(self.target.device, self.config.seed, step)
        sources = draw_sources(self.components, shape, generator)
        chosen = draw_subset(shape, len(self.components.sites), generator)
        return self._distance(clean, self._masks(gates.lower, sources, chosen))

    def adversarial(
        self, clean: Clean, lower: Float[Tensor, "*b c"], sources: Float[Tensor, "*b cl"]
    ) -> Float[Tensor, ""]:
        """Phases 4 and 5: given sources on all sites."""
        return self._distance(clean, self._masks(lower, sources, None))

    def sparsity(self, clean: Clean, gates: Gates, step: int) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
        """(importance, frequency) of the counted positions; frequencies are pooled over the workers."""
        config, upper = self.config, gates.upper[clean.counted]
        if config.importance == "smooth-l0":
            width = anneal(config.gamma, step, config.steps, config.anneal_share)
            penalties = smooth_l0(upper, width)
        else:
            penalties = l_p(upper, anneal(config.p, step, config.steps))
        frequencies = mean_over_workers(penalties.mean(0))
        return importance_loss(penalties), frequency_loss(frequencies, config.frequency_reference)

    def faithfulness(self) -> Float[Tensor, ""]:
        """How much Delta is left."""
        return faithfulness_loss(self.components, relative=self.config.faithfulness == "relative")

    def all_on(self, batch: Any) -> float:
        """Mean distance when every mask is 1: rounding, unless the sites are wired wrongly."""
        clean = self.observe(batch)
        with torch.no_grad():
            return float(self._distance(clean, self.components.constant_masks(1.0, 1.0)))

    def _masks(
        self,
        gates: Float[Tensor, "*b c"],
        sources: Float[Tensor, "*b cl"],
        chosen: Bool[Tensor, "*b l"] | None,
    ) -> Masks:
        return masks_from(self.components, gates, sources, chosen=chosen, mask_delta=self.config.mask_delta)

    def _distance(self, clean: Clean, masks: Masks) -> Float[Tensor, ""]:
        with precision(self.target, self.config):
            with self.components.masked(masks):
                outputs = self.target.run(clean.batch)
            return self.target.distance(clean.outputs, outputs).mean()


def total_loss(config: VpdConfig, terms: Sequence[Float[Tensor, ""]]) -> tuple[Float[Tensor, ""], StepLosses]:
    """Weighted sum of (faithfulness, stochastic, adversarial, importance, frequency), and the terms."""
    coefficients = (
        config.faithfulness_coefficient,
        config.stochastic_coefficient,
        config.adversarial_coefficient,
        config.importance_coefficient,
        config.frequency_coefficient,
    )
    values = torch.stack(list(terms))
    total = (values * values.new_tensor(coefficients)).sum()
    faithfulness, stochastic, adversarial, importance, frequency = values.detach().tolist()
    losses = StepLosses(faithfulness, stochastic, adversarial, importance, frequency, float(total.detach()))
    return total, losses
