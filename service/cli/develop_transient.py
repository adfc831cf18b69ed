"""``routeprint develop transient``: whether a general solution comes first and goes again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import RenderableType
from rich.text import Text

from service.cli.console import Home, find_repository, note, settings_for, show, stages
from service.cli.develop_options import NullsOption
from service.cli.dictionary import FormatOption, MachineFormat, Preset, PresetOption
from service.reports.sheet import Sheet

if TYPE_CHECKING:
    from fingerprint.development.in_context_regression import RegressionConfig
    from fingerprint.development.transient_report import RunReport, TransientReport

_NOTE = (
    "Distances are root mean square, in the whole space of outputs. t_crit is where the loss out of "
    "distribution is least; transient means that the loss after it rises beyond chance. Walks are paths of "
    "the same step lengths in random directions (brownian), or the runs' own steps with random signs "
    "(flipped)."
)


def add_to(develop_app: typer.Typer) -> None:
    """Register the command."""
    develop_app.command()(transient)


def transient(
    tasks: Annotated[
        list[int] | None,
        typer.Option("--tasks", min=0, help="Task diversity M; several times for several; 0: endless."),
    ] = None,
    steps: Annotated[int | None, typer.Option(min=10, help="Optimiser steps of a run.")] = None,
    preset: PresetOption = Preset.TINY,
    coefficients: Annotated[
        bool,
        typer.Option("--llc/--no-llc", help="Measure learning coefficients of the reference task's runs."),
    ] = True,
    repo: Annotated[
        Path | None,
        typer.Option("--repo", help="An author's recorded training in place of the reference task."),
    ] = None,
    author: Annotated[
        str | None,
        typer.Option("--author", help="Author (key, name or address); whoever has most code without."),
    ] = None,
    nulls: NullsOption = None,
    seed: Annotated[int, typer.Option(help="Of tasks, weights, sequences and nulls.")] = 0,
    plot: Annotated[
        Path | None, typer.Option("--plot", help="Draw the runs here (.svg or .png).", dir_okay=False)
    ] = None,
    home: Home = None,
    form: FormatOption = MachineFormat.TEXT,
) -> None:
    """Lay trainings into one plane beside ideal solutions: in-context regression, or an author's adapter.

    Without --repo, small transformers learn linear regression from M tasks in context: ridge or dMMSE. An
    author stands beside the shuffled authors that were recorded (`develop record --nulls`).
    """
    if repo is None:
        found = _regression(tasks or [6, 32, 0], _config(preset, steps, seed), coefficients, home)
    else:
        found = _author(repo, author, nulls, home, seed)
    if plot is not None:
        from fingerprint.development.plots import plot_transient

        plot_transient(found, plot.expanduser())
        note(str(plot))
    if form is MachineFormat.JSON:
        show(found.model_dump_json(indent=2) + "\n")
        return
    for part in render_transient(found):
        show(part)


def _config(preset: Preset, steps: int | None, seed: int) -> RegressionConfig:
    from fingerprint.development.in_context_regression import RegressionConfig

    start = RegressionConfig.full() if preset is Preset.FULL else RegressionConfig.tiny()
    return start.model_copy(update={"seed": seed} | ({} if steps is None else {"steps": steps}))


def _regression(
    tasks: list[int], config: RegressionConfig, with_coefficients: bool, home: Path | None
) -> TransientReport:
    from fingerprint.development.config import SamplerConfig
    from service.artifacts import ArtifactStore
    from service.flows.development.transient import measure_regression

    sampler = SamplerConfig(n_beta=1_000, gamma=100, n_chains=2, n_draws=50, burn_in=50)
    store = ArtifactStore(settings_for(home).home)
    with stages() as report:
        return measure_regression(
            [n or None for n in tasks], config, sampler if with_coefficients else None, store, report
        )


def _author(
    repo: Path, author: str | None, nulls: int | None, home: Path | None, seed: int
) -> TransientReport:
    from service.flows.development.record import author_of, load_nulls
    from service.flows.development.transient import measure_author
    from service.flows.opened import open_profile

    with stages() as report:
        opened = open_profile(find_repository(repo), settings_for(home), report)
        return measure_author(opened, author_of(opened, author), load_nulls(opened, nulls), seed)


def render_transient(report: TransientReport) -> Iterator[RenderableType]:
    """Runs with their minimum, their references, and the walks beside the plane."""
    yield Sheet(
        "loss out of distribution",
        ("run", "first", "least", "last", "t_crit", "95 %", "rise after it", "95 %", "transient"),
        tuple(_run_row(run) for run in report.runs),
    ).to_table()
    yield Sheet(
        "distance to references", ("run", "reference", "first", "nearest", "at step", "last"),
        tuple(row for run in report.runs for row in _reference_rows(run)), n_names=2,
    ).to_table()  # fmt: skip
    rows = [("runs", *(f"{share:.0%}" for share in report.explained), f"{report.cosine:.2f}", "")]
    rows += [
        (f"walks, {null.kind}", *(f"{share:.0%}" for share in null.explained), f"{null.cosine:.2f}",
         f"{null.p_value:.3f}")
        for null in report.nulls
    ]  # fmt: skip
    shares = tuple(f"PC {i}" for i in range(1, len(report.explained) + 1))
    yield Sheet("variance in the plane", ("", *shares, "half cosine", "p"), tuple(rows)).to_table()
    measured = [row for run in report.runs for row in _coefficient_rows(run)]
    if measured:
        yield Sheet(
            "learning coefficients", ("run", "step", "value", "se", "doubts"), tuple(measured)
        ).to_table()
    yield Text(_NOTE, style="dim")


def _run_row(run: RunReport) -> tuple[object, ...]:
    return (
        run.name, f"{run.losses[0]:.3f}", f"{min(run.losses):.3f}", f"{run.losses[-1]:.3f}", run.step,
        f"{run.low:,} to {run.high:,}", f"{run.rise:+.3f}", f"{run.rise_low:+.3f} to {run.rise_high:+.3f}",
        "yes" if run.is_transient else "no",
    )  # fmt: skip


def _reference_rows(run: RunReport) -> Iterator[tuple[object, ...]]:
    for name, values in run.distances.items():
        yield (
            run.name,
            name,
            f"{values[0]:.3f}",
            f"{min(values):.3f}",
            run.nearest(name),
            f"{values[-1]:.3f}",
        )


def _coefficient_rows(run: RunReport) -> Iterator[tuple[object, ...]]:
    for step, one in zip(run.steps, run.coefficients, strict=False):
        if one is not None:
            yield (run.name, step, f"{one.value:.1f}", f"{one.error:.1f}", "; ".join(one.flags))
