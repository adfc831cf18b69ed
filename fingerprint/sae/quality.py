"""How good a dictionary is on held-out text: what it reconstructs, and what the model loses by it.

Position 0 and padding are left out of every figure. Where the residual stream is patched, position 0 keeps
its own: the autoencoder was never trained on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor
from torch.nn import functional as F

from fingerprint import FingerprintError
from fingerprint.adapters.plan import Text
from fingerprint.lm.load import Base
from fingerprint.lm.pair import BATCH_TOKENS
from fingerprint.lm.tokens import Batch, TokenizedPassage, length_buckets, pad_batch, target_log_probs
from fingerprint.sae.artifact import Sae
from fingerprint.sae.residual import Change, block_name, counted_tokens, read_residual, residual_changed
from fingerprint.sae.stream import as_windows

DENSITY_EDGES = (-6.0, -5.0, -4.5, -4.0, -3.5, -3.0, -2.5, -2.0, -1.5, -1.0, -0.5, 0.0)
"""log10 of the share of tokens a latent fires on: edges of the histogram."""


@dataclass(frozen=True)
class Reconstruction:
    """What the dictionary makes of held-out activations.

    Attributes:
        n_tokens: tokens read. fvu: sum ||x - x^||^2 / sum ||x - mean x||^2, the mean by dimension.
        cosine: mean over tokens of cos(x, x^). l0: latents firing on a token, mean. dead_share: latents
            that fire on none. densities: latents in each bin of ``DENSITY_EDGES``, the last one closed.
    """

    n_tokens: int
    fvu: float
    cosine: float
    l0: float
    dead_share: float
    densities: tuple[int, ...]


@dataclass(frozen=True)
class PatchedLoss:
    """Mean cross-entropy of held-out scored tokens, nats, with the residual stream replaced.

    Attributes:
        clean: untouched. patched: by the reconstruction. at_mean: by the text's mean. at_zero: by zero.
    """

    clean: float
    patched: float
    at_mean: float
    at_zero: float

    @property
    def increase(self) -> float:
        """Nats a token that the reconstruction costs; exactly 0 when it is perfect."""
        return self.patched - self.clean

    @property
    def recovered(self) -> float:
        """Share of the loss of a zeroed stream that the reconstruction avoids."""
        return 1 - self.increase / (self.at_zero - self.clean)

    @property
    def recovered_from_mean(self) -> float:
        """The same beside a stream held at its mean: the stricter comparison."""
        return 1 - self.increase / (self.at_mean - self.clean)


@dataclass(frozen=True)
class Quality:
    """Both views of one dictionary on one held-out text."""

    reconstruction: Reconstruction
    loss: PatchedLoss


def measure_quality(sae: Sae, base: Base, text: Text, *, window_tokens: int = 512) -> Quality:
    """Measure a dictionary on held-out passages or token windows.

    Raises:
        SaeError: the dictionary belongs to another base. FingerprintError: there is no text.
    """
    sae.check(base)
    windows = as_windows(base, text, window_tokens)
    if not windows:
        raise FingerprintError("There is no held-out text to measure the autoencoder on: give passages.")
    totals = _read_totals(sae, base, windows)
    return Quality(totals.reconstruction(), _patched_losses(sae, base, windows, totals.mean))


def patched_loss(base: Base, block: str, windows: Sequence[TokenizedPassage], change: Change) -> float:
    """Mean cross-entropy of the scored tokens, nats, with the stream changed behind position 0."""

    def behind_first(x: Tensor) -> Tensor:
        return torch.cat([x[:, :1], change(x[:, 1:])], dim=1)

    with residual_changed(base.model, block, behind_first):
        return _mean_loss(base, windows)


def reconstructed(sae: Sae) -> Change:
    """The change that puts the reconstruction in place of the stream, in the model's dtype."""
    return lambda x: sae.autoencoder(x.flatten(0, 1).float()).unflatten(0, x.shape[:2]).to(x.dtype)


def _patched_losses(
    sae: Sae, base: Base, windows: Sequence[TokenizedPassage], mean: Float[Tensor, " d"]
) -> PatchedLoss:
    block = block_name(base, sae.layer)
    return PatchedLoss(
        _mean_loss(base, windows),
        patched_loss(base, block, windows, reconstructed(sae)),
        patched_loss(base, block, windows, lambda x: mean.to(x).expand_as(x)),
        patched_loss(base, block, windows, torch.zeros_like),
    )


@torch.inference_mode()
def _mean_loss(base: Base, windows: Sequence[TokenizedPassage]) -> float:
    total, n_scored = 0.0, 0
    for batch in _batches(base, windows):
        total -= float(target_log_probs(base.model, batch).double().sum())
        n_scored += int(batch.scored.sum())
    return total / n_scored


def _batches(base: Base, windows: Sequence[TokenizedPassage]) -> list[Batch]:
    return [pad_batch(windows, rows).to(base.device) for rows in length_buckets(windows, BATCH_TOKENS)]


@dataclass(eq=False)
class _Totals:
    """Sums over tokens, fp64; ``firings`` by latent."""

    n_tokens: int
    error: float
    cosine: float
    power: float
    sums: Float64[Tensor, " d"]
    firings: Int[Tensor, " m"]

    @property
    def mean(self) -> Float[Tensor, " d"]:
        """Mean activation."""
        return (self.sums / self.n_tokens).float()

    def reconstruction(self) -> Reconstruction:
        """The figures."""
        variance = self.power - float(self.sums.square().sum()) / self.n_tokens
        shares = self.firings / self.n_tokens
        fires = self.firings > 0
        edges = torch.tensor(DENSITY_EDGES, dtype=torch.float64)
        densities = torch.histogram(shares[fires].double().log10().cpu().clamp(min=edges[0]), edges)
        return Reconstruction(
            self.n_tokens,
            self.error / variance,
            self.cosine / self.n_tokens,
            float(self.firings.sum()) / self.n_tokens,
            float((~fires).float().mean()),
            tuple(int(n) for n in densities.hist),
        )


@torch.inference_mode()
def _read_totals(sae: Sae, base: Base, windows: Sequence[TokenizedPassage]) -> _Totals:
    block, autoencoder = block_name(base, sae.layer), sae.autoencoder
    sums = torch.zeros(autoencoder.width, dtype=torch.float64, device=base.device)
    firings = torch.zeros(autoencoder.n_latents, dtype=torch.int64, device=base.device)
    totals = _Totals(0, 0.0, 0.0, 0.0, sums, firings)
    for batch in _batches(base, windows):
        x = read_residual(base.model, block, batch)[counted_tokens(batch)].float()
        code = autoencoder.encode(x)
        guess = autoencoder.decode(code) / autoencoder.scale
        totals.n_tokens += len(x)
        totals.error += float((x - guess).double().square().sum())
        totals.cosine += float(F.cosine_similarity(x, guess, dim=1).double().sum())
        totals.power += float(x.double().square().sum())
        totals.sums += x.double().sum(0)
        totals.firings += torch.bincount(code.latents[code.values > 0], minlength=autoencoder.n_latents)
    return totals
