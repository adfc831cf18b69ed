"""Train the B of every site over frozen routes, from a start state, stopping on dev."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from peft.helpers import disable_input_dtype_casting
from torch import Tensor

from fingerprint import FingerprintError
from fingerprint.adapters.adapter import digest_weights
from fingerprint.adapters.budget import count_scored, recent_windows, spread_windows
from fingerprint.adapters.checkpoint import RunState, resume, save_checkpoint
from fingerprint.config import AdapterConfig
from fingerprint.lm.fit import schedule
from fingerprint.lm.load import has_fast_bf16
from fingerprint.lm.pair import BATCH_TOKENS, RoutedModel, RouteWeights
from fingerprint.lm.tokens import (
    TokenizedPassage,
    causal_model,
    length_buckets,
    mean_loss,
    pad_batch,
    target_log_probs,
    tokenize_passages,
)
from fingerprint.passage import Passage
from fingerprint.provenance import digest_of

CHECKPOINT_SECONDS = 30.0
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
class TrainedWeights:
    """The state kept (B, or B + D) and how it came about."""

    weights: RouteWeights
    facts: TrainFacts


@dataclass(frozen=True)
class CostEstimate:
    """What a training run would take.

    Attributes:
        scored_tokens: targets. tokens: real tokens. steps: optimiser steps. seconds: on this machine,
            dev losses included.
    """

    scored_tokens: int
    tokens: int
    steps: int
    seconds: float


@dataclass(frozen=True, eq=False)
class _Plan:
    """Everything a run does, fixed before it starts; so resuming needs no random state."""

    windows: list[TokenizedPassage]
    dev: list[TokenizedPassage]
    batches: list[list[int]]
    dev_steps: frozenset[int]
    scored: list[int]
    tokens: list[int]


def train_adapter(
    routed: RoutedModel,
    train: Text,
    dev: Text,
    *,
    start: RouteWeights,
    config: AdapterConfig,
    budget_tokens: int,
    checkpoint: Path | None = None,
    progress: Callable[[TrainProgress], None] | None = None,
    precision: Precision = "auto",
    may_keep_start: bool = True,
) -> TrainedWeights:
    """Train all B from ``start`` on the mean loss over scored tokens; keep the best state on dev.

    Args:
        train, dev: passages or tokenized windows, oldest first. The most recent text that fills the
            budget is used; shorter text is repeated up to ``config.most_epochs`` times.
        start: zero for a team, the team's B for an author (D is then the result minus it).
        budget_tokens: scored tokens to see.
        checkpoint: file written every 30 s and resumed from when it exists; removed at the end.
        precision: bf16 autocast where the machine is fast at it, fp32 weights always.
        may_keep_start: whether the start itself is kept when no later state beats it.

    Raises:
        CheckpointError: the checkpoint is of another run. FingerprintError: nothing to train on.
    """
    plan = _plan(routed, train, dev, config, budget_tokens)
    autocast = _wants_bf16(routed, precision)
    with _state_kept(routed), _fast_passes(routed, autocast):
        routed.set_weights(start)
        optimiser = torch.optim.AdamW(
            list(routed.parameters.values()), lr=config.learning_rate, weight_decay=0.0, fused=True
        )
        key = _run_key(routed, plan, start, config, autocast)
        run = resume(routed, optimiser, checkpoint, key)
        _optimise(
            routed,
            optimiser,
            plan,
            run,
            config,
            autocast=autocast,
            may_keep_start=may_keep_start,
            progress=progress,
            save=lambda: save_checkpoint(checkpoint, key, routed, optimiser, run),
        )
    if checkpoint is not None:
        checkpoint.unlink(missing_ok=True)
    weights = run.best if run.best_step else {site: b.detach().clone() for site, b in start.items()}
    return TrainedWeights(weights, _facts(plan, run, autocast))


def estimate_cost(
    routed: RoutedModel,
    train: Text,
    dev: Text,
    *,
    config: AdapterConfig,
    budget_tokens: int,
    precision: Precision = "auto",
) -> CostEstimate:
    """Plan a run and time one training step of it, for --dry-run. The model's state is unchanged."""
    plan = _plan(routed, train, dev, config, budget_tokens)
    autocast = _wants_bf16(routed, precision)
    middle = len(plan.batches) // 2
    with _state_kept(routed), _fast_passes(routed, autocast):
        _step_loss(routed, plan, middle, autocast).backward()  # the first pass pays for allocation
        started = time.perf_counter()
        _step_loss(routed, plan, middle, autocast).backward()
        per_token = (time.perf_counter() - started) / plan.tokens[middle]
        for b in routed.parameters.values():
            b.grad = None
    n_dev = sum(len(window) for window in plan.dev) * (len(plan.dev_steps) + 1)
    seconds = per_token * (sum(plan.tokens) + n_dev / 2.5)  # a forward pass is 1 / 2.5 of a training step
    return CostEstimate(sum(plan.scored), sum(plan.tokens), len(plan.batches), seconds)


@torch.inference_mode()
def mean_dev_loss(
    routed: RoutedModel,
    windows: Sequence[TokenizedPassage],
    *,
    autocast: bool = False,
    batch_tokens: int = BATCH_TOKENS,
) -> float:
    """Mean loss per scored token in the model's current state, nats."""
    total = 0.0
    for indices in length_buckets(windows, batch_tokens):
        batch = pad_batch(windows, indices).to(routed.device)
        with torch.autocast(routed.device.type, torch.bfloat16, enabled=autocast):
            total -= float(target_log_probs(routed.model, batch).sum())
    return total / count_scored(windows)


