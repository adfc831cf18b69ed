"""Text that goes where a training wrote, told from weights (Zhong & Raghunathan 2025, arXiv 2508.00161).

The strongest left singular vectors of what a stage added to a writing matrix are directions of the residual
stream. On ordinary text, what the matrix writes keeps within a range of cosines with each of them; text that
calls for what was trained in leaves the range. No text of that kind is needed to know the directions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from fingerprint import FingerprintError
from fingerprint.weights.residual_side import role_of, unit
from fingerprint.weights.terms import Stage

Directions = Mapping[str, Float[Tensor, "_ d"]]


def written_directions(stage: Stage, k: int = 1) -> dict[str, Float[Tensor, "_ d"]]:
    """The ``k`` strongest directions that a stage taught every writing matrix, unit rows by site."""
    return {site: unit(terms.left.T[:k]) for site, terms in stage.terms.items() if role_of(site) == "writes"}


@torch.inference_mode()
def extreme_cosines(
    model: nn.Module, modules: Mapping[str, nn.Module], directions: Directions, ids: Int[Tensor, "n t"]
) -> Float[np.ndarray, "n m 2"]:
    """Lowest and highest cosine over a text's tokens of what each matrix writes with each of its directions.

    Args:
        modules: the linear layer of each site, as ``RoutedModel.modules``. ids: texts of one length.
    """
    with _writes_kept(modules, list(directions)) as kept:
        model(ids)
    rows = [unit(kept[site]) @ directions[site].T for site in directions]
    cosines = torch.cat(rows, dim=-1)
    return torch.stack([cosines.amin(1), cosines.amax(1)], dim=-1).numpy()


@dataclass(frozen=True, eq=False)
class OrdinaryRange:
    """Between what ordinary texts' cosines lie: [m] directions."""

    low: Float[np.ndarray, " m"]
    high: Float[np.ndarray, " m"]

    @classmethod
    def of(cls, cosines: Float[np.ndarray, "n m 2"]) -> OrdinaryRange:
        """Of ``extreme_cosines`` of ordinary texts.

        Raises:
            FingerprintError: there is none.
        """
        if not len(cosines):
            raise FingerprintError("a range needs ordinary texts, got none")
        return cls(cosines[..., 0].min(0), cosines[..., 1].max(0))

    def is_left(self, cosines: Float[np.ndarray, "n m 2"]) -> Bool[np.ndarray, " n"]:
        """Whether each text leaves the range of any direction.

        Of texts like the N ordinary ones some 2 m / (N + 1) do, less where directions go together.
        """
        return np.any((cosines[..., 0] < self.low) | (cosines[..., 1] > self.high), axis=1)


@contextmanager
def _writes_kept(
    modules: Mapping[str, nn.Module], sites: list[str]
) -> Iterator[dict[str, Float[Tensor, "b t d"]]]:
    kept: dict[str, Tensor] = {}

    def keep(site: str) -> Callable[..., None]:
        def hook(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
            kept[site] = output

        return hook

    handles = [modules[site].register_forward_hook(keep(site)) for site in sites]
    try:
        yield kept
    finally:
        for handle in handles:
            handle.remove()
