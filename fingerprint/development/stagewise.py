"""Influence at each checkpoint of a training, and its curves (Lee et al. 2025, arXiv 2510.12071)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from torch import Tensor, nn

from fingerprint import FingerprintError
from fingerprint.adapters.budget import count_scored
from fingerprint.development.checkpoints import trained_parameters
from fingerprint.development.influence import (
    Contrast,
    Draws,
    Estimate,
    InfluenceError,
    SelfEffect,
    by_unit,
    correlation,
    group_influence,
    jackknife,
    matched_contrast,
    observable_influence,
    require_small,
    self_effect,
    standardised,
)
from fingerprint.development.influence_config import InfluenceConfig
from fingerprint.development.llc import effective_draws
from fingerprint.development.losses import batch_loss, module_of, observe_windows
from fingerprint.development.samples import GROUPS, Samples
from fingerprint.development.sampling import SampleProgress, sample
from fingerprint.development.shapes import Monotonicity, Point, monotonicity, peaks, sign_flips
from fingerprint.development.trace import Trace
from fingerprint.lm.load import Base
from fingerprint.lm.pair import RoutedModel
from fingerprint.lm.tokens import TokenizedPassage

LOSSES = "losses/observed"
"""Where a trace keeps the loss of every observed window; "losses" holds those of the training text."""


@dataclass(frozen=True)
class GroupInfluence:
    """One group on another at one checkpoint.

    Attributes:
        source, target: groups' names. bif: mean BIF without self terms, nats squared. normalised: of the
            standardised losses: minus their mean R. Below 0: the source helps the target.
    """

    source: str
    target: str
    bif: Estimate
    normalised: Estimate


@dataclass(frozen=True, eq=False)
class Stage:
    """What one checkpoint says.

    Attributes:
        step, tokens_seen: where it stands. groups: three of them: first on itself, on the second, second on
            itself. contrast: of matched pairs (pairs only). effect: of each sample of the first group on
            itself. losses: mean loss of each group at w*, nats a token. train_loss: of the training text.
        excess: n_beta (mean loss along the draws minus loss at w*): below 0 the checkpoint is no minimum.
        R: correlation of all samples. on_observables: BIF of the samples on further observables, by name.
        n_eff: effective draws of the first group's mean loss; a correlation is known to about n_eff^-1/2.
        seconds: processor time of sampling. diverged: chains left out.
    """

    step: int
    tokens_seen: int | None
    groups: tuple[GroupInfluence, ...]
    contrast: Contrast | None
    effect: SelfEffect
    losses: tuple[float, float]
    train_loss: float
    excess: float
    R: Float[np.ndarray, "n n"]
    on_observables: dict[str, np.ndarray]
    n_eff: float
    seconds: float
    diverged: tuple[int, ...]

    def to_json(self) -> dict[str, Any]:
        """Everything but the matrices, as plain JSON."""
        facts = {name: value for name, value in asdict(self).items() if name not in {"R", "on_observables"}}
        effect = {"median": self.effect.median, "limit": self.effect.limit, "is_small": self.effect.is_small}
        return {**facts, "effect": effect}


def sample_losses(
    model: Base | RoutedModel | nn.Module,
    train: Sequence[TokenizedPassage],
    samples: Samples,
    config: InfluenceConfig,
    *,
    label: str,
    also: Callable[[], Mapping[str, Tensor]] | None = None,
    store: Path | None = None,
    progress: Callable[[SampleProgress], None] = lambda _: None,
) -> Trace:
    """Sample around a checkpoint, reading every observed window's loss at every draw.

    Of a routed model only the adapter's B moves, else every parameter that was trained.

    Args:
        train: windows of the training text. label: names the checkpoint, for seeds. also: further
            observables. store: folder for finished chains.
    """
    module, params = module_of(model), trained_parameters(model)
    star = {name: w.detach().clone() for name, w in params.items()}
    return sample(
        params, star, batch_loss(module, train, config.batch_rows),
        observe_windows(module, train[: config.batch_rows], {"observed": samples.windows}, also=also),
        config.sampler, label=label, store=store, progress=progress,
    )  # fmt: skip


def read_stage(
    trace: Trace,
    train: Sequence[TokenizedPassage],
    samples: Samples,
    config: InfluenceConfig,
    step: int,
    tokens_seen: int | None,
) -> Stage:
    """Influence between the groups at one checkpoint.

    Raises:
        InfluenceError: in the author form, when commits move themselves too much.
    """
    losses = by_unit(trace.of(LOSSES), samples.sample_of, samples.n_tokens)
    at_star = by_unit(trace.at_star[LOSSES][None, None], samples.sample_of, samples.n_tokens)[0, 0]
    first = samples.of(0)
    shares = samples.tokens_by_sample[first] / count_scored(train)
    effect = self_effect(losses[..., first], shares, trace.n_beta, config.most_self_effect)
    is_author = samples.form == "author"
    if is_author:
        require_small(effect, f"step {step}")
    return Stage(
        step,
        tokens_seen,
        tuple(_group(losses, samples, pair, config) for pair in ((0, 0), (0, 1), (1, 1))),
        None if is_author else _contrast(losses, samples, config),
        effect,
        (float(at_star[first].mean()), float(at_star[samples.of(1)].mean())),
        float(trace.at_star["loss"]),
        float(trace.n_beta * (trace.of("loss").mean() - trace.at_star["loss"])),
        correlation(losses),
        {
            name: observable_influence(standardised(losses), standardised(trace.of(name)))
            for name in trace.draws
            if name.startswith("phi/")
        },
        effective_draws(losses[..., first].mean(-1)),
        trace.seconds,
        trace.diverged,
    )


def _group(losses: Draws, samples: Samples, pair: tuple[int, int], config: InfluenceConfig) -> GroupInfluence:
    sources, targets = (samples.of(group) for group in pair)

    def mean_bif(draws: Draws) -> float:
        return group_influence(draws, sources, targets, samples.unit)

    names = GROUPS[samples.form]
    return GroupInfluence(
        names[pair[0]],
        names[pair[1]],
        jackknife(mean_bif, losses, config.blocks_per_chain),
        jackknife(lambda draws: mean_bif(standardised(draws)), losses, config.blocks_per_chain),
    )


def _contrast(losses: Draws, samples: Samples, config: InfluenceConfig) -> Contrast | None:
    """None where all pairs are of one task or two."""
    try:
        return matched_contrast(losses, samples.of(0), samples.of(1), samples.unit, config)
    except InfluenceError:
        return None


@dataclass(frozen=True)
class Curve:
    """One group on another along the checkpoints, and what its shape says.

    Attributes:
        source, target: groups' names. flips: pairs of steps between which the sign changes. peaks: steps
            above (or below) both neighbours. monotone: against the better of rising and falling; None with
            fewer than three checkpoints.
    """

    source: str
    target: str
    flips: tuple[tuple[int, int], ...]
    peaks: tuple[tuple[int, str], ...]
    monotone: Monotonicity | None


def read_curves(stages: Sequence[Stage]) -> tuple[Curve, ...]:
    """The shape of every group's normalised curve."""
    return tuple(
        _curve([Point(stage.step, stage.groups[i].normalised) for stage in stages], stages[0].groups[i])
        for i in range(len(stages[0].groups) if stages else 0)
    )


def _curve(points: Sequence[Point], group: GroupInfluence) -> Curve:
    try:
        monotone = monotonicity(points)
    except FingerprintError:  # two checkpoints, or no errors: nothing is claimed
        monotone = None
    return Curve(group.source, group.target, tuple(sign_flips(points)), tuple(peaks(points)), monotone)
