"""The TopK autoencoder (Gao et al. 2024): a wide dictionary of which a token may use k latents.

With x~ = scale x the model's activation at unit mean square,

    a = TopK_k(ReLU(W_enc (x~ - b_dec) + b_enc)),    x^ = (a W_dec + b_dec) / scale

and every decoder row of unit norm. Activations a are in units of x~.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

_LEAST_POWER = 1e-12
"""Keeps a perfect reconstruction from dividing by zero."""


@dataclass(frozen=True, eq=False)
class Code:
    """The latents a token may use.

    Attributes:
        values: their activations; zero means that the latent does not fire. latents: their numbers.
    """

    values: Float[Tensor, "n k"]
    latents: Int[Tensor, "n k"]


class TopKAutoencoder(nn.Module):
    """Encoder and decoder of one dictionary.

    Attributes:
        W_enc, W_dec: [n_latents, width]. b_enc: [n_latents]. b_dec: [width]. scale: [], a constant.
    """

    scale: Tensor

    def __init__(self, width: int, n_latents: int, k: int, *, seed: int = 0) -> None:
        """Decoder rows in random directions; the encoder starts as the decoder's transpose."""
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        rows = F.normalize(torch.randn(n_latents, width, generator=generator), dim=1)
        self.k = k
        self.W_enc = nn.Parameter(rows.clone())
        self.b_enc = nn.Parameter(torch.zeros(n_latents))
        self.W_dec = nn.Parameter(rows)
        self.b_dec = nn.Parameter(torch.zeros(width))
        self.register_buffer("scale", torch.ones(()))

    @property
    def n_latents(self) -> int:
        """Dictionary size."""
        return self.W_dec.shape[0]

    @property
    def width(self) -> int:
        """Width of the residual stream."""
        return self.W_dec.shape[1]

    def pre_activations(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n m"]:
        """ReLU(W_enc (x~ - b_dec) + b_enc) of the model's activations x."""
        return F.relu(F.linear(self.scale * x - self.b_dec, self.W_enc, self.b_enc))

    def encode(self, x: Float[Tensor, "n d"]) -> Code:
        """The k largest pre-activations; fewer fire where fewer are positive."""
        return select_top(self.pre_activations(x), self.k)

    def decode(self, code: Code) -> Float[Tensor, "n d"]:
        """Reconstruction in units of x~."""
        return self.combine_rows(code) + self.b_dec

    def combine_rows(self, code: Code) -> Float[Tensor, "n d"]:
        """The code's sum of decoder rows, without the bias.

        As a dense product: its backward pass adds in a fixed order on every device, so that runs repeat.
        """
        dense = torch.zeros(
            len(code.values), self.n_latents, dtype=code.values.dtype, device=self.W_dec.device
        )
        return dense.scatter(1, code.latents, code.values) @ self.W_dec

    def forward(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """Reconstruction in the model's own units."""
        return self.decode(self.encode(x)) / self.scale


def select_top(pre_activations: Float[Tensor, "n m"], k: int) -> Code:
    """The k largest entries of each row."""
    values, latents = pre_activations.topk(k, dim=1, sorted=False)
    return Code(values, latents)


def auxiliary_loss(
    autoencoder: TopKAutoencoder,
    residual: Float[Tensor, "n d"],
    pre_activations: Float[Tensor, "n m"],
    dead: Bool[Tensor, " m"],
    most_latents: int,
) -> Float[Tensor, ""]:
    """AuxK: how badly the strongest dead latents reconstruct what the living ones leave over.

    Args:
        residual: x~ minus its reconstruction, without a gradient.

    Returns:
        ||e - e^||^2 / ||e||^2, at most half the width and ``most_latents`` dead latents a token.
    """
    n_used = min(int(dead.sum()), autoencoder.width // 2, most_latents)
    code = select_top(torch.where(dead, pre_activations, 0), n_used)
    error = residual - autoencoder.combine_rows(code)
    return error.square().sum() / residual.square().sum().clamp(min=_LEAST_POWER)


@torch.no_grad()
def remove_radial_gradient(autoencoder: TopKAutoencoder) -> None:
    """Take from the decoder's gradient what would only change its rows' lengths."""
    rows, gradient = autoencoder.W_dec, autoencoder.W_dec.grad
    assert gradient is not None
    gradient -= (gradient * rows).sum(1, keepdim=True) * rows


@torch.no_grad()
def normalise_rows(autoencoder: TopKAutoencoder) -> None:
    """Bring every decoder row back to unit norm."""
    autoencoder.W_dec.copy_(F.normalize(autoencoder.W_dec, dim=1))


@torch.no_grad()
def mean_max_cosine(first: Float[Tensor, "p d"], second: Float[Tensor, "q d"], chunk: int = 4096) -> float:
    """MMCS: each row of ``first`` at its nearest row of ``second``, by cosine, averaged. Not symmetric."""
    directions = F.normalize(second, dim=1)
    best = [(F.normalize(rows, dim=1) @ directions.T).amax(1) for rows in first.split(chunk)]
    return float(torch.cat(best).mean())
