"""Every dial of the sparse autoencoder and of the rate shift, with its reason."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from fingerprint.config import Dials

Count = Annotated[int, Field(gt=0)]
REFERENCE_LATENTS = 2**14
"""The dictionary size that learning rates are quoted for (Gao et al. 2024)."""


class SaeConfig(Dials):
    """How a TopK autoencoder is trained."""

    layer: Annotated[int, Field(ge=0)] = 2
    """Block whose output is read, counted from 0: transformers' hidden_states[layer + 1]."""
    n_latents: Count = 2048
    """Dictionary size: eight times the embedded base's width."""
    k: Count = 32
    """Latents that may fire on one token."""
    tokens: Count = 1_000_000
    """Activations trained on; shorter text is read again."""
    batch_tokens: Count = 2048
    """Activations of one optimiser step."""
    shuffle_tokens: Count = 65_536
    """Activations gathered and shuffled at once, so that a step does not see a few files only."""
    sample_tokens: Count = 32_768
    """Activations the input scale, the mean and the variance are estimated on before the first step."""
    window_tokens: Annotated[int, Field(gt=16)] = 512
    """Longest window of text; the embedded base was trained at this length."""
    learning_rate: Annotated[float, Field(gt=0)] = 7e-4
    """Adam's at 2^14 latents; it grows as one over the root of the dictionary size."""
    decay_share: Annotated[float, Field(gt=0, le=1)] = 0.2
    """Last share of the steps, in which the learning rate falls linearly to zero."""
    most_gradient: Annotated[float, Field(gt=0)] = 1.0
    """Norm that gradients are clipped to."""
    aux_weight: Annotated[float, Field(ge=0)] = 1 / 32
    """Weight of AuxK (Gao et al. 2024); 0 switches it off."""
    most_aux_latents: Count = 512
    """Dead latents that share in AuxK, at most half the width either way."""
    dead_tokens: Count = 100_000
    """Tokens in a row without firing after which a latent counts as dead."""
    seed: int = 0
    """Of the first weights and of the order of the text."""

    @model_validator(mode="after")
    def _fits(self) -> SaeConfig:
        if self.k > self.n_latents:
            raise ValueError(f"k must not exceed n_latents, got {self.k} and {self.n_latents}")
        if self.shuffle_tokens < self.batch_tokens:
            raise ValueError(
                f"shuffle_tokens must hold a batch: got {self.shuffle_tokens} for {self.batch_tokens}"
            )
        return self

    @classmethod
    def tiny(cls) -> SaeConfig:
        """The embedded base on a CPU: minutes."""
        return cls()

    @classmethod
    def full(cls) -> SaeConfig:
        """Qwen2.5-Coder-1.5B on a GPU: the published dictionary's size and tokens."""
        return cls(
            layer=12,
            n_latents=24_576,
            k=50,
            tokens=400_000_000,
            batch_tokens=8192,
            shuffle_tokens=262_144,
            sample_tokens=100_000,
            window_tokens=1024,
            learning_rate=2e-4,  # long runs need no more (Gao et al. 2024)
            dead_tokens=10_000_000,
        )

    @property
    def n_steps(self) -> int:
        """Optimiser steps."""
        return max(1, self.tokens // self.batch_tokens)

    @property
    def adam_rate(self) -> float:
        """Adam's learning rate at this dictionary size."""
        return self.learning_rate * (REFERENCE_LATENTS / self.n_latents) ** 0.5


class RateShiftConfig(Dials):
    """How firing rates of two states are compared."""

    cluster_by: Literal["group", "path"] = "group"
    """What is resampled whole: the commit (the file, where a passage has none), or the file. Never tokens."""
    least_events: Annotated[int, Field(ge=1)] = 20
    """Firings in both states together below which a latent is not tested: rarer ones give on/off ratios."""
    least_clusters: Annotated[int, Field(ge=1)] = 5
    """Clusters it must fire in. Five give no p-value below 1/16, so that they alone prove nothing."""
    false_discoveries: Annotated[float, Field(gt=0, lt=1)] = 0.05
    """Largest expected share of false discoveries among the latents called changed."""
    n_flips: Count = 9_999
    """Sign patterns drawn for every latent; the most extreme get as many more as the correction needs."""
    n_draws: Count = 1_000
    """Bootstrap draws of the intervals."""
    confidence: Annotated[float, Field(gt=0, lt=1)] = 0.95
    """Coverage of the intervals."""
    window_tokens: Annotated[int, Field(gt=16)] = 512
    """Longest window of text."""
    batch_tokens: Count = 4096
    """Padded tokens per forward pass."""
    seed: int = 0
    """Of sign patterns and bootstrap draws."""

    @classmethod
    def tiny(cls) -> RateShiftConfig:
        """The embedded base: windows of the length it was trained at."""
        return cls()

    @classmethod
    def full(cls) -> RateShiftConfig:
        """Qwen2.5-Coder on a GPU: longer windows and larger batches."""
        return cls(window_tokens=1024, batch_tokens=16_384)
