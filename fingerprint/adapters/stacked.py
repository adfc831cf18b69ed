"""Train many authors' B at once over the shared routes: one pass of the base for all of them.

Every author keeps a run of their own: plan, momentum, schedule, dev losses and checkpoint, all as in
``train_adapter``. A step takes the next block of rows of as many authors as ``step_tokens`` allows, adds
their losses up and goes back once; each gradient is that of the author's own loss, so each result is that
of ``train_adapter`` up to rounding. An author who is done makes room for the next.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from fingerprint.adapters.checkpoint import RunState, resume, save_checkpoint
from fingerprint.adapters.muon import Muon, muon_updates
from fingerprint.adapters.plan import Plan, Precision, Text, TrainProgress, plan_training, run_key, wants_bf16
from fingerprint.adapters.train import (
    CHECKPOINT_SECONDS,
    TrainedWeights,
    fast_passes,
    mean_dev_loss,
    state_kept,
    train_adapter,
)
from fingerprint.config import AdapterConfig
from fingerprint.lm.pair import RoutedModel, RouteWeights
from fingerprint.lm.stack import NotStackableError, StackedModel, stack_blocks
from fingerprint.provenance import digest_of

CPU_STEP_TOKENS, GPU_STEP_TOKENS = 4096, 32_768
"""Tokens of a step over all its authors: what holds the activations' memory, however many authors there are.
On a CPU more are no faster (a core is full), on a GPU fewer leave it waiting (performance.md section 6)."""


@dataclass(frozen=True, eq=False)
class StackedTask:
    """One author's training: the arguments of ``train_adapter``."""

    train: Text
    dev: Text
    start: RouteWeights
    config: AdapterConfig
    budget_tokens: int
    checkpoint: Path | None = None


def train_stacked(
    routed: RoutedModel,
    tasks: Mapping[str, StackedTask],
    *,
    step_tokens: int | None = None,
    precision: Precision = "auto",
    may_keep_start: bool = False,
    progress: Callable[[TrainProgress], None] | None = None,
    finished: Callable[[str, TrainedWeights], None] | None = None,
) -> dict[str, TrainedWeights]:
    """Train every task, as many at once as fit; a base that cannot be stacked takes them one by one.

    Args:
        tasks: by a name of the caller's.
        step_tokens: most padded tokens of a step; a single block may still be larger. None: by device.
        progress: told of all tasks together after each step; its losses are means over the running ones.
        finished: called as each task ends; until all have ended, a kill finds its checkpoint complete.

    Raises:
        CheckpointError: a checkpoint is of another run. FingerprintError: a task has nothing to train on.
    """
    autocast = wants_bf16(routed, precision)
    longest = max((task.config.max_passage_tokens for task in tasks.values()), default=2)
    stacked = _stack(routed, autocast, longest)
    if stacked is None:
        return _one_by_one(routed, tasks, precision, may_keep_start, progress, finished)
    room = step_tokens or (CPU_STEP_TOKENS if routed.device.type == "cpu" else GPU_STEP_TOKENS)
    found: dict[str, TrainedWeights] = {}
    with state_kept(routed), fast_passes(routed, autocast):
        runs = [_Run.planned(routed, name, task) for name, task in tasks.items()]
        judge, clock = _Judge(routed, autocast, may_keep_start), _Clock(runs, progress)
        waiting, running = deque(runs), list[_Run]()
        while waiting or running:
            while waiting and (not running or _block_tokens([*running, waiting[0]]) <= room):
                running.append(waiting.popleft())
                running[-1].start(routed, autocast)
                judge.before_first_step(running[-1])
            for run in [run for run in running if run.is_done]:
                running.remove(run)
                found[run.name] = run.end(autocast)
                if finished is not None:
                    finished(run.name, found[run.name])
            if running:
                _step(stacked, running)
                judge.after_step(running)
                clock.after_step(running)
    for task in tasks.values():
        if task.checkpoint is not None:
            task.checkpoint.unlink(missing_ok=True)
    return {name: found[name] for name in tasks}


