"""Every dial of a decomposition, with its value and reason; presets toy, tiny and full. Torch-free."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from fingerprint.config import Dials

Count = Annotated[int, Field(gt=0)]
Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Coefficient = Annotated[float, Field(ge=0)]


class AliveSetConfig(Dials):
    """How the alive components of two states are compared on the same tokens."""

    cluster_by: Literal["group", "path"] = "group"
    """What is resampled whole: the commit (the file, where a passage has none), or the file. Never tokens."""
    alive: Positive = 1e-6
    """A component whose mean gate over the tokens is larger is alive; it depends on how many are read."""
    least_events: Count = 20
    """Open gates in both states together below which a component is not tested."""
    least_clusters: Count = 5
    """Clusters its gate must open in. Five give no p-value below 1/16, so that they alone prove nothing."""
    false_discoveries: Annotated[float, Field(gt=0, lt=1)] = 0.05
    """Largest expected share of false discoveries among the components called changed."""
    n_flips: Count = 9_999
    """Sign patterns drawn for every component; the most extreme get as many more as the correction needs."""
    n_draws: Count = 1_000
    """Bootstrap draws of the intervals."""
    confidence: Annotated[float, Field(gt=0, lt=1)] = 0.95
    """Coverage of the intervals."""
    window_tokens: Annotated[int, Field(gt=16)] = 512
    """Longest window of text."""
    batch_tokens: Count = 2_048
    """Padded tokens per forward pass."""
    seed: int = 0
    """Of sign patterns and bootstrap draws."""


class VpdConfig(Dials):
    """How a target is decomposed (SPEC.md)."""

    n_components: Count | None = None
    """C of every site; None: ``components_per_rank`` times the largest rank the site's matrix can have."""
    components_per_rank: Positive = 1.0
    """Below 1 no faithful decomposition need exist (SPEC 2.3)."""
    init: Literal["gaussian", "svd"] = "svd"
    """svd starts faithful, turned at random inside the span, and needs no warm-up."""

    gates: Literal["mlp", "transformer"] = "mlp"
    """The shared gating network. The MLP sees one position, the transformer those before it too."""
    gate_width: Count = 256
    """Hidden width of the gating network."""
    gate_layers: Count = 1
    """Hidden layers of the MLP, or blocks of the transformer."""
    gate_heads: Count = 4
    """Attention heads of the transformer."""
    normalise_inputs: bool = True
    """Weightless RMS norm of every site input; off for toys, whose amplitude carries what is on."""
    gate_bias: float = 0.5
    """Logits at the start: gates clamped from the start get a hundredth of the gradient and can die."""

    rows: Count = 8
    """Rows of a batch of text; sources persist for each."""
    row_tokens: Annotated[int, Field(gt=2)] = 128
    """Longest row of text."""
    steps: Count = 2_000
    """Optimiser steps."""
    learning_rate: Positive = 1e-3
    """AdamW on U, V and the gating network; cosine to a tenth."""
    weight_clip: Positive | None = None
    """Clip of the gradient norm of U and V, none on the gates; .01 in the paper."""
    warmup_steps: Annotated[int, Field(ge=0)] = 0
    """Steps on faithfulness alone, U and V only; needless when the start is faithful."""
    warmup_rate: Positive = 1e-3
    """Learning rate of the warm-up."""

    faithfulness: Literal["relative", "absolute"] = "relative"
    """Mean over sites of |Delta|^2 / |M|^2, or the mean of Delta's squared entries over all sites."""
    faithfulness_coefficient: Coefficient = 1e3
    """Weight of faithfulness; toys with absolute faithfulness use 1."""
    stochastic_coefficient: Coefficient = 0.5
    """Weight of the reconstruction under random sources on a random subset of sites."""
    adversarial_coefficient: Coefficient = 0.5
    """Weight of the reconstruction under adversarial sources on all sites; 0: no adversary."""
    importance: Literal["smooth-l0", "lp"] = "smooth-l0"
    """lp is the paper's; its gradient grows without bound as p falls, so smooth-l0 is the default."""
    importance_coefficient: Coefficient = 2e-3
    """Weight of the number of open gates, per position and summed over sites."""
    gamma: tuple[float, float] = (1.0, 0.01)
    """Width of smooth-l0, first and last; linear."""
    p: tuple[float, float] = (2.0, 0.4)
    """Exponent of lp, first and last; linear."""
    anneal_share: Annotated[float, Field(gt=0, le=1)] = 0.9
    """Share of the steps over which gamma falls; the rest is held. p falls over all, as in the paper."""
    frequency_coefficient: Coefficient = 1e-3
    """Weight of the frequency term, half of importance's as in the paper."""
    frequency_reference: Positive = 32_768.0
    """Positions a' that the logarithm counts in: fixed, so that the loss does not know the batch size."""
    mask_delta: bool = True
    """False leaves Delta always on: the degenerate objective, kept to show that the guard trips."""

    n_ascents: Count = 3
    """Ascents of the sources per step; the last one re-uses the gradient of the training loss."""
    source_rate: Positive = 0.01
    """Adam's learning rate of the sources, after a linear warm-up over ``source_warmup`` of the steps."""
    source_betas: tuple[float, float] = (0.5, 0.99)
    """Adam's betas of the sources."""
    source_warmup: Share = 0.025
    """Share of the steps over which the sources' rate rises."""

    pgd_steps: tuple[int, ...] = (0, 20, 40, 80)
    """Ladder of fresh adversaries in the metrics."""
    pgd_step: Positive = 0.1
    """Sign step of a fresh adversary."""
    evaluate_every: Count = 500
    """Steps between the evaluations that the abort rules watch."""
    alive: Positive = 1e-6
    """A component with a larger mean gate is alive."""
    autocast: bool = False
    """Matrix products of the model and the components in bf16; losses are fp32 always."""
    seed: int = 0
    """Start, sources, subsets."""

    @classmethod
    def toy(cls) -> VpdConfig:
        """Vectors instead of tokens: mean squared error, raw inputs, a start that knows nothing.

        No frequency term: at a' = 32,768 it outweighs importance sixfold for a component that fires in a
        tenth of the inputs, and closed one of three planted gates.
        """
        return cls(
            init="gaussian",
            gate_width=64,
            normalise_inputs=False,
            steps=1_500,
            learning_rate=3e-3,
            warmup_steps=300,
            warmup_rate=1e-2,
            faithfulness="absolute",
            faithfulness_coefficient=1.0,
            frequency_coefficient=0.0,
        )

    @classmethod
    def tiny(cls) -> VpdConfig:
        """The embedded base on a CPU: one layer's MLP within 45 minutes of a core.

        At ten times this sparsity nearly every gate of the base closes, and half of an adapter's edit goes
        with them (README.md).
        """
        return cls(
            gate_width=128, rows=4, row_tokens=64, importance_coefficient=1e-4, frequency_coefficient=5e-5
        )

    @classmethod
    def full(cls) -> VpdConfig:
        """A 1.5B base on a GPU; untried at that size."""
        return cls(
            gates="transformer",
            gate_width=512,
            gate_layers=4,
            gate_heads=8,
            rows=16,
            row_tokens=1_024,
            steps=2_000,
            learning_rate=3e-4,
            autocast=True,
        )