def windows_of(routed: RoutedModel, text: Text, config: AdapterConfig) -> list[TokenizedPassage]:
    """Tokenized windows of passages; windows pass through."""
    passages = [item for item in text if isinstance(item, Passage)]
    if passages:
        return tokenize_passages(routed.base, passages, config.max_passage_tokens)
    return [item for item in text if isinstance(item, TokenizedPassage)]


def _plan(routed: RoutedModel, train: Text, dev: Text, config: AdapterConfig, budget_tokens: int) -> _Plan:
    """Choose the text, its order and the dev points."""
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
    return _Plan(
        windows,
        dev_windows,
        batches,
        frozenset(int(point) for point in points.round()),
        [sum(windows[i].n_scored for i in batch) for batch in batches],
        [sum(len(windows[i]) for i in batch) for batch in batches],
    )


def _optimise(
    routed: RoutedModel,
    optimiser: torch.optim.Optimizer,
    plan: _Plan,
    run: RunState,
    config: AdapterConfig,
    *,
    autocast: bool,
    may_keep_start: bool,
    progress: Callable[[TrainProgress], None] | None,
    save: Callable[[], None],
) -> None:
    """Run the steps that are left."""
    warmup = round(config.warmup_share * len(plan.batches))
    if not run.dev_history:
        run.dev_history.append((0, mean_dev_loss(routed, plan.dev, autocast=autocast)))
    first, started, saved = run.step, time.monotonic(), time.monotonic()
    while run.step < len(plan.batches):
        rate = config.learning_rate * schedule(run.step, len(plan.batches), warmup)
        for group in optimiser.param_groups:
            group["lr"] = rate
        loss = _step_loss(routed, plan, run.step, autocast)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        run.step += 1
        run.losses.append(float(loss.detach()))
        if run.step in plan.dev_steps:
            loss_on_dev = mean_dev_loss(routed, plan.dev, autocast=autocast)
            if run.is_best(loss_on_dev, may_keep_start):
                run.best_step, run.best = run.step, routed.weights()
            run.dev_history.append((run.step, loss_on_dev))
        if time.monotonic() - saved >= CHECKPOINT_SECONDS:
            save()
            saved = time.monotonic()
        if progress is not None:
            progress(_progress(plan, run, first, time.monotonic() - started))


def _step_loss(routed: RoutedModel, plan: _Plan, step: int, autocast: bool) -> Float[Tensor, ""]:
    batch = pad_batch(plan.windows, plan.batches[step]).to(routed.device)
    with torch.autocast(routed.device.type, torch.bfloat16, enabled=autocast):
        return mean_loss(routed.model, batch)


def _progress(plan: _Plan, run: RunState, first: int, seconds: float) -> TrainProgress:
    done = sum(plan.tokens[first : run.step])
    left = sum(plan.tokens[run.step :]) * seconds / done
    return TrainProgress(
        run.step,
        len(plan.batches),
        sum(plan.scored[: run.step]),
        done / max(seconds, 1e-9),
        left,
        run.losses[-1],
        run.dev_history[-1][1],
    )


def _facts(plan: _Plan, run: RunState, autocast: bool) -> TrainFacts:
    eighth = max(1, len(run.losses) // 8)
    distinct, kept = count_scored(plan.windows), dict(run.dev_history)[run.best_step]
    return TrainFacts(
        start_dev_loss=run.dev_history[0][1],
        best_dev_loss=kept,
        best_step=run.best_step,
        steps=run.step,
        improved=kept < run.dev_history[0][1],
        dev_history=tuple(run.dev_history),
        first_loss=float(np.mean(run.losses[:eighth])),
        last_loss=float(np.mean(run.losses[-eighth:])),
        scored_tokens=sum(plan.scored),
        tokens=sum(plan.tokens),
        text_tokens=distinct,
        dev_tokens=count_scored(plan.dev),
        epochs=sum(plan.scored) / distinct,
        precision="bf16" if autocast else "fp32",
    )


def _wants_bf16(routed: RoutedModel, precision: Precision) -> bool:
    return has_fast_bf16(routed.device) if precision == "auto" else precision == "bf16"


@contextmanager
def _state_kept(routed: RoutedModel) -> Iterator[None]:
    """Put the model's state back afterwards, and leave no gradients."""
    before = routed.weights()
    try:
        yield
    finally:
        routed.set_weights(before)
        for b in routed.parameters.values():
            b.grad = None


@contextmanager
def _fast_passes(routed: RoutedModel, autocast: bool) -> Iterator[None]:
    """Spare bf16 training what costs most on a CPU.

    At rows of 100 tokens the backward pass of torch's fused bf16 CPU attention takes 31 ms where plain
    matrix products take 7 (at 512: 39 and 22); peft's cast of every site input to fp32 is undone by
    autocast at once.
    """
    if not autocast or routed.device.type != "cpu":
        yield
        return
    inner = causal_model(routed.model)
    before = str(inner.config._attn_implementation)  # noqa: SLF001 - transformers has no public getter
    inner.set_attn_implementation("eager")
    try:
        with disable_input_dtype_casting(routed.model):
            yield
    finally:
        inner.set_attn_implementation(before)


def _run_key(
    routed: RoutedModel, plan: _Plan, start: RouteWeights, config: AdapterConfig, autocast: bool
) -> str:
    """Digest of everything that determines the result: a checkpoint of another run must not be used."""
    text = hashlib.sha256()
    for window in (*plan.windows, *plan.dev):
        text.update(len(window).to_bytes(4, "little") + window.ids.tobytes() + window.scored.tobytes())
    return digest_of(
        [
            config.digest,
            text.hexdigest(),
            digest_weights(start),
            plan.batches,
            sorted(plan.dev_steps),
            routed.routes.digest,
            routed.base.revision,
            routed.scale,
            autocast,
        ]
    )
