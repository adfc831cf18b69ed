"""Training over several processes: nonlinear terms see the pooled batch, and gradients are averaged.

Without an initialised process group everything here is the identity.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, distributed, nn


class _Mean(torch.autograd.Function):
    """Mean over workers; its gradient is the mean of the workers' gradients.

    Own code: torch's differentiable all_reduce is deprecated, its successor has no backward pass.
    """

    @staticmethod
    def forward(ctx: Any, values: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
        del ctx  # nothing to keep
        return _mean(values)

    @staticmethod
    def backward(ctx: Any, *gradients: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
        del ctx
        return _mean(gradients[0])


def n_workers() -> int:
    """Processes that train together."""
    is_ready = distributed.is_available() and distributed.is_initialized()
    return distributed.get_world_size() if is_ready else 1


def mean_over_workers(values: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
    """Mean of the workers' values, each of as many positions; differentiable.

    The mean over workers of the parameters' gradients is then that of the pooled loss.
    """
    if n_workers() == 1:
        return values
    pooled = _Mean.apply(values)
    assert isinstance(pooled, Tensor)
    return pooled


@torch.no_grad()
def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replace every gradient by its mean over the workers."""
    if n_workers() == 1:
        return
    for parameter in parameters:
        if parameter.grad is not None:
            parameter.grad = _mean(parameter.grad)


@torch.no_grad()
def any_worker(flag: bool) -> bool:
    """Whether the flag holds in any worker: what stops one must stop all, or the others wait for ever."""
    if n_workers() == 1:
        return flag
    return bool(_mean(torch.tensor(float(flag), device=_device())) > 0)


def _device() -> torch.device:
    """Where the group's collectives run."""
    return torch.device("cuda" if distributed.get_backend() == "nccl" else "cpu")


def _mean(values: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
    total = values.clone()
    distributed.all_reduce(total)
    return total / n_workers()
