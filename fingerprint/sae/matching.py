"""Latents of two dictionaries paired one to one, and what becomes of them along a series."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn import functional as F

SAME = 0.7
"""Cosine of decoder rows from which on two latents count as the same one."""


@dataclass(frozen=True, eq=False)
class LatentMatch:
    """Latents of a first dictionary with their partners in a second.

    Attributes:
        partner: number in the second dictionary, by latent of the first. cosine: of the two decoder rows.
    """

    partner: Int[np.ndarray, " m"]
    cosine: Float[np.ndarray, " m"]

    @property
    def kept_share(self) -> float:
        """Share of latents whose partner is the same direction (``SAME``)."""
        return float((self.cosine >= SAME).mean())


def match_latents(first: Float[Tensor, "m d"], second: Float[Tensor, "m d"]) -> LatentMatch:
    """The one-to-one pairing of decoder rows with the largest sum of cosines (Kuhn 1955)."""
    cosines = (
        (F.normalize(first.detach(), dim=1) @ F.normalize(second.detach(), dim=1).T).cpu().double().numpy()
    )
    rows, columns = linear_sum_assignment(cosines, maximize=True)
    return LatentMatch(columns[np.argsort(rows)], cosines[rows, columns][np.argsort(rows)])


def births(matches: Sequence[LatentMatch]) -> Int[np.ndarray, " m"]:
    """Since when each latent of the last dictionary has been there, unbroken.

    Args:
        matches: of every dictionary with the next one.

    Returns:
        Position in the series of n + 1 dictionaries, by latent of the last; 0: from the first on.
    """
    born = np.zeros(len(matches[0].partner), dtype=int)
    for position, match in enumerate(matches, 1):
        after = np.full(len(born), position)
        is_same = match.cosine >= SAME
        after[match.partner[is_same]] = born[is_same]
        born = after
    return born
