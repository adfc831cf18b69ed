"""Sites, their rank-1 components, and forward passes in which components and Delta are masked.

At a site with input x the decomposed matrix is M = sum_c U_c V_c^T + Delta, Delta defined as what the
components leave over. With masks m for the components and m_Delta for Delta the site gives

    rest(x) + ((x V) * m) U + m_Delta * Delta x  =  rest(x) + m_Delta * M x + ((x V) * (m - m_Delta)) U ,

and the right-hand side never forms Delta. A whole site decomposes its weight (rest is the bias); an edit site
leaves its weight alone and decomposes a low-rank matrix added to it (rest is the module's own output).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from fingerprint import FingerprintError
from fingerprint.adapters.spectrum import factored_svd


class VpdError(FingerprintError):
    """A decomposition cannot be started, read or used as asked."""


@dataclass(frozen=True, eq=False)
class Edit:
    """A matrix up @ down added to a site's weight, with any scale folded into ``up``."""

    up: Float[Tensor, "o r"]
    down: Float[Tensor, "r i"]


@dataclass(frozen=True, eq=False)
class Site:
    """One decomposed matrix.

    Attributes:
        linear: the frozen module at which it acts. edit: what is decomposed; None: the module's weight.
    """

    linear: nn.Linear
    edit: Edit | None = None

    @property
    def matrix(self) -> Float[Tensor, "o i"]:
        """M."""
        return self.linear.weight if self.edit is None else self.edit.up @ self.edit.down

    @property
    def largest_rank(self) -> int:
        """What the rank of M cannot exceed."""
        return min(self.matrix.shape) if self.edit is None else self.edit.down.shape[0]

    def singular_terms(
        self,
    ) -> tuple[Float[Tensor, "o k"], Float[Tensor, " k"], Float[Tensor, "k i"]]:
        """(left, strengths, right) of M in double precision; an edit's through its factors."""
        if self.edit is None:
            return torch.linalg.svd(self.matrix.detach().cpu().double(), full_matrices=False)
        return factored_svd(self.edit.up, self.edit.down)

    def apply_matrix(self, x: Float[Tensor, "*b i"], y: Float[Tensor, "*b o"]) -> Float[Tensor, "*b o"]:
        """M x, given the module's output y; a whole site needs no product for it."""
        if self.edit is not None:
            return F.linear(F.linear(x, self.edit.down), self.edit.up)
        return y if self.linear.bias is None else y - self.linear.bias

    def full(self, x: Float[Tensor, "*b i"], y: Float[Tensor, "*b o"]) -> Float[Tensor, "*b o"]:
        """The output with the whole of M, given the module's output y."""
        return y if self.edit is None else y + self.apply_matrix(x, y)

    def masked(
        self,
        x: Float[Tensor, "*b i"],
        y: Float[Tensor, "*b o"],
        m: Float[Tensor, "*m c"],
        m_delta: Float[Tensor, "*d 1"],
        components: tuple[Float[Tensor, "i c"], Float[Tensor, "c o"]],
    ) -> Float[Tensor, "*b o"]:
        """The output under masks: exactly ``full`` at m = m_Delta = 1, exactly y for an edit at 0."""
        V, U = components
        whole = self.apply_matrix(x, y)
        kept = (m_delta if self.edit is not None else m_delta - 1) * whole
        return y + kept + ((x @ V) * (m - m_delta)) @ U


@dataclass(frozen=True, eq=False)
class Masks:
    """Masks of all sites side by side: C components in site order, and one Delta for each of L sites.

    Leading axes are the positions', or none where all positions share a mask; the two may differ.
    """

    components: Float[Tensor, "*m c"]
    delta: Float[Tensor, "*d l"]


