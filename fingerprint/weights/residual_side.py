"""Which side of a matrix stands in the residual stream, and what scales the stream before it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from fingerprint import FingerprintError
from fingerprint.lm.load import Base
from fingerprint.lm.sites import block_of
from fingerprint.weights.terms import SingularTerms

Role = Literal["reads", "writes"]
_WRITES = {"o_proj", "out_proj", "dense", "down_proj", "fc2", "dense_4h_to_h"}
_OF_MLP = {"gate_proj", "up_proj", "gate_up_proj", "fc1", "dense_h_to_4h"}


@dataclass(frozen=True, eq=False)
class ResidualSide:
    """A change seen from the residual stream.

    Attributes:
        role: "writes": D adds to the stream, and its left singular vectors live there. "reads": D looks at
            the normalised stream, and the right singular vectors of D diag(gain) live there.
        directions: [k, d] orthonormal rows in the stream, strongest first. strengths: [k].
    """

    role: Role
    directions: Float[Tensor, "k d"]
    strengths: Float[Tensor, " k"]


def role_of(site: str) -> Role:
    """Whether a matrix writes to the residual stream or reads from it."""
    return "writes" if site.rpartition(".")[2] in _WRITES else "reads"


def norm_gain(base: Base, site: str) -> Float[Tensor, " d"]:
    """The weight of the normalisation between the stream and a reading matrix; ones without any.

    A block's norms are taken in their order, as in pre-norm architectures: the first stands before attention,
    the last before the MLP; a block with one norm has it before both.

    Raises:
        FingerprintError: the block has more norms, or one without a weight.
    """
    block = base.model.get_submodule(block_of(site))
    norms = [child for child in block.children() if "norm" in type(child).__name__.lower()]
    weights = [norm.weight for norm in norms if isinstance(getattr(norm, "weight", None), nn.Parameter)]
    if not norms:
        return torch.ones(base.site_shape(site)[1], dtype=torch.float64)
    if len(weights) != len(norms) or len(norms) > 2:
        raise FingerprintError(
            f"The block {block_of(site)!r} of {base.name!r} has {len(norms)} norms, {len(weights)} of them "
            "with a weight: expected one or two, before attention and before the MLP. This architecture is "
            "not read."
        )
    gain = weights[-1 if site.rpartition(".")[2] in _OF_MLP else 0]
    assert isinstance(gain, Tensor)
    return gain.detach().cpu().double()


def residual_side(base: Base, site: str, terms: SingularTerms) -> ResidualSide:
    """The side of a change that stands in the residual stream of its block."""
    if role_of(site) == "writes":
        return ResidualSide("writes", terms.left.T, terms.strengths)
    folded = terms.folded(norm_gain(base, site))
    return ResidualSide("reads", folded.right, folded.strengths)


def unit(direction: Float[Tensor, "*n d"]) -> Float[Tensor, "*n d"]:
    """Directions at unit norm, in double precision on the CPU; zero stays zero."""
    return torch.nn.functional.normalize(direction.detach().cpu().double(), dim=-1)
