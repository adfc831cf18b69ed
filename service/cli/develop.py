"""``routeprint develop``: how models came to be: recorded trainings, learning coefficients, toys."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.cli import develop_stages, develop_susceptibility, develop_transient
from service.cli.console import HERE, Home, Repo, find_repository, settings_for, show, stages
from service.cli.develop_influence import influence
from service.cli.develop_options import NullsOption
from service.cli.develop_pairs import mutants
from service.cli.dictionary import FormatOption, MachineFormat, PlotOption, Preset, PresetOption

if TYPE_CHECKING:
    from fingerprint.development.sampling import SampleProgress
    from service.flows.bench import Progress
    from service.flows.development.learning import Learned, LearningPlan

develop_app = typer.Typer(
    help="When structure appears in training: checkpoints, learning coefficients, stages, emergence, toys.",
    no_args_is_help=True,
)


class Along(StrEnum):
    """Whose checkpoints."""

    BASE = "base"
    ADAPTER = "adapter"


class By(StrEnum):
    """What moves at once."""

    WHOLE = "whole"
    BLOCK = "block"
    SITE = "site"
    HEAD = "head"


class Scaling(StrEnum):
    """How steps are scaled by parameter."""

    FROZEN = "frozen"
    NONE = "none"


ScalingOption = Annotated[
    Scaling | None,
    typer.Option(
        "--preconditioner",
        help="frozen: by the gradients at the checkpoint; none: unscaled, where gamma dominates.",
        show_default=False,
    ),
]
CheckpointsOption = Annotated[
    Along, typer.Option("--checkpoints", help="A base's checkpoints, or an author's recorded training.")
]
FolderOption = Annotated[
    Path | None,
    typer.Option("--folder", help="Whole models in folders named by step (base).", show_default=False),
]
HubOption = Annotated[
    str | None,
    typer.Option("--hub", help="Hub model with revisions named like step1000 (base).", show_default=False),
]
GammasOption = Annotated[
    list[float] | None,
    typer.Option("--gamma", help="Localisation; several times for several.", show_default=False),
]
DrawsOption = Annotated[
    int | None, typer.Option("--draws", min=10, help="Draws of each chain.", show_default=False)
]
MostOption = Annotated[
    int | None, typer.Option("--most", min=1, help="Checkpoints at most.", show_default=False)
]
WindowsOption = Annotated[
    int | None, typer.Option("--windows", min=2, help="Windows of each text.", show_default=False)
]


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    for command in (record, llc, mutants, influence, tms, sorting):
        develop_app.command()(command)
    develop_susceptibility.add_to(develop_app)
    develop_transient.add_to(develop_app)
    develop_stages.add_to(develop_app)
    app.add_typer(develop_app, name="develop")


def record(
    author: Annotated[
        str | None,
        typer.Argument(
            help="Author (key, name or address); whoever has most code without.", show_default=False
        ),
    ] = None,
    repo: Repo = HERE,
    home: Home = None,
    keep: Annotated[int, typer.Option("--keep", min=2, help="States kept, at log-spaced steps.")] = 12,
    nulls: Annotated[
        int,
        typer.Option("--nulls", min=0, help="Shuffled authors recorded too, to stand beside every reading."),
    ] = 0,
    form: FormatOption = MachineFormat.TEXT,
) -> None:
    """Train an author's adapter once more as the profile did, keeping its states and the order of its data.

    What is recorded is kept beside the profile and found again; a killed recording goes on where it stopped.
    """
    from service.cli.develop_tables import render_recording
    from service.flows.development.record import author_of, record_author, record_nulls
    from service.flows.opened import open_profile

    with stages() as report:
        opened = open_profile(find_repository(repo), settings_for(home), report)
        found = record_author(opened, author_of(opened, author), keep)
        beside = record_nulls(opened, nulls, keep)
    if form is MachineFormat.JSON:
        told = [
            one.facts | {"place": str(one.place / "states"), "digest": one.digest} for one in (found, *beside)
        ]
        show(json.dumps(told[0] | {"nulls": told[1:]}, indent=2, ensure_ascii=False) + "\n")
        return
    for one in (found, *beside):
        for part in render_recording(one):
            show(part)


def llc(
    author: Annotated[
        str | None,
        typer.Argument(help="Author whose recorded training is read (adapter).", show_default=False),
    ] = None,
    checkpoints: CheckpointsOption = Along.ADAPTER,
    folder: FolderOption = None,
    hub: HubOption = None,
    repo: Repo = HERE,
    home: Home = None,
    preset: PresetOption = Preset.TINY,
    by: Annotated[By, typer.Option("--by", help="Parts that move one at a time.")] = By.WHOLE,
    gammas: GammasOption = None,
    n_beta: Annotated[
        float | None,
        typer.Option("--n-beta", help="Sample size times inverse temperature.", show_default=False),
    ] = None,
    draws: DrawsOption = None,
    between: Annotated[
        int | None, typer.Option("--between", min=1, help="Steps between draws.", show_default=False)
    ] = None,
    preconditioner: ScalingOption = None,
    most: MostOption = None,
    windows: WindowsOption = None,
    nulls: NullsOption = None,
    seed: Annotated[int, typer.Option(help="Of noise, minibatches and windows.")] = 0,
    plot: PlotOption = None,
    form: FormatOption = MachineFormat.TEXT,
) -> None:
    """Measure local learning coefficients along checkpoints, beside the loss; nothing is clipped.

    Shuffled authors that were recorded (`develop record --nulls`) stand beside an author's. Values compare
    only at one n-beta and localisation. Above d/2 a value is refused, below 0 it is flagged.
    """
    from service.cli.develop_tables import render_learning
    from service.flows.development.learning import measure_adapter, measure_base, open_bases, to_machine
    from service.flows.development.record import author_of, load_nulls, load_recording
    from service.flows.opened import open_profile

    scaling = None if preconditioner is None else preconditioner.value
    dials = {"n_beta": n_beta, "n_draws": draws, "preconditioner": scaling, "seed": seed}
    dials["steps_between"] = between
    chosen = {"n_windows": windows, "n_checkpoints": most, "gammas": tuple(gammas or ()), "split": by.value}
    plan = _learning_plan(preset, dials, chosen)
    with stages() as report:
        if checkpoints is Along.BASE:
            settings = settings_for(home)
            found = measure_base(open_bases(folder, hub, settings), settings, plan, report)
        else:
            opened = open_profile(find_repository(repo), settings_for(home), report)
            recording = load_recording(opened, author_of(opened, author))
            found = measure_adapter(opened, recording, plan, load_nulls(opened, nulls))
    if plot is not None:
        _plot_learning(found, plan, plot)
    if form is MachineFormat.JSON:
        show(to_machine(found))
    else:
        for part in render_learning(found.points, found.nulls):
            show(part)


def _learning_plan(preset: Preset, dials: dict[str, Any], chosen: dict[str, Any]) -> LearningPlan:
    """The preset with what the command says of the sampler and of the rest."""
    from service.flows.development.learning import LearningPlan

    start = LearningPlan.full() if preset is Preset.FULL else LearningPlan.tiny()
    told = {name: value for name, value in dials.items() if value is not None}
    sampler = start.sampler.model_validate(start.sampler.model_dump() | told)
    return replace(start, sampler=sampler, **{name: value for name, value in chosen.items() if value})


def _plot_learning(found: Learned, plan: LearningPlan, path: Path) -> None:
    from fingerprint.development.curves import cluster_curves, curve_table
    from fingerprint.development.plots import plot_learning_coefficients, plot_parts

    points = found.points
    if plan.split == "whole":
        plot_learning_coefficients(points, path, f"nβ = {plan.sampler.n_beta:g}", found.nulls)
        return
    text = points[0].text
    table = curve_table(points, text, plan.gammas[0])
    clusters = cluster_curves(table) if min(table.values.shape) >= 3 else None
    labels = dict(zip(table.parts, clusters.labels.tolist(), strict=True)) if clusters else None
    curves = {part: row.tolist() for part, row in zip(table.parts, table.values, strict=True)}
    plot_parts(curves, table.steps, path, f"{text}, γ = {plan.gammas[0]:g}", labels)


def tms(
    seed: Annotated[int, typer.Option(help="Of the descent and of the chains.")] = 0,
    steps: Annotated[int, typer.Option(min=100, help="Steps of gradient descent.")] = 6_000,
    quick: Annotated[
        bool, typer.Option("--quick", help="Short chains: the order shows, the values less.")
    ] = False,
    plot: PlotOption = None,
    form: FormatOption = MachineFormat.TEXT,
) -> None:
    """Toy model of superposition: learning coefficients of its k-gons, and the plateaus of descent."""
    from fingerprint.development.toys.tms import (
        KNOWN,
        SAMPLING,
        measure_k_gon,
        stationary_points,
        switch_size,
        train_tms,
    )
    from service.cli.develop_tables import render_tms

    dials = {"seed": seed} | ({"n_chains": 1, "burn_in": 4_000, "n_draws": 200} if quick else {})
    cfg, points = SAMPLING.model_copy(update=dials), stationary_points()
    with stages() as report:
        found = [measure_k_gon(point, cfg, progress=_sampled(report, point.name)) for point in points]
    run = train_tms(seed, steps=steps)
    size = switch_size(points[0], points[2])
    if plot is not None:
        from fingerprint.development.plots import plot_plateaus

        levels = {name: loss for name, (loss, _) in KNOWN.items()}
        plot_plateaus(run.steps, run.losses, levels, plot, "toy model of superposition")
    if form is MachineFormat.JSON:
        rows = {point.name: asdict(one) for point, one in zip(points, found, strict=True)}
        show(json.dumps({"k_gons": rows, "plateaus": run.plateaus, "switch": size}, indent=2) + "\n")
    else:
        for part in render_tms(points, found, run, size):
            show(part)


def _sampled(report: Progress, name: str) -> Callable[[SampleProgress], None]:
    """A sampler's progress as a stage."""
    from service.flows.bench import Stage

    return lambda state: report(
        Stage(name, state.chain * state.steps + state.step, state.chains * state.steps)
    )


