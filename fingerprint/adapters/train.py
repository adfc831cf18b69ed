"""Train the B of every site over frozen routes, from a start state, stopping on dev."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from peft.helpers import disable_input_dtype_casting
from torch import Tensor

from fingerprint.adapters.budget import count_scored
from fingerprint.adapters.checkpoint import RunState, resume, save_checkpoint
from fingerprint.adapters.muon import Muon, muon_updates
from fingerprint.adapters.plan import (
    Plan,
    Precision,
    Text,
    TrainFacts,
    TrainProgress,
    plan_training,
    run_key,
    wants_bf16,
)
from fingerprint.config import AdapterConfig
from fingerprint.lm.fit import kept_steps
from fingerprint.lm.pair import BATCH_TOKENS, RoutedModel, RouteWeights
from fingerprint.lm.tokens import (
    TokenizedPassage,
    causal_model,
    length_buckets,
    mean_loss,
    pad_batch,
    target_log_probs,
)

CHECKPOINT_SECONDS = 30.0


@dataclass(frozen=True, eq=False)
class TrainedWeights:
    """The state kept (B, or B + D) and how it came about.

    Attributes:
        development: None unless the run was asked to keep it.
    """

    weights: RouteWeights
    facts: TrainFacts
    development: Development | None = None

    @classmethod
    def of(cls, plan: Plan, run: RunState, start: RouteWeights, autocast: bool) -> TrainedWeights:
        """What a finished run kept: its best state, or its start."""
        weights = run.best if run.best_step else {site: b.detach().clone() for site, b in start.items()}
        development = Development.of(plan, run) if run.kept else None
        return cls(weights, plan.facts(run, "bf16" if autocast else "fp32"), development)


@dataclass(frozen=True, eq=False)
class Development:
    """How a training went, step by step.

    Attributes:
        states: the state after each kept step; at 0 the start. order: positions, in the sequence trained on,
            of the passages that step 1, 2, ... read. losses: of each step, nats per scored token.
        scored, tokens: targets and real tokens that each step read.
    """

    states: dict[int, RouteWeights]
    order: tuple[tuple[int, ...], ...]
    losses: tuple[float, ...]
    scored: tuple[int, ...]
    tokens: tuple[int, ...]

    @classmethod
    def of(cls, plan: Plan, run: RunState) -> Development:
        """What a finished run kept."""
        scored, tokens = tuple(plan.scored), tuple(plan.tokens)
        return cls(run.kept, plan.passages_read(), tuple(run.losses), scored, tokens)


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
    n_kept: int = 0,
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
        n_kept: states to keep at log-spaced steps, with the data order; 0: none. They travel in the
            checkpoint. What is trained is the same either way.

    Raises:
        CheckpointError: the checkpoint is of another run. FingerprintError: nothing to train on.
    """
    plan = plan_training(routed, train, dev, config, budget_tokens)
    autocast = wants_bf16(routed, precision)
    keep = kept_steps(plan.n_steps, n_kept) if n_kept else ()
    with state_kept(routed), fast_passes(routed, autocast):
        routed.set_weights(start)
        muon = Muon(torch.zeros(sum(b.numel() for b in routed.parameters.values()), device=routed.device))
        key = run_key(routed, plan, start, autocast, keep)
        run, weights = resume(checkpoint, key, routed.device, muon)
        if weights is not None:
            routed.set_weights(weights)
        _optimise(
            routed,
            muon,
            plan,
            run,
            autocast=autocast,
            may_keep_start=may_keep_start,
            keep=frozenset(keep),
            progress=progress,
            save=lambda: save_checkpoint(checkpoint, key, routed.weights(), muon, run),
        )
    if checkpoint is not None:
        checkpoint.unlink(missing_ok=True)
    return TrainedWeights.of(plan, run, start, autocast)


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
    plan = plan_training(routed, train, dev, config, budget_tokens)
    autocast = wants_bf16(routed, precision)
    middle = plan.n_steps // 2
    with state_kept(routed), fast_passes(routed, autocast):
        step_loss(routed, plan, middle, autocast).backward()  # the first pass pays for allocation
        started = time.perf_counter()
        step_loss(routed, plan, middle, autocast).backward()
        per_token = (time.perf_counter() - started) / plan.tokens[middle]
        for b in routed.parameters.values():
            b.grad = None
    n_dev = sum(len(window) for window in plan.dev) * (len(plan.dev_steps) + 1)
    seconds = per_token * (sum(plan.tokens) + n_dev / 2.5)  # a forward pass is 1 / 2.5 of a training step
    return CostEstimate(sum(plan.scored), sum(plan.tokens), plan.n_steps, seconds)


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