@dataclass(eq=False)
class _Run:
    """One task under way.

    Attributes:
        vector: B of all sites, flat, in the order of ``shapes``; there, as the momentum, from start to end.
    """

    name: str
    task: StackedTask
    plan: Plan
    shapes: dict[str, torch.Size]
    state: RunState = field(default_factory=RunState)
    key: str = ""
    vector: Float[Tensor, " p"] = field(default_factory=lambda: torch.zeros(0))
    muon: Muon = field(default_factory=lambda: Muon(torch.zeros(0)))

    @classmethod
    def planned(cls, routed: RoutedModel, name: str, task: StackedTask) -> _Run:
        """A task that has its plan and waits for room."""
        plan = plan_training(routed, task.train, task.dev, task.config, task.budget_tokens)
        return cls(name, task, plan, {site: b.shape for site, b in routed.parameters.items()})

    def start(self, routed: RoutedModel, autocast: bool) -> None:
        """Take up the start state, or what the checkpoint holds."""
        start = self.task.start
        self.key = digest_of(["stacked", run_key(routed, self.plan, start, autocast)])
        self.vector = self._flat(start).to(routed.device, torch.float32)
        self.muon = Muon(torch.zeros_like(self.vector))
        self.state, weights = resume(self.task.checkpoint, self.key, routed.device, self.muon)
        if weights is not None:
            self.vector.copy_(self._flat(weights))

    def end(self, autocast: bool) -> TrainedWeights:
        """Save the end, let the moving state go, and give the state kept."""
        self.save()
        self.vector = self.muon.momentum = torch.zeros(0)
        return TrainedWeights.of(self.plan, self.state, self.task.start, autocast)

    @property
    def is_done(self) -> bool:
        """Whether all steps are taken."""
        return self.state.step >= self.plan.n_steps

    def weights(self) -> RouteWeights:
        """A copy of the current state."""
        parts = self.vector.split([shape.numel() for shape in self.shapes.values()])
        return {
            site: part.view(shape).clone()
            for (site, shape), part in zip(self.shapes.items(), parts, strict=True)
        }

    def _flat(self, weights: RouteWeights) -> Float[Tensor, " p"]:
        return torch.cat([weights[site].flatten() for site in self.shapes])

    def advance(self, update: Float[Tensor, " p"], momentum: Float[Tensor, " p"], loss: float) -> None:
        """Take a step, with this run's own learning rate."""
        self.vector.sub_(update, alpha=self.plan.learning_rate(self.state.step))
        self.muon.momentum.copy_(momentum)
        self.state.step += 1
        self.state.losses.append(loss)

    def save(self) -> None:
        """Write the checkpoint, if there is to be one."""
        save_checkpoint(self.task.checkpoint, self.key, self.weights(), self.muon, self.state)


@dataclass(eq=False)
class _Judge:
    """Takes dev losses, on the routed model, and keeps each run's best state.

    Attributes:
        starts: dev losses of start states: authors of one team share theirs.
    """

    routed: RoutedModel
    autocast: bool
    may_keep_start: bool
    starts: dict[tuple[int, ...], float] = field(default_factory=dict)

    def before_first_step(self, run: _Run) -> None:
        """Take the loss of the state that a run starts from."""
        if not run.state.dev_history:
            key = (id(run.task.start), *(id(window) for window in run.plan.dev))
            if key not in self.starts:
                self.starts[key] = self._loss(run)
            run.state.dev_history.append((0, self.starts[key]))

    def after_step(self, runs: Sequence[_Run]) -> None:
        """Take the loss of every run that has come to a dev point."""
        for run in runs:
            if run.state.step in run.plan.dev_steps:
                loss = self._loss(run)
                if run.state.is_best(loss, self.may_keep_start):
                    run.state.best_step, run.state.best = run.state.step, run.weights()
                run.state.dev_history.append((run.state.step, loss))

    def _loss(self, run: _Run) -> float:
        self.routed.set_weights(run.weights())
        return mean_dev_loss(self.routed, run.plan.dev, autocast=self.autocast)