def sorting(
    seed: Annotated[int, typer.Option(help="Of the first weights and the lists.")] = 0,
    small: Annotated[
        bool, typer.Option("--small", help="32 numbers, lists of 6: half a CPU minute, no clean split.")
    ] = False,
    steps: Annotated[int | None, typer.Option(min=10, help="Training steps.", show_default=False)] = None,
    gap: Annotated[
        float | None, typer.Option("--gap", min=1, help="Mean gap of sorted neighbours.", show_default=False)
    ] = None,
    coefficients: Annotated[
        bool, typer.Option("--llc/--no-llc", help="Sample a learning coefficient at every checkpoint.")
    ] = True,
    plot: PlotOption = None,
    form: FormatOption = MachineFormat.TEXT,
) -> None:
    """List sorting: train a small transformer, and tell which head copies which numbers, stage by stage."""
    from fingerprint.development.config import SamplerConfig
    from fingerprint.development.toys.sorting import (
        SortingPlan,
        SortingTask,
        examine,
        head_regions,
        ov_circuits,
        qk_circuits,
        train_sorting,
    )
    from service.cli.develop_tables import render_sorting
    from service.flows.bench import Stage

    plan = SortingPlan.small(seed) if small else SortingPlan(SortingTask(), seed=seed)
    task = replace(plan.task, mean_gap=gap)
    plan = replace(plan, task=task, steps=steps or plan.steps)
    with stages() as report:
        series = train_sorting(plan, lambda step, _: report(Stage("training", step, plan.steps)))
        report(Stage("examining", 0, None))
        found = examine(series, plan, SamplerConfig.tiny() if coefficients else None)
        report(Stage("examining", 1, 1))
    if plot is not None:
        from fingerprint.development.plots import plot_heads

        model = series.checkpoints[-1].load()
        ov, qk = ov_circuits(model), qk_circuits(model)
        names = [f"head {head}" for head in range(plan.n_heads)]
        circuits = {f"{kind}, {name}": one for kind, all_of in (("QK", qk), ("OV", ov))
                    for name, one in zip(names, all_of, strict=True)}  # fmt: skip
        diagonals = dict(zip(names, head_regions(ov, qk).diagonals, strict=True))
        plot_heads(circuits, diagonals, plot, "OV circuits")
    if form is MachineFormat.JSON:
        show(json.dumps([asdict(stage) for stage in found], indent=2) + "\n")
    else:
        show(render_sorting(found))
