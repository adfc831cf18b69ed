"""Decompose a target: the training loop, its checkpoints and its verdict (SPEC 6 and 8)."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from fingerprint.adapters.checkpoint import RunState, resume, save_checkpoint
from fingerprint.lm.fit import schedule
from fingerprint.provenance import CODE_VERSION, digest_of
from fingerprint.vpd.adversary import PersistentSources
from fingerprint.vpd.components import Components, VpdError, start_components
from fingerprint.vpd.config import VpdConfig
from fingerprint.vpd.gates import GatingNetwork
from fingerprint.vpd.losses import faithfulness_loss
from fingerprint.vpd.masks import draw_sources, step_generator
from fingerprint.vpd.metrics import Examiner, Metrics
from fingerprint.vpd.objective import Clean, Gates, Objective, StepLosses, total_loss
from fingerprint.vpd.targets import Data, Target, digest_target
from fingerprint.vpd.verdict import Verdict, Watch, judge, reason_to_stop
from fingerprint.vpd.workers import any_worker, average_gradients

CHECKPOINT_SECONDS = 30.0
MOST_ROUNDING = 1e-4
"""Largest distance between the clean pass and one with every mask at 1."""
_SOURCE_START = 2**31
"""Step number, beyond any real one, of the draw that starts the sources."""


@dataclass(frozen=True)
class VpdProgress:
    """Where a decomposition stands: steps done, steps in all, the step's losses, seconds left."""

    step: int
    steps: int
    losses: StepLosses
    seconds_left: float