class Components(nn.Module):
    """U and V of every site.

    Attributes:
        sites: the sites by name, in order. counts: C of each site. owner: the site of every component.
        V: per site [d_in, C]. U: per site [C, d_out].
    """

    owner: Int[Tensor, " c"]

    def __init__(
        self,
        sites: Mapping[str, Site],
        V: Mapping[str, Float[Tensor, "_ _"]],
        U: Mapping[str, Float[Tensor, "_ _"]],
    ) -> None:
        super().__init__()
        self.sites = dict(sites)
        self.V = nn.ParameterList(nn.Parameter(V[name]) for name in sites)
        self.U = nn.ParameterList(nn.Parameter(U[name]) for name in sites)
        self.counts = tuple(U[name].shape[0] for name in sites)
        owner = torch.repeat_interleave(torch.arange(len(self.counts)), torch.tensor(self.counts))
        self.register_buffer("owner", owner.to(self.U[0].device), persistent=False)

    @property
    def n_components(self) -> int:
        """Components of all sites together."""
        return sum(self.counts)

    def by_site(self, values: Float[Tensor, "*b c"]) -> dict[str, Float[Tensor, "*b _"]]:
        """Split the last axis of something per component by site."""
        return dict(zip(self.sites, values.split(self.counts, -1), strict=True))

    def product(self, name: str) -> Float[Tensor, "o i"]:
        """Sum of all components of a site."""
        index = list(self.sites).index(name)
        return (self.V[index] @ self.U[index]).T

    def deltas(self) -> Iterator[tuple[Float[Tensor, "o i"], Float[Tensor, "o i"]]]:
        """(Delta, M) of every site in order; Delta carries the gradient of U and V."""
        for name, site in self.sites.items():
            matrix = site.matrix.detach().float()
            yield matrix - self.product(name), matrix

    @contextmanager
    def masked(self, masks: Masks) -> Iterator[None]:
        """Within, every site runs under the masks."""
        parts = masks.components.split(self.counts, -1)
        position = {name: index for index, name in enumerate(self.sites)}

        def replace(name: str, x: Tensor, y: Tensor) -> Tensor:
            i = position[name]
            return self.sites[name].masked(
                x, y, parts[i], masks.delta[..., i : i + 1], (self.V[i], self.U[i])
            )

        with on_sites(self.sites, replace):
            yield

    def constant_masks(self, components: float, delta: float) -> Masks:
        """The same mask for every component, and for every Delta, at every position."""
        like = self.U[0]
        return Masks(
            like.new_full((self.n_components,), components), like.new_full((len(self.sites),), delta)
        )


@contextmanager
def on_sites(sites: Mapping[str, Site], replace: Callable[[str, Any, Any], Any]) -> Iterator[None]:
    """Within, the output of a site's module is ``replace(name, input, output)``; hooks go in any case."""

    def hook_for(name: str) -> Callable[..., Any]:
        return lambda _module, inputs, output: replace(name, inputs[0], output)

    handles = [site.linear.register_forward_hook(hook_for(name)) for name, site in sites.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def observed(sites: Mapping[str, Site]) -> Iterator[dict[str, Tensor]]:
    """Within, every site runs with the whole of M; gives the sites' inputs by name."""
    inputs: dict[str, Tensor] = {}

    def record(name: str, x: Tensor, y: Tensor) -> Tensor:
        inputs[name] = x.detach()
        return sites[name].full(x, y)

    with on_sites(sites, record):
        yield inputs


def count_components(site: Site, n_components: int | None, per_rank: float) -> int:
    """C of one site."""
    return n_components if n_components is not None else max(1, round(per_rank * site.largest_rank))


def gaussian_start(
    site: Site, n_components: int, generator: torch.Generator
) -> tuple[Float[Tensor, "i c"], Float[Tensor, "c o"]]:
    """V with entries of variance 1 / d_in, U of variance 1 / C, whatever the matrix."""
    d_out, d_in = site.linear.weight.shape
    V = torch.randn(d_in, n_components, generator=generator) / d_in**0.5
    U = torch.randn(n_components, d_out, generator=generator) / n_components**0.5
    return V.to(site.linear.weight.device), U.to(site.linear.weight.device)


def svd_start(
    site: Site, n_components: int, generator: torch.Generator
) -> tuple[Float[Tensor, "i c"], Float[Tensor, "c o"]]:
    """The best approximation of rank C, its halves turned against each other by one random rotation.

    V U = M^T where C reaches the rank; the rotation keeps training from being anchored to the singular
    vectors, which are arbitrary among equal strengths. Spare components (C above d) share the same span.
    """
    left, strengths, right = site.singular_terms()
    rank = min(n_components, len(strengths))
    root = strengths[:rank].sqrt()
    square = torch.randn(n_components, n_components, generator=generator, dtype=torch.float64)
    turn = torch.linalg.qr(square).Q[:rank]
    V = (right[:rank].T * root) @ turn
    U = turn.T @ (root[:, None] * left[:, :rank].T)
    return V.float().to(site.linear.weight.device), U.float().to(site.linear.weight.device)


def start_components(
    sites: Mapping[str, Site], init: str, n_components: int | None, per_rank: float, seed: int
) -> Components:
    """Components of all sites at their start ("gaussian" or "svd")."""
    generator = torch.Generator().manual_seed(seed)
    start = svd_start if init == "svd" else gaussian_start
    V: dict[str, Tensor] = {}
    U: dict[str, Tensor] = {}
    for name, site in sites.items():
        count = count_components(site, n_components, per_rank)
        V[name], U[name] = start(site, count, generator)
    return Components(sites, V, U)
