"""Which singular directions of a frozen checkpoint a behaviour needs (Ahmad et al. 2025, arXiv 2511.20273).

A matrix is the sum of its singular terms. Each gets a gate between 0 and 1; the gates are fitted so that the
model answers as it did while they are few. A strong term may be needed by no text, a weak one by all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from fingerprint.weights.terms import SingularTerms

Answer = Callable[[Mapping[str, Tensor]], Float[Tensor, "*n c"]]
"""Logits of the behaviour with some parameters replaced."""
_START = 2.0
"""Gates start at its sigmoid, .88: nearly the whole model."""


@dataclass(frozen=True)
class GateConfig:
    """How gates are fitted: ``price`` is what a whole gate costs in nats."""

    price: float = 0.02
    steps: int = 300
    learning_rate: float = 0.05
    threshold: float = 0.5


@dataclass(frozen=True, eq=False)
class NeededDirections:
    """What a behaviour needs.

    Attributes:
        gates: [k] by parameter, strongest singular term first. kept: those above the threshold.
        divergence: KL from the whole model's answers to those with the kept terms alone, nats.
    """

    gates: dict[str, Float[Tensor, " k"]]
    kept: dict[str, Bool[Tensor, " k"]]
    divergence: float

    @property
    def n_kept(self) -> int:
        """Terms over all matrices."""
        return sum(int(mask.sum()) for mask in self.kept.values())


def answers_of(
    model: nn.Module, ask: Callable[[Any], Float[Tensor, "*n c"]], inputs: Shaped[Tensor, "*n d"]
) -> Answer:
    """``model`` called on ``inputs`` with parameters in place of its own, its output through ``ask``."""
    return lambda replaced: ask(functional_call(model, dict(replaced), (inputs,)))


def find_needed(
    answer: Answer, matrices: Mapping[str, Float[Tensor, "o i"]], config: GateConfig = GateConfig()
) -> NeededDirections:
    """Fit the gates of every matrix together; nothing of the model is changed."""
    terms = {name: SingularTerms.of(matrix) for name, matrix in matrices.items()}
    logits = {name: torch.full_like(t.strengths, _START).requires_grad_() for name, t in terms.items()}
    with torch.no_grad():
        whole = answer(matrices).double().log_softmax(-1)
    optimiser = torch.optim.Adam(logits.values(), lr=config.learning_rate)
    for _ in range(config.steps):
        gates = {name: values.sigmoid() for name, values in logits.items()}
        price = config.price * torch.cat(list(gates.values())).sum()
        loss = _divergence(whole, answer(_gated(terms, gates, matrices))) + price
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    found = {name: values.detach().sigmoid() for name, values in logits.items()}
    kept = {name: values > config.threshold for name, values in found.items()}
    return NeededDirections(found, kept, divergence_with(answer, matrices, kept))


@torch.no_grad()
def divergence_with(
    answer: Answer, matrices: Mapping[str, Tensor], kept: Mapping[str, Bool[Tensor, " k"]]
) -> float:
    """KL from the whole model's answers to those with only the kept singular terms, nats."""
    terms = {name: SingularTerms.of(matrix) for name, matrix in matrices.items()}
    masks = {name: kept[name].double() for name in terms}
    whole = answer(matrices).double().log_softmax(-1)
    return float(_divergence(whole, answer(_gated(terms, masks, matrices))))


def strongest(kept: Mapping[str, Bool[Tensor, " k"]]) -> dict[str, Bool[Tensor, " k"]]:
    """The control: as many terms of every matrix, but its strongest."""
    return {name: torch.arange(len(mask)) < mask.sum() for name, mask in kept.items()}


def _gated(
    terms: Mapping[str, SingularTerms], gates: Mapping[str, Tensor], like: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    return {
        name: ((one.left * (one.strengths * gates[name])) @ one.right).to(like[name])
        for name, one in terms.items()
    }


def _divergence(whole: Float[Tensor, "*n c"], logits: Float[Tensor, "*n c"]) -> Float[Tensor, ""]:
    now = logits.double().log_softmax(-1)
    return F.kl_div(now, whole, log_target=True, reduction="none").sum(-1).mean()
