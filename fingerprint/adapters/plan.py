"""What a training run will do, fixed before it starts, and what it says while it runs and afterwards."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from fingerprint import FingerprintError
from fingerprint.adapters.adapter import digest_weights
from fingerprint.adapters.budget import count_scored, recent_windows, spread_windows
from fingerprint.adapters.checkpoint import RunState
from fingerprint.config import AdapterConfig
from fingerprint.lm.fit import schedule
from fingerprint.lm.load import has_fast_bf16
from fingerprint.lm.pair import RoutedModel, RouteWeights
from fingerprint.lm.tokens import Batch, TokenizedPassage, length_buckets, pad_batch, tokenize_passages
from fingerprint.passage import Passage
from fingerprint.provenance import digest_of

Precision = Literal["auto", "bf16", "fp32"]
Text = Sequence[Passage] | Sequence[TokenizedPassage]


@dataclass(frozen=True)
class TrainProgress:
    """Where training stands.

    Attributes:
        step, steps: optimiser steps done and planned. scored_tokens: seen so far.
        tokens_per_second: real (unpadded) tokens read by training steps, in this process.
        seconds_left: estimate. loss: of the last step, nats per scored token. dev_loss: the latest.
    """

    step: int
    steps: int
    scored_tokens: int
    tokens_per_second: float
    seconds_left: float
    loss: float
    dev_loss: float


@dataclass(frozen=True)
class TrainFacts:
    """What happened, for people and tables. Losses are nats per scored token.

    Attributes:
        start_dev_loss: dev loss of the start state; best_dev_loss: of the state kept, after best_step.
        improved: whether the state kept beats the start.
        dev_history: (step, dev loss) at every point. first_loss, last_loss: mean training loss over
            the first and last eighth of the steps.
        scored_tokens, tokens: targets and tokens read, with repetition. text_tokens: distinct targets.
        epochs: passes over the text. precision: "bf16" or "fp32".
    """

    start_dev_loss: float
    best_dev_loss: float
    best_step: int
    steps: int
    improved: bool
    dev_history: tuple[tuple[int, float], ...]
    first_loss: float
    last_loss: float
    scored_tokens: int
    tokens: int
    text_tokens: int
    dev_tokens: int
    epochs: float
    precision: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values for an adapter's facts."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class Plan:
    """Everything a run does, fixed before it starts; so resuming needs no random state.

    Attributes:
        windows, dev: what is trained on and stopped on. batches: positions in ``windows``, by step.
        dev_steps: steps after which the dev loss is taken. scored, tokens: targets and real tokens of
            each step.
    """

    windows: list[TokenizedPassage]
    dev: list[TokenizedPassage]
    batches: list[list[int]]
    dev_steps: frozenset[int]
    scored: list[int]
    tokens: list[int]
    config: AdapterConfig

    @property
    def n_steps(self) -> int:
        """Optimiser steps."""
        return len(self.batches)

    def batch(self, step: int) -> Batch:
        """The rows of one step, on the CPU."""
        return pad_batch(self.windows, self.batches[step])

    def learning_rate(self, step: int) -> float:
        """Muon's learning rate at one step."""
        warmup = round(self.config.warmup_share * self.n_steps)
        return self.config.learning_rate * schedule(step, self.n_steps, warmup)

    def passages_read(self) -> tuple[tuple[int, ...], ...]:
        """Positions of the passages that every step reads: the data order."""
        return tuple(tuple(sorted({self.windows[i].passage_index for i in batch})) for batch in self.batches)

    def facts(self, run: RunState, precision: str) -> TrainFacts:
        """What a finished run came to."""
        eighth = max(1, len(run.losses) // 8)
        distinct, kept = count_scored(self.windows), dict(run.dev_history)[run.best_step]
        return TrainFacts(
            start_dev_loss=run.dev_history[0][1],
            best_dev_loss=kept,
            best_step=run.best_step,
            steps=run.step,
            improved=kept < run.dev_history[0][1],
            dev_history=tuple(run.dev_history),
            first_loss=float(np.mean(run.losses[:eighth])),
            last_loss=float(np.mean(run.losses[-eighth:])),
            scored_tokens=sum(self.scored),
            tokens=sum(self.tokens),
            text_tokens=distinct,
            dev_tokens=count_scored(self.dev),
            epochs=sum(self.scored) / distinct,
            precision=precision,
        )


def windows_of(routed: RoutedModel, text: Text, config: AdapterConfig) -> list[TokenizedPassage]:
    """Tokenized windows of passages; windows pass through."""
    passages = [item for item in text if isinstance(item, Passage)]
    if passages:
        return tokenize_passages(routed.base, passages, config.max_passage_tokens)
    return [item for item in text if isinstance(item, TokenizedPassage)]


def plan_training(
    routed: RoutedModel, train: Text, dev: Text, config: AdapterConfig, budget_tokens: int
) -> Plan:
    """Choose the text, its order and the dev points.

    Raises:
        FingerprintError: nothing to train or to stop on.
    """
    windows = recent_windows(windows_of(routed, train, config), budget_tokens)
    dev_windows = spread_windows(windows_of(routed, dev, config), config.dev_tokens)
    for name, found in (("training", windows), ("dev", dev_windows)):
        if not count_scored(found):
            raise FingerprintError(f"The {name} slice has no marked token: give it code the author wrote.")
    batches, seen = [], 0
    for epoch in range(config.most_epochs):
        rng = np.random.default_rng([config.seed, epoch])
        for batch in length_buckets(windows, config.batch_tokens, rng):
            if seen < budget_tokens:
                batches.append(batch)
                seen += sum(windows[i].n_scored for i in batch)
    points = np.linspace(0, len(batches), config.dev_points + 1)[1:]
    return Plan(
        windows,
        dev_windows,
        batches,
        frozenset(int(point) for point in points.round()),
        [sum(windows[i].n_scored for i in batch) for batch in batches],
        [sum(len(windows[i]) for i in batch) for batch in batches],
        config,
    )


def wants_bf16(routed: RoutedModel, precision: Precision) -> bool:
    """Whether a run reads and writes bf16 (weights stay fp32)."""
    return has_fast_bf16(routed.device) if precision == "auto" else precision == "bf16"


def run_key(
    routed: RoutedModel, plan: Plan, start: RouteWeights, autocast: bool, keep: Collection[int] = ()
) -> str:
    """Digest of everything that determines the result: a checkpoint of another run must not be used."""
    text = hashlib.sha256()
    for window in (*plan.windows, *plan.dev):
        text.update(len(window).to_bytes(4, "little") + window.ids.tobytes() + window.scored.tobytes())
    return digest_of(
        [
            plan.config.digest,
            text.hexdigest(),
            digest_weights(start),
            plan.batches,
            sorted(plan.dev_steps),
            routed.routes.digest,
            routed.base.revision,
            routed.scale,
            autocast,
            *([sorted(keep)] if keep else []),
        ]
    )
