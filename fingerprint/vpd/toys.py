"""Toys whose decomposition is known: planted edits, toy models of superposition, residual MLPs.

Each gives a target, data and what is true of it. They are runnable experiments as well as oracles.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from fingerprint.lm.fit import schedule
from fingerprint.vpd.components import Edit, Site
from fingerprint.vpd.masks import step_generator
from fingerprint.vpd.targets import Data, VectorTarget

_HELD_OUT = 2**31
"""Step number, beyond any real one, of the held-out batch."""


def vector_data(
    draw: Callable[[int, torch.Generator], Float[Tensor, "b d"]], batch_size: int, held_out: int, seed: int
) -> Data:
    """Fresh vectors at every step."""

    def batch(step: int) -> Tensor:
        return draw(batch_size, step_generator(torch.device("cpu"), seed, step))

    last = draw(held_out, step_generator(torch.device("cpu"), seed, _HELD_OUT))
    return Data(batch, (batch_size,), (last,))


@dataclass(frozen=True, eq=False)
class PlantedEdit:
    """A layer y = ReLU(W0 x + D x) whose edit D is a few rank-1 terms sigma_k u_k v_k^T plus faint noise.

    Inputs carry sparse triggers along the v_k (probability p, amplitude U(.25, 1)) and Gaussian noise of
    standard deviation .3 in all other directions. D alone is decomposed; W0 is always on.

    Attributes:
        target: one site, "layer". u, v: orthonormal rows [k, d]. strengths: sigma.
    """

    target: VectorTarget
    u: Float[Tensor, "k d"]
    v: Float[Tensor, "k d"]
    strengths: tuple[float, ...]
    p: float = 0.1

    @classmethod
    def plant(
        cls, strengths: Sequence[float], *, d: int = 32, noise: float = 1e-3, seed: int = 0
    ) -> PlantedEdit:
        """Draw W0 and D; no strengths and no noise: D = 0, the control."""
        generator = torch.Generator().manual_seed(seed)
        n = max(1, len(strengths))
        u, v = (torch.linalg.qr(torch.randn(d, d, generator=generator)).Q.T[:n].clone() for _ in range(2))
        host = nn.Linear(d, d, bias=False).requires_grad_(False)
        host.weight.copy_(torch.randn(d, d, generator=generator) / d**0.5)
        sigma = torch.tensor([*strengths] or [0.0])
        D = (u.T * sigma) @ v + noise * torch.randn(d, d, generator=generator)
        site = Site(host, Edit(D, torch.eye(d)))
        model = nn.Sequential(host, nn.ReLU())
        label = _label_of_edit(host.weight, D)
        return cls(VectorTarget(model, {"layer": site}, label), u, v, tuple(strengths))

    def draw(self, n: int, generator: torch.Generator) -> Float[Tensor, "n d"]:
        """Inputs."""
        d = self.v.shape[1]
        noise = 0.3 * torch.randn(n, d, generator=generator)
        noise -= noise @ self.v.T @ self.v
        on = torch.rand(n, len(self.v), generator=generator) < self.p
        return noise + on * (0.25 + 0.75 * torch.rand(n, len(self.v), generator=generator)) @ self.v

    def triggers(self, x: Float[Tensor, "n d"]) -> Bool[Tensor, "n k"]:
        """Which triggers an input carries: the true gates."""
        return x @ self.v.T > 0.1

    def data(self, batch_size: int = 512, held_out: int = 4096, seed: int = 0) -> Data:
        """Fresh inputs at every step."""
        return vector_data(self.draw, batch_size, held_out, seed)


def _label_of_edit(W0: Float[Tensor, "d d"], D: Float[Tensor, "d d"]) -> Callable[[Tensor], Tensor]:
    return lambda x: F.linear(x, W0 + D).relu()


class _Superposition(nn.Module):
    """x^ = ReLU(W^T W x + b), with a fixed identity between the halves where one is asked for."""

    def __init__(self, W: Float[Tensor, "h n"], b: Float[Tensor, " n"], *, has_hidden: bool) -> None:
        super().__init__()
        h, n = W.shape
        self.encode, self.decode = nn.Linear(n, h, bias=False), nn.Linear(h, n)
        self.hidden = nn.Linear(h, h, bias=False) if has_hidden else None
        self.requires_grad_(False)
        self.encode.weight.copy_(W)
        self.decode.weight.copy_(W.T)
        self.decode.bias.copy_(b)
        if self.hidden is not None:
            self.hidden.weight.copy_(torch.eye(h))

    def forward(self, x: Float[Tensor, "b n"]) -> Float[Tensor, "b n"]:
        h = self.encode(x)
        return self.decode(h if self.hidden is None else self.hidden(h)).relu()


@dataclass(frozen=True, eq=False)
class ToyModelOfSuperposition:
    """Sparse features squeezed through fewer dimensions (Elhage et al. 2022): one true component each.

    Features are U(0, 1) with probability p, else 0.

    Attributes:
        target: sites "encode" [h, n], "hidden" [h, h] where there is one, "decode" [n, h].
    """

    target: VectorTarget
    n_features: int
    p: float = 0.05

    @classmethod
    def train(
        cls,
        n_features: int = 5,
        n_hidden: int = 2,
        *,
        has_hidden: bool = False,
        seed: int = 0,
        steps: int = 3_000,
    ) -> ToyModelOfSuperposition:
        """Train the tied model on reconstruction."""
        generator = torch.Generator().manual_seed(seed)
        W = (torch.randn(n_hidden, n_features, generator=generator) / n_hidden**0.5).requires_grad_(True)
        b = torch.zeros(n_features, requires_grad=True)

        def loss(x: Tensor) -> Tensor:
            return (F.linear(F.linear(x, W), W.T, b).relu() - x).square().mean()

        _train([W, b], lambda: loss(_sparse(2048, n_features, cls.p, generator)), steps, 5e-3)
        model = _Superposition(W.detach(), b.detach(), has_hidden=has_hidden)
        names = ("encode", "hidden", "decode") if has_hidden else ("encode", "decode")
        sites = {name: Site(model.get_submodule(name)) for name in names}  # pyright: ignore[reportArgumentType]
        return cls(VectorTarget(model, sites, lambda x: x), n_features)

    def data(self, batch_size: int = 1024, held_out: int = 8192, seed: int = 0) -> Data:
        """Fresh inputs at every step."""
        return vector_data(lambda n, g: _sparse(n, self.n_features, self.p, g), batch_size, held_out, seed)


class _ResidualMlp(nn.Module):
    """Features embedded and read by fixed unit vectors, with one MLP added to the residual stream."""

    embed: Tensor

    def __init__(self, embed: Float[Tensor, "n d"], d_mlp: int) -> None:
        super().__init__()
        d = embed.shape[1]
        self.register_buffer("embed", embed)
        self.mlp_in, self.mlp_out = nn.Linear(d, d_mlp, bias=False), nn.Linear(d_mlp, d, bias=False)

    def forward(self, x: Float[Tensor, "b n"]) -> Float[Tensor, "b n"]:
        residual = x @ self.embed
        return (residual + self.mlp_out(self.mlp_in(residual).relu())) @ self.embed.T


@dataclass(frozen=True, eq=False)
class ResidualMlp:
    """A residual MLP that computes x + ReLU(x) for more features than it has neurons (Braun et al. 2025).

    Features are U(-1, 1) with probability p, else 0. True are one component per feature in "mlp_in", and a
    dense map of full rank in "mlp_out".

    Attributes:
        target: sites "mlp_in" [m, d] and "mlp_out" [d, m]. embed: unit rows [n, d].
    """

    target: VectorTarget
    embed: Float[Tensor, "n d"]
    p: float

    @classmethod
    def train(
        cls, n_features: int = 20, d: int = 64, d_mlp: int = 10, *, seed: int = 0, steps: int = 2_000
    ) -> ResidualMlp:
        """Train the MLP; about one feature is on at a time."""
        generator = torch.Generator().manual_seed(seed)
        embed = F.normalize(torch.randn(n_features, d, generator=generator), dim=1)
        p = 1 / n_features
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = _ResidualMlp(embed, d_mlp)

        def loss() -> Tensor:
            x = _signed(1024, n_features, p, generator)
            return (model(x) - _doubled(x)).square().mean()

        _train(list(model.parameters()), loss, steps, 5e-3)
        model.requires_grad_(False)
        sites = {"mlp_in": Site(model.mlp_in), "mlp_out": Site(model.mlp_out)}
        return cls(VectorTarget(model, sites, _doubled), embed, p)

    def data(self, batch_size: int = 1024, held_out: int = 8192, seed: int = 0) -> Data:
        """Fresh inputs at every step."""
        return vector_data(lambda n, g: _signed(n, len(self.embed), self.p, g), batch_size, held_out, seed)


def _doubled(x: Float[Tensor, "b n"]) -> Float[Tensor, "b n"]:
    return x + x.relu()


def _sparse(n: int, n_features: int, p: float, generator: torch.Generator) -> Float[Tensor, "b n"]:
    on = torch.rand(n, n_features, generator=generator) < p
    return on * torch.rand(n, n_features, generator=generator)


def _signed(n: int, n_features: int, p: float, generator: torch.Generator) -> Float[Tensor, "b n"]:
    on = torch.rand(n, n_features, generator=generator) < p
    return on * (2 * torch.rand(n, n_features, generator=generator) - 1)


def _train(parameters: list[Tensor], loss: Callable[[], Tensor], steps: int, rate: float) -> None:
    """AdamW on a loss of fresh batches, cosine to a tenth."""
    optimiser = torch.optim.AdamW(parameters, lr=rate, weight_decay=0.0)
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = rate * schedule(step, steps, 0)
        optimiser.zero_grad(set_to_none=True)
        loss().backward()
        optimiser.step()
