"""Recorded trainings and learning coefficients as tables for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.text import Text

from service.reports.sheet import Sheet
from service.reports.wording import percent

if TYPE_CHECKING:
    from fingerprint.development.curves import CurvePoint
    from fingerprint.development.llc import LocalLearningCoefficient
    from fingerprint.development.toys.sorting import SortingStage
    from fingerprint.development.toys.tms import KGon, TmsRun
    from service.flows.development.record import Recording


def render_recording(found: Recording) -> Iterator[RenderableType]:
    """Every kept state with what had been read by then."""
    rows: list[tuple[object, ...]] = []
    tokens = [0]
    for entry in found.order:
        tokens.append(tokens[-1] + entry["tokens"])
    dev = dict(found.facts["training"]["dev_history"])
    for step in found.facts["kept"]:
        loss = "-" if step == 0 else f"{found.order[step - 1]['loss']:.3f}"
        on_dev = "-" if step not in dev else f"{dev[step]:.3f}"
        rows.append((step, tokens[step], len(found.commits_by(step)), loss, on_dev))
    names = ("step", "tokens read", "commits read", "loss of the step", "dev loss")
    yield Sheet(f"recorded training of {found.author}", names, tuple(rows)).to_table()
    apart = found.facts["distance_to_adapter"]
    same = "is the profile's adapter" if apart == 0 else f"differs from the profile's by at most {apart:.1e}"
    yield Text(f"The best recorded state {same}. States: {found.place / 'states'}")


def render_learning(
    points: Sequence[CurvePoint], nulls: Sequence[Sequence[CurvePoint]] = ()
) -> Iterator[RenderableType]:
    """A run a row, the loss beside lambda-hat, that of shuffled authors, and every reason for doubt."""
    rows = [
        (p.part, p.text, p.step, f"{p.gamma:g}", *_estimate(p), *([_beside(nulls, i)] if nulls else []))
        for i, p in enumerate(points)
    ]
    columns = (
        "part", "text", "step", "γ", "loss", "λ̂", "se", "λ̂/d", "R̂", "ess", "drift", "CPU s", "doubts",
        *(["shuffled authors"] if nulls else []),
    )  # fmt: skip
    yield Sheet("local learning coefficients", columns, tuple(rows), n_names=2).to_table()
    yield Text(
        "λ̂ = nβ (mean loss of the draws - loss at the checkpoint); values compare at one nβ and γ only. "
        "Negative: the checkpoint is no minimum of this loss. Above d/2: refused, the chain left the basin."
    )
    if nulls:
        yield Text(
            "Shuffled authors: the same number of tokens of commits dealt at random, trained and measured "
            "alike; ? marks a doubted value. What lies among them is nothing of this author's."
        )


def _beside(nulls: Sequence[Sequence[CurvePoint]], i: int) -> str:
    """The i-th run of every null: series have as many checkpoints each, though not always the same steps."""
    found = [null[i].found for null in nulls if i < len(null)]
    told = (
        "-" if one is None else f"{one.value:.2f} ±{one.se:.2f}{'?' if one.flags else ''}" for one in found
    )
    return ", ".join(told)


def _estimate(point: CurvePoint) -> tuple[object, ...]:
    found = point.found
    if found is None:
        return ("-",) * 7 + (f"{point.seconds:.0f}", "every chain diverged")
    return (
        f"{found.loss:.3f}", f"{found.value:.2f}", f"{found.se:.2f}", f"{found.value / found.n_params:.2g}",
        f"{found.r_hat:.2f}", round(found.ess), f"{found.drift:.2f}", f"{point.seconds:.0f}",
        "; ".join(found.flags) or "none",
    )  # fmt: skip


def render_tms(
    points: Sequence[KGon], found: Sequence[LocalLearningCoefficient], run: TmsRun, size: float
) -> Iterator[RenderableType]:
    """The k-gons, and what gradient descent did."""
    from fingerprint.development.toys.tms import table_rows

    columns = ("k-gon", "loss", "rank / 2", "λ̂", "se", "R̂", "ess", "doubts")
    yield Sheet("stationary k-gons", columns, tuple(table_rows(points, found))).to_table()
    rests = " → ".join(run.plateaus) or "no plateau"
    yield Text(
        f"Gradient descent from near a 2-gon: {rests}; loss {run.losses[0]:.4f} → {run.losses[-1]:.4f} in "
        f"{run.steps[-1]:,} steps. The posterior turns from the 5-gon to the 6-gon near n = {size:,.0f}."
    )


def render_sorting(found: Sequence[SortingStage]) -> RenderableType:
    """A checkpoint a row: how well lists are sorted, whole and without each head, and who copies what."""
    columns = (
        "step", "loss", "lists right", "without each head", "numbers owned", "overlap", "switches",
        "suppression", "λ̂", "doubts",
    )  # fmt: skip
    rows = [
        (
            stage.step, f"{stage.loss:.3f}", percent(stage.accuracy),
            " / ".join(percent(accuracy) for accuracy, _ in stage.without), " / ".join(map(str, stage.sizes)),
            f"{stage.overlap:.2f}", stage.switches,
            ", ".join(f"{b} of {a}" for a, b in stage.suppressing) or "none",
            "-" if stage.coefficient is None else f"{stage.coefficient.value:.1f}",
            "-" if stage.coefficient is None else "; ".join(stage.coefficient.flags) or "none",
        )
        for stage in found
    ]  # fmt: skip
    return Sheet("list sorting", columns, tuple(rows)).to_table()