@dataclass(frozen=True, eq=False)
class Decomposition:
    """What a run found.

    Attributes:
        components, gates: U, V and the gating network. config: its dials. metrics: on held-out data.
        verdict: whether it may be believed. watches: what the abort rules saw. losses: total of every step.
    """

    components: Components
    gates: GatingNetwork
    config: VpdConfig
    metrics: Metrics
    verdict: Verdict
    watches: tuple[Watch, ...]
    losses: tuple[float, ...]

    @property
    def objective(self) -> float:
        """Mean loss of the last twentieth of the steps, over which sparsity no longer tightens."""
        last = self.losses[-max(1, len(self.losses) // 20) :]
        return sum(last) / len(last) if last else math.inf


def decompose(
    target: Target,
    data: Data,
    config: VpdConfig,
    *,
    checkpoint: Path | None = None,
    progress: Callable[[VpdProgress], None] | None = None,
) -> Decomposition:
    """Train components and gates on a target.

    Where torch.distributed is initialised, every worker calls it with data and a checkpoint of its own, and
    the same target and config; gradients and frequencies are pooled.

    Args:
        checkpoint: file written every 30 s and resumed from when it exists; removed at the end. A resumed
            run gives the result of an unbroken one.

    Returns:
        The decomposition, INVALID in its verdict when an abort rule stopped it or it is degenerate.

    Raises:
        VpdError: the model with every mask at 1 is not the model.
        CheckpointError: the checkpoint is of another run.
    """
    run = _Run.of(target, data, config)
    rounding = run.objective.all_on(data.held_out[0])
    if not rounding <= MOST_ROUNDING:
        raise VpdError(
            f"With every mask at 1 the model must be itself, but it is {rounding:.2g} away "
            f"(at most {MOST_ROUNDING:g}): put it in eval mode, or choose a higher precision."
        )
    run.resume(checkpoint)
    stopped = _optimise(run, checkpoint, progress)
    if checkpoint is not None:
        checkpoint.unlink(missing_ok=True)
    metrics = run.examine().measure()
    verdict = judge(metrics.distance["delta off"], metrics.distance["zero"], run.watches, stopped)
    parts = (run.components.requires_grad_(False), run.gates.requires_grad_(False))
    return Decomposition(*parts, config, metrics, verdict, tuple(run.watches), tuple(run.state.losses))


def start(target: Target, config: VpdConfig) -> tuple[Components, GatingNetwork]:
    """Components and gating network before any training; the same seed gives the same ones."""
    components = start_components(
        target.sites, config.init, config.n_components, config.components_per_rank, config.seed
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        return components, GatingNetwork(components, target.taps, config).to(target.device)


@dataclass(eq=False)
class _Run:
    """The moving parts of a run."""

    target: Target
    data: Data
    config: VpdConfig
    components: Components
    gates: GatingNetwork
    sources: PersistentSources
    optimiser: torch.optim.Optimizer
    objective: Objective
    state: RunState = field(default_factory=RunState)
    watches: list[Watch] = field(default_factory=list)

    @classmethod
    def of(cls, target: Target, data: Data, config: VpdConfig) -> _Run:
        """A run at step 0, warmed up not yet."""
        components, gates = start(target, config)
        generator = step_generator(target.device, config.seed, _SOURCE_START)
        sources = PersistentSources(draw_sources(components, data.slots, generator), config.source_betas)
        parameters = [*components.parameters(), *gates.parameters()]
        optimiser = torch.optim.AdamW(parameters, lr=config.learning_rate, weight_decay=0.0, fused=True)
        objective = Objective(target, components, gates, config)
        return cls(target, data, config, components, gates, sources, optimiser, objective)

    @property
    def key(self) -> str:
        """Digest of what decides the result, but the batches."""
        shapes = [list(self.data.slots), list(self.target.taps)]
        return digest_of([CODE_VERSION, self.config.digest, digest_target(self.target), shapes])

    def examine(self) -> Examiner:
        """The run's present state on the held-out batches."""
        return Examiner(self.target, self.components, self.gates, self.config, self.data.held_out)

    def resume(self, checkpoint: Path | None) -> None:
        """Go on from a checkpoint, or warm up."""
        self.state, stored = resume(checkpoint, self.key, self.target.device, self.optimiser)
        if stored is None:
            warm_up(self.components, self.config)
            return
        self.components.load_state_dict(_without("components.", stored))
        self.gates.load_state_dict(_without("gates.", stored))
        self.sources.restore(_without("sources.", stored))
        self.watches = [Watch(int(row[0]), *row[1:]) for row in stored["watches"].tolist()]

    def save(self, checkpoint: Path | None) -> None:
        """Write everything that ``resume`` reads."""
        rows = [[float(value) for value in vars(watch).values()] for watch in self.watches]
        stored = {
            **_with("components.", self.components.state_dict()),
            **_with("gates.", self.gates.state_dict()),
            **_with("sources.", self.sources.state()),
            "watches": torch.tensor(rows, dtype=torch.float64),
        }
        save_checkpoint(checkpoint, self.key, stored, self.optimiser, self.state)


def warm_up(components: Components, config: VpdConfig) -> None:
    """Train U and V alone on faithfulness; what is left is at least the tail of M's strengths after C."""
    if not config.warmup_steps:
        return
    relative = config.faithfulness == "relative"
    optimiser = torch.optim.AdamW(
        components.parameters(), lr=config.warmup_rate, weight_decay=0.0, fused=True
    )
    for _ in range(config.warmup_steps):
        optimiser.zero_grad(set_to_none=True)
        faithfulness_loss(components, relative=relative).backward()
        optimiser.step()


def _optimise(
    run: _Run, checkpoint: Path | None, progress: Callable[[VpdProgress], None] | None
) -> str | None:
    """Run the steps that are left; the abort rule that ended them, if one did."""
    config, state = run.config, run.state
    first, started, saved = state.step, time.monotonic(), time.monotonic()
    while state.step < config.steps:
        losses = _step(run)
        if losses is None:
            return f"the loss is not finite at step {state.step}: lower the learning rate"
        state.step += 1
        state.losses.append(losses.total)
        if state.step % config.evaluate_every == 0:
            run.watches.append(run.examine().watch(state.step))
            reason = reason_to_stop(run.watches[-1], config.steps)
            if any_worker(reason is not None):
                return reason or f"an abort rule stopped another process after {state.step} steps"
        if time.monotonic() - saved >= CHECKPOINT_SECONDS:
            run.save(checkpoint)
            saved = time.monotonic()
        if progress is not None:
            pace = (time.monotonic() - started) / (state.step - first)
            progress(VpdProgress(state.step, config.steps, losses, pace * (config.steps - state.step)))
    return None


def _step(run: _Run) -> StepLosses | None:
    """One training step in the order of SPEC 6; None: the loss is not finite and nothing was changed."""
    config, objective, step = run.config, run.objective, run.state.step
    clean = objective.observe(run.data.batch(step))
    gates = objective.gates(clean)
    stochastic = objective.stochastic(clean, gates, step)
    sources = _climbed_sources(run, clean, gates)
    adversarial = (
        objective.adversarial(clean, gates.lower, sources) if sources is not None else 0 * stochastic
    )
    terms = (objective.faithfulness(), stochastic, adversarial, *objective.sparsity(clean, gates, step))
    total, losses = total_loss(config, terms)
    if any_worker(not math.isfinite(losses.total)):
        return None
    run.optimiser.zero_grad(set_to_none=True)
    total.backward()
    _update(run, step)
    if sources is not None and sources.grad is not None:
        run.sources.ascend(sources.grad, _source_rate(config, step))
    return losses


def _climbed_sources(run: _Run, clean: Clean, gates: Gates) -> Float[Tensor, "*b cl"] | None:
    """The sources after all ascents but the last, asking for the gradient of that one."""
    config = run.config
    if not config.adversarial_coefficient:
        return None
    shape, lower = clean.counted.shape, gates.lower.detach()
    run.sources.climb(
        lambda sources: run.objective.adversarial(clean, lower, sources),
        shape,
        config.n_ascents - 1,
        _source_rate(config, run.state.step),
    )
    return run.sources.leaf(shape)


def _source_rate(config: VpdConfig, step: int) -> float:
    """Linear warm-up, then constant."""
    return config.source_rate * min(1.0, (step + 1) / max(1.0, config.source_warmup * config.steps))


def _update(run: _Run, step: int) -> None:
    config = run.config
    for group in run.optimiser.param_groups:
        group["lr"] = config.learning_rate * schedule(step, config.steps, 0)
    average_gradients([*run.components.parameters(), *run.gates.parameters()])
    if config.weight_clip is not None:
        nn.utils.clip_grad_norm_(run.components.parameters(), config.weight_clip)
    run.optimiser.step()


def _with(prefix: str, values: dict[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + name: value for name, value in values.items()}


def _without(prefix: str, values: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in values.items() if name.startswith(prefix)}
