"""Influence along checkpoints as tables and sentences for people."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.text import Text

from service.reports.sheet import Sheet

if TYPE_CHECKING:
    from fingerprint.development.influence import Estimate
    from fingerprint.development.stagewise import Curve, Stage
    from service.flows.development.influence import InfluenceRun

_NOTE = (
    "Normalised influence is minus the mean correlation of two groups' losses along draws around the "
    "checkpoint, without terms of one task or commit: below 0, one more of the first lowers the loss of the "
    "second. Behind ±: half of a 95 % interval, by jackknife. An excess (n beta times the rise of the "
    "training text's loss along the draws) below 0 says that the checkpoint is no minimum, but on the way."
)
FEW_DRAWS = 30
"""Effective draws under which a warning is given: correlations below about .2 are noise."""
SLOW = 0.05
"""Level below which a curve is called not monotone."""


def render_influence(found: InfluenceRun) -> Iterator[RenderableType]:
    """The table by step, what each curve's shape says, and how to read it."""
    stages, groups = found.stages, found.stages[0].groups
    is_author = found.samples.form == "author"
    first, second = groups[1].source, groups[1].target
    columns = (
        "step", "tokens", f"{first} loss", f"{second} loss", *(f"{g.source} → {g.target}" for g in groups),
        "self effect" if is_author else "own partner, above others", "" if is_author else "p", "excess",
        "n_eff",
    )  # fmt: skip
    rows = [
        (*_facts_of(stage), *_tie_of(stage, is_author), f"{stage.excess:.1f}", f"{stage.n_eff:.0f}")
        for stage in stages
    ]
    kept = [i for i, column in enumerate(columns) if column]
    n, sampler = len(found.samples.names), found.config.sampler
    title = (
        f"influence along {found.series}: {n} samples, {sampler.n_chains} chains of {sampler.n_draws} draws, "
        f"n beta {sampler.n_beta:g}, gamma {sampler.gamma:g}"
    )
    shown = tuple(tuple(row[i] for i in kept) for row in rows)
    yield Sheet(title, tuple(columns[i] for i in kept), shown).to_table()
    for curve in found.curves:
        yield Text(f"{curve.source} → {curve.target}: {describe_curve(curve)}.")
    if found.nulls:
        yield _nulls_sheet(found)
    sampled = [stage for run in (found, *found.nulls) for stage in run.stages]
    if (least := min(stage.n_eff for stage in sampled)) < FEW_DRAWS:
        yield Text(
            f"Only {least:.0f} effective draws at the worst checkpoint: correlations below about "
            f"{least**-0.5:.1f} are noise, and chains that drift look like help between all samples. Take "
            "more draws or a larger gamma.",
            style="yellow",
        )
    yield Text(f"{_NOTE} Processor time of sampling: {sum(s.seconds for s in stages):,.0f} s.", style="dim")


def _nulls_sheet(found: InfluenceRun) -> RenderableType:
    """What commits dealt at random do, which no reading of the author's may be confused with."""
    groups = found.stages[0].groups
    columns = (
        "commits of", "step", *(f"{g.source} → {g.target}" for g in groups), "self effect", "n_eff",
    )  # fmt: skip
    rows = [
        (null.series, f"{stage.step:,}", *(_plus_minus(group.normalised) for group in stage.groups),
         f"{stage.effect.median:.2g}", f"{stage.n_eff:.0f}")
        for null in found.nulls
        for stage in null.stages
    ]  # fmt: skip
    return Sheet("shuffled authors, trained and read alike", columns, tuple(rows)).to_table()


def _facts_of(stage: Stage) -> tuple[object, ...]:
    """Step, tokens, the losses of both groups, and the three influences."""
    seen = "-" if stage.tokens_seen is None else stage.tokens_seen
    losses = (f"{loss:.3f}" for loss in stage.losses)
    return f"{stage.step:,}", seen, *losses, *(_plus_minus(group.normalised) for group in stage.groups)


def _tie_of(stage: Stage, is_author: bool) -> tuple[str, str]:
    """The author form's self effect, or how much more a program is tied to its own mutant."""
    if is_author or stage.contrast is None:
        return (f"{stage.effect.median:.2g}" if is_author else "-"), ""
    return _plus_minus(stage.contrast.difference), f"{stage.contrast.p_value:.3f}"


def describe_curve(curve: Curve) -> str:
    """The shape of a curve, in words."""
    said = [f"the sign changes between steps {before:,} and {after:,}" for before, after in curve.flips]
    said += [f"a {kind} at step {step:,}" for step, kind in curve.peaks]
    if curve.monotone is not None:
        p = f"p = {curve.monotone.p_value:.3f}"
        if curve.monotone.p_value < SLOW:
            said.append(f"not monotone ({p})")
        else:
            said.append(f"within its errors {curve.monotone.direction} or flat ({p} for a misfit as large)")
    return ", ".join(said) or "too few checkpoints for a shape"


def _plus_minus(estimate: Estimate) -> str:
    return f"{estimate.value:+.3f} ±{estimate.half_width:.3f}"
