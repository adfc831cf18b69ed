"""Adversarial sources: persistent ones that training carries along, and fresh ones for the metrics."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

EPSILON = 1e-12
"""Adam's: gradients of single sources are small in the mean over a batch."""


class PersistentSources:
    """Sources of every batch slot, kept over the steps and moved uphill by Adam (SPEC 5).

    A smaller batch, or a shorter one, uses the leading slots and positions.

    Attributes:
        values: in [0, 1], [*slots, C + L]. first, second: Adam's moments. n_ascents: made so far.
    """

    def __init__(self, values: Float[Tensor, "*s cl"], betas: tuple[float, float]) -> None:
        self.values, self.betas = values, betas
        self.first, self.second = torch.zeros_like(values), torch.zeros_like(values)
        self.n_ascents = 0

    def leaf(self, shape: Sequence[int]) -> Float[Tensor, "*b cl"]:
        """A copy for a batch of this shape, asking for a gradient."""
        return self._part(self.values, shape).clone().requires_grad_(True)

    @torch.no_grad()
    def ascend(self, gradient: Float[Tensor, "*b cl"], rate: float) -> None:
        """One Adam step up the gradient of the loss, clamped to [0, 1]; its scale does not matter."""
        shape = gradient.shape[:-1]
        first, second = self._part(self.first, shape), self._part(self.second, shape)
        beta1, beta2 = self.betas
        self.n_ascents += 1
        first.lerp_(gradient, 1 - beta1)
        second.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        spread = (second / (1 - beta2**self.n_ascents)).sqrt_().add_(EPSILON)
        values = self._part(self.values, shape)
        values.addcdiv_(first, spread, value=rate / (1 - beta1**self.n_ascents)).clamp_(0, 1)

    def climb(
        self,
        loss: Callable[[Float[Tensor, "*b cl"]], Float[Tensor, ""]],
        shape: Sequence[int],
        n_ascents: int,
        rate: float,
    ) -> None:
        """Ascend a loss of the sources in which everything else is held."""
        for _ in range(n_ascents):
            sources = self.leaf(shape)
            (gradient,) = torch.autograd.grad(loss(sources), [sources])
            self.ascend(gradient, rate)

    def state(self) -> dict[str, Tensor]:
        """What a checkpoint keeps."""
        count = torch.tensor(self.n_ascents)
        return {"values": self.values, "first": self.first, "second": self.second, "n_ascents": count}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Go on from ``state()``."""
        self.values, self.first, self.second = state["values"], state["first"], state["second"]
        self.n_ascents = int(state["n_ascents"])

    @staticmethod
    def _part(values: Float[Tensor, "*s cl"], shape: Sequence[int]) -> Float[Tensor, "*b cl"]:
        return values[tuple(slice(n) for n in shape)]


def attack(
    gradient_of: Callable[[Float[Tensor, " cl"]], Float[Tensor, " cl"]],
    start: Float[Tensor, " cl"],
    n_steps: int,
    step: float,
) -> Float[Tensor, " cl"]:
    """Fresh sources shared by all positions after n sign steps uphill (Madry et al. 2018), in [0, 1].

    Where a step changes nothing, as in a corner of the cube, no later one would, and none is taken.
    """
    sources = start
    for _ in range(n_steps):
        before, sources = sources, (sources + step * gradient_of(sources).sign()).clamp(0, 1)
        if torch.equal(before, sources):
            break
    return sources
