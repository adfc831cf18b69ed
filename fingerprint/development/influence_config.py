"""Every dial of influence, with its reason."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from fingerprint.config import Dials
from fingerprint.development.config import SamplerConfig

Count = Annotated[int, Field(gt=0)]
Positive = Annotated[float, Field(gt=0)]


class InfluenceConfig(Dials):
    """What is sampled and observed, and how it is read."""

    sampler: SamplerConfig = SamplerConfig.tiny().model_copy(
        update={"gamma": 1000.0, "preconditioner": "none", "steps_between": 4}
    )
    """Chains, draws, temperature and localisation. A flat direction forgets in 2 / (epsilon gamma) steps: at
    the sampler's own gamma of 100 about a hundred, as many as a tiny chain has, whose drift then reads as
    influence. A frozen preconditioner shortens the step further; draws a step apart say one thing twice."""
    n_sequences: Annotated[int, Field(ge=8)] = 32
    """Sequences observed at every draw: half of them correct, or half of them the author's."""
    sequence_tokens: Annotated[int, Field(ge=16)] = 128
    """Longest sequence; what is longer is left out, so that a pair is always whole."""
    n_train: Count = 256
    """Windows of training text that minibatches are drawn from."""
    batch_rows: Count = 4
    """Windows of one minibatch; as many are observed for the training text's own loss."""
    most_checkpoints: Count = 5
    """Checkpoints read, evenly over the series."""
    scored: Literal["program", "change"] = "program"
    """What of a pair is scored: whole programs, or from the change to the end of its line."""
    blocks_per_chain: Count = 4
    """Parts of a chain that the jackknife leaves out: whole chains (1) once there are four or more."""
    n_shuffles: Count = 2000
    """Shuffled pairings of the contrast's null."""
    most_self_effect: Positive = 0.5
    """Median |self effect|, nats a token, above which the author form is refused. Retraining a memorising
    LoRA without one of its samples moves that sample by nats, and there influence does not rank as retraining
    does; in the convex case, where it does (Spearman .9), the effect is .4."""
    seed: int = 0
    """Of the choice of sequences and of shuffled pairings; the sampler has its own."""

    @classmethod
    def tiny(cls) -> InfluenceConfig:
        """The embedded base on a CPU: minutes a checkpoint."""
        return cls()

    @classmethod
    def full(cls) -> InfluenceConfig:
        """A GPU: every pair, chains and draws as in the papers."""
        return cls(
            sampler=SamplerConfig.full(), n_sequences=400, sequence_tokens=512, n_train=4096, batch_rows=32,
            most_checkpoints=20, blocks_per_chain=1,
        )  # fmt: skip
