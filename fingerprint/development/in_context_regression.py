"""In-context linear regression: the task, its two ideal predictors, and a small transformer that learns it.

M tasks t ~ N(0, I_D) are drawn once; a sequence picks one of them, x_k ~ N(0, I_D), y_k = t.x_k + noise of
variance sigma^2 (Raventos et al. 2023, arXiv 2306.15063). The model predicts y_k from x_k and the k pairs
before it. Ridge is the Bayes answer when every t is possible, dMMSE when only the M are; Carroll et al. 2025
(arXiv 2501.17745) find that at middling M a transformer comes near to ridge first and leaves it for dMMSE
later.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from fingerprint.config import Dials

Count = Annotated[int, Field(gt=0)]


class RegressionConfig(Dials):
    """Dials of the reference experiment, with their reasons."""

    dimension: Count = 2
    """D of x and t: small, so that a small transformer learns within minutes of one core."""
    length: Count = 8
    """K pairs of a sequence: more than D, so that most predictions are well determined."""
    noise: Annotated[float, Field(gt=0)] = 0.25
    """sigma^2 of the noise of y."""
    width: Count = 32
    """Width of the residual stream; four heads share it."""
    depth: Count = 2
    """Blocks."""
    batch: Count = 64
    """Sequences of an optimiser step."""
    steps: Count = 4_000
    """Optimiser steps."""
    learning_rate: Annotated[float, Field(gt=0)] = 3e-3
    """Adam's, warmed up over the first twentieth and constant after, so that no schedule draws the turn."""
    checkpoints: Annotated[int, Field(ge=3)] = 20
    """Snapshots, spaced evenly in log(step)."""
    probe: Count = 512
    """Sequences of tasks never trained on: the common probe set and the out-of-distribution loss."""
    seed: int = 0
    """Of tasks, weights and sequences; all runs share the first weights."""

    @classmethod
    def tiny(cls) -> RegressionConfig:
        """A CPU: a run within a minute of one core."""
        return cls()

    @classmethod
    def full(cls) -> RegressionConfig:
        """The published size and length, but for a narrower network: a GPU."""
        return cls(
            dimension=8, length=16, noise=0.125, width=256, batch=1024, steps=150_000, learning_rate=1e-3,
            checkpoints=60, probe=1024,
        )  # fmt: skip


def draw_tasks(
    n: int, dimension: int, generator: torch.Generator, dtype: torch.dtype = torch.float32
) -> Float[Tensor, "m d"]:
    """Tasks t ~ N(0, I)."""
    return torch.randn(n, dimension, generator=generator, dtype=dtype)


def draw_sequences(
    tasks: Float[Tensor, "m d"] | None, n: int, config: RegressionConfig, generator: torch.Generator
) -> tuple[Float[Tensor, "n k d"], Float[Tensor, "n k"]]:
    """(x, y) of n sequences; each picks one of the tasks evenly, or a fresh one where none are given."""
    d, k = config.dimension, config.length
    if tasks is None:
        chosen = draw_tasks(n, d, generator)
    else:
        chosen = tasks[torch.randint(len(tasks), (n,), generator=generator)]
    x = torch.randn(n, k, d, generator=generator, dtype=chosen.dtype)
    noise = torch.randn(n, k, generator=generator, dtype=chosen.dtype) * config.noise**0.5
    return x, torch.einsum("nkd,nd->nk", x, chosen) + noise


def ridge_tasks(x: Float[Tensor, "n k d"], y: Float[Tensor, "n k"], noise: float) -> Float[Tensor, "n k1 d"]:
    """(X^T X + sigma^2 I)^-1 X^T Y, the posterior mean under t ~ N(0, I), after 0, 1, ..., K pairs."""
    n, _, d = x.shape
    moments = torch.einsum("nki,nkj->nkij", x, x).cumsum(1)
    products = torch.einsum("nki,nk->nki", x, y).cumsum(1)
    eye = noise * torch.eye(d, dtype=x.dtype)
    found = torch.linalg.solve(moments + eye, products)
    return torch.cat([torch.zeros(n, 1, d, dtype=x.dtype), found], 1)


def dmmse_tasks(
    x: Float[Tensor, "n k d"], y: Float[Tensor, "n k"], tasks: Float[Tensor, "m d"], noise: float
) -> Float[Tensor, "n k1 d"]:
    """The posterior mean sum_m t_m p(t_m | pairs), under an even prior on M tasks, after 0, ..., K pairs."""
    errors = (y[:, :, None] - torch.einsum("nkd,md->nkm", x, tasks)) ** 2 / (2 * noise)
    log_likelihood = -F.pad(errors.cumsum(1), (0, 0, 1, 0))
    return log_likelihood.softmax(-1) @ tasks