class _Clock:
    """Tells of progress, and writes checkpoints in time."""

    def __init__(self, runs: Sequence[_Run], progress: Callable[[TrainProgress], None] | None) -> None:
        self.runs, self.progress = runs, progress
        self.n_tokens = 0
        self.started = self.saved = time.monotonic()

    def after_step(self, running: Sequence[_Run]) -> None:
        """Count a step of every running task."""
        self.n_tokens += sum(run.plan.tokens[run.state.step - 1] for run in running)
        if time.monotonic() - self.saved >= CHECKPOINT_SECONDS:
            for run in running:
                run.save()
            self.saved = time.monotonic()
        if self.progress is not None:
            self.progress(self._where(running))

    def _where(self, running: Sequence[_Run]) -> TrainProgress:
        seconds = max(time.monotonic() - self.started, 1e-9)
        left = sum(sum(run.plan.tokens[run.state.step :]) for run in self.runs)
        return TrainProgress(
            sum(run.state.step for run in self.runs),
            sum(run.plan.n_steps for run in self.runs),
            sum(sum(run.plan.scored[: run.state.step]) for run in self.runs),
            self.n_tokens / seconds,
            left * seconds / self.n_tokens,
            float(np.mean([run.state.losses[-1] for run in running])),
            float(np.mean([run.state.dev_history[-1][1] for run in running])),
        )


def _stack(routed: RoutedModel, autocast: bool, longest: int) -> StackedModel | None:
    try:
        return StackedModel(routed, torch.bfloat16 if autocast else torch.float32, longest)
    except NotStackableError:
        return None


def _block_tokens(runs: Sequence[_Run]) -> int:
    return sum(run.task.config.batch_tokens for run in runs)


def _step(stacked: StackedModel, runs: Sequence[_Run]) -> None:
    """One optimiser step of every run."""
    device = stacked.routed.device
    blocks = [run.plan.batch(run.state.step) for run in runs]
    batch = stack_blocks(blocks, level=device.type != "cpu").to(device)
    shapes = runs[0].shapes
    vectors = torch.stack([run.vector for run in runs]).to(stacked.dtype)
    parts = vectors.split([shape.numel() for shape in shapes.values()], 1)
    up = {
        site: part.view(len(runs), *shape).requires_grad_()
        for (site, shape), part in zip(shapes.items(), parts, strict=True)
    }
    losses = stacked.losses(up, batch)
    gradients = torch.autograd.grad(losses.sum(), list(up.values()))
    rows = torch.cat([gradient.flatten(1) for gradient in gradients], 1).float()
    momenta = torch.stack([run.muon.momentum for run in runs])
    updates = muon_updates(rows, momenta, list(shapes.values()))
    for run, update, momentum, loss in zip(runs, updates, momenta, losses.tolist(), strict=True):
        run.advance(update, momentum, loss)


def _one_by_one(
    routed: RoutedModel,
    tasks: Mapping[str, StackedTask],
    precision: Precision,
    may_keep_start: bool,
    progress: Callable[[TrainProgress], None] | None,
    finished: Callable[[str, TrainedWeights], None] | None,
) -> dict[str, TrainedWeights]:
    found: dict[str, TrainedWeights] = {}
    for name, task in tasks.items():
        found[name] = train_adapter(
            routed, task.train, task.dev, start=task.start, config=task.config,
            budget_tokens=task.budget_tokens, checkpoint=task.checkpoint, precision=precision,
            progress=progress, may_keep_start=may_keep_start,
        )  # fmt: skip
        if finished is not None:
            finished(name, found[name])
    return found
