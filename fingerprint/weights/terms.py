"""What a stage of training added to each matrix, as exact singular terms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from fingerprint import FingerprintError
from fingerprint.adapters.spectrum import factored_svd
from fingerprint.lm.load import Base
from fingerprint.lm.pair import RoutedModel
from fingerprint.lm.sites import layer_of, matrix_of
from fingerprint.weights.report import SiteChange


@dataclass(frozen=True, eq=False)
class SingularTerms:
    """D = left diag(strengths) right, thin and exact; every norm and gain of D follows from these.

    Attributes:
        left: [d_out, k] orthonormal columns. strengths: [k], largest first. right: [k, d_in] orthonormal
            rows.
    """

    left: Float[Tensor, "o k"]
    strengths: Float[Tensor, " k"]
    right: Float[Tensor, "k i"]

    @classmethod
    def of(cls, matrix: Float[Tensor, "o i"]) -> SingularTerms:
        """Of a dense matrix, in double precision."""
        return cls(*torch.linalg.svd(matrix.detach().cpu().double(), full_matrices=False))

    @classmethod
    def of_product(cls, up: Float[Tensor, "o r"], down: Float[Tensor, "r i"]) -> SingularTerms:
        """Of up @ down, through its factors."""
        return cls(*factored_svd(up, down))

    def folded(self, gain: Float[Tensor, " i"]) -> SingularTerms:
        """Of D diag(gain): what a matrix behind a normalisation does to the stream before it."""
        return SingularTerms.of_product(self.left * self.strengths, self.right * gain.detach().cpu().double())

    @property
    def frobenius(self) -> float:
        """Root of the sum of squared entries."""
        return float(self.strengths.norm())

    @property
    def spectral(self) -> float:
        """Largest singular value."""
        return float(self.strengths.max()) if len(self.strengths) else 0.0

    @property
    def stable_rank(self) -> float:
        """||D||_F^2 / ||D||_2^2; 0 of a zero matrix."""
        return (self.frobenius / self.spectral) ** 2 if self.spectral > 0 else 0.0

    @property
    def effective_rank(self) -> float:
        """Exp of the entropy of the energy shares (Roy & Vetterli 2007); 0 of a zero matrix."""
        if self.spectral == 0:
            return 0.0
        shares = self.strengths.square() / self.strengths.square().sum()
        return float(torch.special.entr(shares).sum().exp())

    def energy(self, k: int) -> float:
        """Share of the squared norm in the k strongest terms; 0 of a zero matrix."""
        whole = self.strengths.square().sum()
        return float(self.strengths[:k].square().sum() / whole) if whole > 0 else 0.0


@dataclass(frozen=True, eq=False)
class Stage:
    """One step of training: what it added to every matrix.

    Attributes:
        name: for people, "base -> team". terms: of D by site, in layer order. before: Frobenius norm of the
            matrix that D was added to, by site.
    """

    name: str
    terms: dict[str, SingularTerms]
    before: dict[str, float]

    def changes(self) -> tuple[SiteChange, ...]:
        """Norms and ranks of every matrix's change."""
        return tuple(
            SiteChange(
                stage=self.name, site=site, layer=layer_of(site), matrix=matrix_of(site),
                frobenius=terms.frobenius,
                relative=terms.frobenius / self.before[site] if self.before[site] else 0.0,
                spectral=terms.spectral, stable_rank=terms.stable_rank,
                effective_rank=terms.effective_rank, energy_top1=terms.energy(1), energy_top4=terms.energy(4),
            )
            for site, terms in self.terms.items()
        )  # fmt: skip


def stage_of_states(
    name: str, routed: RoutedModel, start: Mapping[str, Tensor], end: Mapping[str, Tensor]
) -> Stage:
    """From one state of a routed model to another: D = s (B_end - B_start) A, never formed."""
    directions, terms, before = routed.directions, {}, {}
    for site in routed.sites:
        weight = routed.base.model.get_parameter(f"{site}.weight").detach().cpu().double()
        down = directions[site].detach().cpu().double()
        first, last = (state[site].detach().cpu().double() for state in (start, end))
        terms[site] = SingularTerms.of_product(routed.scale * (last - first), down)
        before[site] = float((weight + routed.scale * first @ down).norm())
    return Stage(name, terms, before)


def stage_of_models(name: str, before: Base, after: Base) -> Stage:
    """From one full checkpoint of a base to another.

    Raises:
        FingerprintError: they are not checkpoints of one architecture.
    """
    if before.sites != after.sites or any(before.site_shape(s) != after.site_shape(s) for s in before.sites):
        raise FingerprintError(
            f"{before.name!r} and {after.name!r} have other matrices: expected two checkpoints of one run. "
            "Name folders that one training wrote."
        )
    terms, sizes = {}, {}
    for site in before.sites:
        first, last = (
            m.model.get_parameter(f"{site}.weight").detach().cpu().double() for m in (before, after)
        )
        terms[site], sizes[site] = SingularTerms.of(last - first), float(first.norm())
    return Stage(name, terms, sizes)