def predict(x: Float[Tensor, "n k d"], found: Float[Tensor, "n k1 d"]) -> Float[Tensor, "n k"]:
    """y_k as tasks inferred from the k pairs before it say."""
    return torch.einsum("nkd,nkd->nk", x, found[:, :-1])


class InContextTransformer(nn.Module):
    """A causal pre-norm transformer over x_1, y_1, x_2, y_2, ...; predictions are read at every x."""

    def __init__(self, config: RegressionConfig) -> None:
        super().__init__()
        self.enter = nn.Linear(config.dimension + 1, config.width)
        self.place = nn.Parameter(0.02 * torch.randn(2 * config.length, config.width))
        self.blocks = nn.ModuleList(_Block(config.width) for _ in range(config.depth))
        self.norm, self.leave = nn.LayerNorm(config.width), nn.Linear(config.width, 1)

    def forward(self, x: Float[Tensor, "n k d"], y: Float[Tensor, "n k"]) -> Float[Tensor, "n k"]:
        """Predictions of every y_k."""
        n, k, d = x.shape
        tokens = torch.zeros(n, 2 * k, d + 1, dtype=x.dtype)
        tokens[:, ::2, 1:], tokens[:, 1::2, 0] = x, y
        stream = self.enter(tokens) + self.place
        for block in self.blocks:
            stream = block(stream)
        return self.leave(self.norm(stream[:, ::2]))[..., 0]


class _Block(nn.Module):
    def __init__(self, width: int, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.norm_1, self.norm_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, stream: Float[Tensor, "n t w"]) -> Float[Tensor, "n t w"]:
        n, t, w = stream.shape
        parts = self.qkv(self.norm_1(stream)).view(n, t, 3, self.heads, -1)
        q, k, v = parts.permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        stream = stream + self.out(mixed.transpose(1, 2).reshape(n, t, w))
        return stream + self.down(F.gelu(self.up(self.norm_2(stream))))


@dataclass(frozen=True, eq=False)
class RegressionRun:
    """A trained transformer at its checkpoints.

    Attributes:
        tasks: the M it saw; None: a fresh one in every sequence. steps: of the checkpoints.
        states: state dicts, one a checkpoint. losses: mean training loss since the checkpoint before.
    """

    tasks: Tensor | None
    steps: tuple[int, ...]
    states: tuple[dict[str, Tensor], ...]
    losses: tuple[float, ...]


def checkpoint_steps(steps: int, n: int) -> tuple[int, ...]:
    """0, and at most n - 1 steps evenly spaced in log(step), the last one included."""
    spaced = torch.logspace(0, torch.log10(torch.tensor(float(steps))).item(), n - 1).round().int().tolist()
    return tuple(sorted({0, *spaced}))


def train_in_context(
    tasks: Float[Tensor, "m d"] | None,
    config: RegressionConfig,
    progress: Callable[[int, float], None] = lambda _step, _loss: None,
) -> RegressionRun:
    """Train on squared error at all K positions; every run starts at the same weights and sees the same x."""
    torch.manual_seed(config.seed)
    model = InContextTransformer(config)
    optimiser = torch.optim.Adam(model.parameters(), lr=config.learning_rate)
    generator = torch.Generator().manual_seed(config.seed + 1)
    wanted = checkpoint_steps(config.steps, config.checkpoints)
    states, kept, since = [_copy(model)], [float("nan")], [0.0, 0]
    for step in range(1, config.steps + 1):
        for group in optimiser.param_groups:
            group["lr"] = config.learning_rate * min(1.0, 20 * step / config.steps)
        x, y = draw_sequences(tasks, config.batch, config, generator)
        loss = F.mse_loss(model(x, y), y)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        since = [since[0] + float(loss.detach()), since[1] + 1]
        if step in wanted:
            states.append(_copy(model))
            kept.append(since[0] / since[1])
            progress(step, kept[-1])
            since = [0.0, 0]
    return RegressionRun(tasks, wanted, tuple(states), tuple(kept))


def _copy(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


@torch.no_grad()
def outputs_of(
    run: RegressionRun, config: RegressionConfig, x: Float[Tensor, "n k d"], y: Float[Tensor, "n k"]
) -> Float[Tensor, "t n k"]:
    """Predictions of every checkpoint on given sequences."""
    model = InContextTransformer(config)
    found = []
    for state in run.states:
        model.load_state_dict(state)
        found.append(model(x, y))
    return torch.stack(found)
