"""Muon for many B at once: momentum whose singular values are all made about one, a matrix at a time.

Jordan et al. 2024 (kellerjordan.github.io/posts/muon); step size of Liu et al. 2025 (arXiv 2502.16982).
Routes are whitened: at unit second moment of its input, a B of spectral norm s changes a site's output by at
most s in the root mean square. A Muon step bounds that norm, where AdamW moves every entry, noise and all, by
the learning rate; a short training pays for it (README.md, "Short trainings"). ``torch.optim.Muon`` is the
oracle in the tests: it takes one matrix at a time, which costs more than a training step of a short block.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

MOMENTUM = 0.85
"""Trainings are of 12 to 300 steps here, and a longer average comes too late: dev losses end lowest with .85,
highest with .95 (8,000 and 40,000 tokens of the sample organisation and of insta)."""
_COEFFICIENTS, _N_ITERATIONS = (3.4445, -4.7750, 2.0315), 5
"""The quintic of Jordan et al.: singular values end between .7 and 1.2, small ones triple each time."""
_ADAMW_RMS = 0.2
"""Root mean square of an AdamW update at learning rate 1, in Liu et al.: one scale of rates for both."""


@dataclass(eq=False)
class Muon:
    """What one training keeps between steps. momentum: of all matrices, flat."""

    momentum: Float[Tensor, " p"]

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"momentum": self.momentum}

    def load_state_dict(self, state_dict: dict[str, Any], /) -> None:
        """From a checkpoint."""
        self.momentum = state_dict["momentum"]


@torch.no_grad()
def muon_updates(
    gradients: Float[Tensor, "n p"], momenta: Float[Tensor, "n p"], shapes: Sequence[torch.Size]
) -> Float[Tensor, "n p"]:
    """What n trainings subtract from their weights at learning rate 1; ``momenta`` move on in place.

    Args:
        gradients: of each training, all matrices flat, one after the other. shapes: of the matrices.
    """
    momenta.lerp_(gradients, 1 - MOMENTUM)
    ahead = gradients.lerp(momenta, MOMENTUM)  # Nesterov's
    bounds = np.cumsum([0, *(shape.numel() for shape in shapes)]).tolist()
    spans = [slice(*pair) for pair in pairwise(bounds)]
    updates = torch.empty_like(ahead)
    for shape in dict.fromkeys(shapes):
        alike = [span for span, other in zip(spans, shapes, strict=True) if other == shape]
        matrices = torch.stack([ahead[:, span].unflatten(1, shape) for span in alike], 1)
        even = _orthogonalised(matrices) * (_ADAMW_RMS * max(shape) ** 0.5)
        for span, update in zip(alike, even.unbind(1), strict=True):
            updates[:, span] = update.flatten(1)
    return updates


def _orthogonalised(matrices: Float[Tensor, "*b d r"]) -> Float[Tensor, "*b d r"]:
    """U V^T of U S V^T, about: Newton-Schulz, all of it on the smaller Gram matrix, which commutes."""
    if matrices.shape[-2] < matrices.shape[-1]:
        return _orthogonalised(matrices.mT).mT
    x = matrices / matrices.norm(dim=(-2, -1), keepdim=True).clamp(min=1e-7)
    a, b, c = _COEFFICIENTS
    gram = x.mT @ x
    identity = torch.eye(gram.shape[-1], device=gram.device, dtype=gram.dtype)
    product = identity
    for _ in range(_N_ITERATIONS):
        factor = a * identity + b * gram + c * gram @ gram
        product, gram = product @ factor, factor @ gram @ factor
    return x @ product