def _optimise(
    routed: RoutedModel,
    muon: Muon,
    plan: Plan,
    run: RunState,
    *,
    autocast: bool,
    may_keep_start: bool,
    keep: frozenset[int],
    progress: Callable[[TrainProgress], None] | None,
    save: Callable[[], None],
) -> None:
    """Run the steps that are left."""
    if run.step in keep:
        run.kept[run.step] = routed.weights()
    if not run.dev_history:
        run.dev_history.append((0, mean_dev_loss(routed, plan.dev, autocast=autocast)))
    first, started, saved = run.step, time.monotonic(), time.monotonic()
    while run.step < plan.n_steps:
        loss = step_loss(routed, plan, run.step, autocast)
        _move(routed, muon, loss, plan.learning_rate(run.step))
        run.step += 1
        run.losses.append(float(loss.detach()))
        if run.step in plan.dev_steps:
            loss_on_dev = mean_dev_loss(routed, plan.dev, autocast=autocast)
            if run.is_best(loss_on_dev, may_keep_start):
                run.best_step, run.best = run.step, routed.weights()
            run.dev_history.append((run.step, loss_on_dev))
        if run.step in keep:
            run.kept[run.step] = routed.weights()
        if time.monotonic() - saved >= CHECKPOINT_SECONDS:
            save()
            saved = time.monotonic()
        if progress is not None:
            progress(_progress(plan, run, first, time.monotonic() - started))


def step_loss(routed: RoutedModel, plan: Plan, step: int, autocast: bool) -> Float[Tensor, ""]:
    """Mean loss of one planned step's batch in the model's current state, nats per scored token."""
    batch = plan.batch(step).to(routed.device)
    with torch.autocast(routed.device.type, torch.bfloat16, enabled=autocast):
        return mean_loss(routed.model, batch)


def _move(routed: RoutedModel, muon: Muon, loss: Float[Tensor, ""], learning_rate: float) -> None:
    """One step of Muon on every B."""
    up = list(routed.parameters.values())
    gradient = torch.cat([part.flatten() for part in torch.autograd.grad(loss, up)])
    update = muon_updates(gradient[None], muon.momentum[None], [b.shape for b in up])[0]
    for b, part in zip(up, update.split([b.numel() for b in up]), strict=True):
        b.data.add_(part.view_as(b), alpha=-learning_rate)


def _progress(plan: Plan, run: RunState, first: int, seconds: float) -> TrainProgress:
    done = sum(plan.tokens[first : run.step])
    left = sum(plan.tokens[run.step :]) * seconds / done
    return TrainProgress(
        run.step,
        plan.n_steps,
        sum(plan.scored[: run.step]),
        done / max(seconds, 1e-9),
        left,
        run.losses[-1],
        run.dev_history[-1][1],
    )


@contextmanager
def state_kept(routed: RoutedModel) -> Iterator[None]:
    """Put the model's state back afterwards, and leave no gradients."""
    before = routed.weights()
    try:
        yield
    finally:
        routed.set_weights(before)
        for b in routed.parameters.values():
            b.grad = None


@contextmanager
def fast_passes(routed: RoutedModel, autocast: bool) -> Iterator[None]:
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
