"""Every dial of the sampler and of what is read from its draws, with its reason."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from fingerprint.config import Dials

Count = Annotated[int, Field(gt=0)]
Positive = Annotated[float, Field(gt=0)]
Preconditioner = Literal["frozen", "none", "rmsprop"]


class SamplerConfig(Dials):
    """How the posterior around a checkpoint, exp(-n beta L(w) - gamma / 2 |w - w*|^2), is sampled."""

    n_beta: Positive = 200.0
    """Sample size times inverse temperature. Learning coefficients compare at equal n_beta only."""
    gamma: Positive = 100.0
    """Localisation: the posterior's standard deviation in a flat direction is gamma^-1/2."""
    n_chains: Count = 4
    """Chains, each from w*: their spread is the honest standard error."""
    n_draws: Count = 200
    """Draws kept of each chain."""
    burn_in: Annotated[int, Field(ge=0)] = 50
    """Steps before the first draw, never averaged in."""
    steps_between: Count = 1
    """Steps from one draw to the next: as many as cost what a draw's observation costs."""
    step_share: Annotated[float, Field(gt=0, lt=2)] = 0.25
    """Step size as a share of 1 / (n_beta h_max + gamma): the step's bias in the stiffest direction is
    share / 4. A published fixed rate fails quietly where the curvature is another."""
    step_size: Positive | None = None
    """The step size itself, where the curvature is known or a published run is repeated; None: measured."""
    preconditioner: Preconditioner = "frozen"
    """frozen: G from the gradients at w*, then constant, so that the stationary law stays exact. none: G = 1.
    rmsprop: adapted at every step, as published, without the drift term that would make it exact."""
    clamp: Annotated[float, Field(ge=1)] = 30.0
    """A frozen G keeps within this factor of its geometric mean: LoRA at B = 0 has gradients of zero."""
    gradient_batches: Count = 16
    """Minibatches at w* that G, the gradient's norm and the curvature are estimated on."""
    curvature_rounds: Count = 10
    """Power iterations for the top curvature, two gradients each."""
    rmsprop_alpha: Annotated[float, Field(ge=0, lt=1)] = 0.99
    """Decay of the squared gradient's mean (rmsprop)."""
    rmsprop_eps: Positive = 0.1
    """Added to its root; small values make a start with zero gradient explode (rmsprop)."""
    seed: int = 0
    """Of noise and minibatches, with the checkpoint and the chain."""

    @model_validator(mode="after")
    def _has_its_step(self) -> SamplerConfig:
        if self.preconditioner == "rmsprop" and self.step_size is None:
            raise ValueError("rmsprop needs a step_size: its G is not known before the chain runs")
        return self

    @property
    def n_steps(self) -> int:
        """Steps of one chain."""
        return self.burn_in + self.n_draws * self.steps_between

    @classmethod
    def tiny(cls) -> SamplerConfig:
        """Small bases on a CPU: two chains of a hundred draws, fewer gradients for the step size."""
        return cls(n_chains=2, n_draws=100, burn_in=60, gradient_batches=8, curvature_rounds=6)

    @classmethod
    def full(cls) -> SamplerConfig:
        """A GPU: the chains and draws that the papers use."""
        return cls(n_chains=8, n_draws=500, burn_in=100, gradient_batches=32)


class SusceptibilityConfig(Dials):
    """What is observed of a model's components, on how much text."""

    sampler: SamplerConfig = SamplerConfig(
        n_beta=200, gamma=1_000, n_chains=2, n_draws=100, burn_in=40, steps_between=4, preconditioner="none"
    )
    """How draws are made. gamma keeps the mean loss of the draws near the checkpoint's: covariances are local
    statements, and say nothing where the draws are another model. No preconditioner: where gamma outweighs
    the curvature, one makes the steps so small that 48 draws were worth five (README)."""
    train_windows: Count = 8
    """Windows of the training text, both sampled on and read."""
    windows: Count = 32
    """Windows read at every draw in all: what the training text leaves is shared evenly by the data sets."""
    window_tokens: Annotated[int, Field(gt=16)] = 128
    """Length of a window, the first token counted."""
    batch_rows: Count = 4
    """Windows of one minibatch of the sampler."""
    rank: Count = 4
    """Routes of every site where a bare base has none: random directions, the same at every checkpoint."""
    n_latents: Annotated[int, Field(ge=0)] = 24
    """Latents read where there is a dictionary: those that fire most on the training windows."""
    n_blocks: Annotated[int, Field(ge=2)] = 10
    """Blocks of draws that standard errors are read from."""
    n_nulls: Count = 199
    """Draws of either null of the number of factors."""
    seed: int = 0
    """Of windows, routes and nulls."""

    @model_validator(mode="after")
    def _leaves_windows(self) -> SusceptibilityConfig:
        if self.windows <= self.train_windows:
            raise ValueError(
                f"windows must exceed train_windows, got {self.windows} and {self.train_windows}"
            )
        return self

    def set_windows(self, n_sets: int) -> int:
        """Windows of each of so many data sets."""
        return max(1, (self.windows - self.train_windows) // max(1, n_sets))

    @classmethod
    def tiny(cls) -> SusceptibilityConfig:
        """Small bases on a CPU: two chains of a hundred draws, 32 windows of 128 tokens."""
        return cls()

    @classmethod
    def full(cls) -> SusceptibilityConfig:
        """A GPU: the published chains and draws, and enough text for fifty pairs."""
        return cls(
            sampler=SamplerConfig.full().model_copy(
                update={"gamma": 1_000.0, "n_draws": 1_000, "steps_between": 4, "preconditioner": "none"}
            ),
            train_windows=128,
            windows=512,
            window_tokens=512,
            batch_rows=16,
            rank=8,
            n_latents=128,
            n_blocks=40,
        )
