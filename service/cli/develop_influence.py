"""``routeprint develop influence``: whose code helps whom along a training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.cli.console import HERE, Home, Repo, find_repository, note, settings_for, show, stages
from service.cli.develop_options import NullsOption
from service.cli.dictionary import FormatOption, MachineFormat, PlotOption, Preset, PresetOption

if TYPE_CHECKING:
    from fingerprint.development.influence_config import InfluenceConfig
    from service.flows.bench import Progress
    from service.flows.development.influence import InfluenceRun


def influence(
    author: Annotated[
        str | None,
        typer.Argument(
            help="Author whose adapter's training is read; whoever has most code without.", show_default=False
        ),
    ] = None,
    folder: Annotated[
        Path | None, typer.Option("--folder", help="Read a base: whole models in folders named by step.")
    ] = None,
    hub: Annotated[
        str | None,
        typer.Option("--hub", help="Read a base: a hub model with revisions named step1000, such as Pythia."),
    ] = None,
    repo: Repo = HERE,
    home: Home = None,
    preset: PresetOption = Preset.TINY,
    checkpoints: Annotated[
        int | None, typer.Option(min=1, help="Checkpoints read, evenly over the series.")
    ] = None,
    chains: Annotated[int | None, typer.Option(min=1, help="Chains at a checkpoint.")] = None,
    draws: Annotated[int | None, typer.Option(min=2, help="Draws of a chain.")] = None,
    sequences: Annotated[int | None, typer.Option(min=8, help="Sequences observed, about.")] = None,
    tokens: Annotated[int | None, typer.Option(min=16, help="Longest sequence.")] = None,
    n_beta: Annotated[
        float | None, typer.Option("--n-beta", help="Sample size times temperature^-1.")
    ] = None,
    gamma: Annotated[float | None, typer.Option("--gamma", help="Localisation.")] = None,
    change_only: Annotated[
        bool, typer.Option("--change-only", help="Score a pair from its change to the line's end.")
    ] = False,
    nulls: NullsOption = None,
    plot: PlotOption = None,
    matrices: Annotated[
        Path | None, typer.Option("--matrices", help="Write R and observables here (.npz).")
    ] = None,
    form: FormatOption = MachineFormat.TEXT,
) -> None:
    """Estimate who helps whom: the Bayesian influence function from losses along SGLD draws.

    Of a base: correct and incorrect programs on each other, at each checkpoint. Of an author: commits on
    commits and on the team's newest code, along the adapter's training, beside the shuffled authors that were
    recorded (`develop record --nulls`). A killed run goes on.
    """
    chosen = {
        "most_checkpoints": checkpoints, "n_sequences": sequences, "sequence_tokens": tokens,
        "scored": "change" if change_only else None,
    }  # fmt: skip
    sampler = {"n_chains": chains, "n_draws": draws, "n_beta": n_beta, "gamma": gamma}
    with stages() as report:
        config = influence_config(preset, chosen, sampler)
        found = _measure(folder, hub, author, repo, home, config, report, nulls)
    if matrices is not None:
        found.write_matrices(matrices.expanduser())
    if plot is not None:
        _plot(found, plot.expanduser())
    if form is MachineFormat.JSON:
        show(json.dumps(found.to_json(), indent=2, ensure_ascii=False) + "\n")
    else:
        _show_tables(found)


def _plot(found: InfluenceRun, path: Path) -> None:
    from fingerprint.development.plots import plot_influence

    plot_influence(found.stages, path, found.series, [null.stages for null in found.nulls])


def _show_tables(found: InfluenceRun) -> None:
    from service.cli.develop_influence_tables import render_influence

    for part in render_influence(found):
        show(part)
    for one in (found, *found.nulls):
        for step, reason in one.facts.get("refused", {}).items():
            note(f"{one.series}: step {step} is left out: {reason}")


def _measure(
    folder: Path | None, hub: str | None, author: str | None, repo: Path, home: Path | None,
    config: InfluenceConfig, report: Progress, nulls: int | None,
) -> InfluenceRun:  # fmt: skip
    from service import ServiceError
    from service.flows.development.influence import author_influence, base_influence

    if sum(one is not None for one in (folder, hub, author)) > 1:
        raise ServiceError("expected one of an author, --folder and --hub, got several: give one")
    settings = settings_for(home)
    if folder is None and hub is None:
        from service.flows.development.record import author_of, load_nulls
        from service.flows.opened import open_profile

        opened = open_profile(find_repository(repo), settings, report)
        return author_influence(opened, author_of(opened, author), config, report, load_nulls(opened, nulls))
    from fingerprint.development.checkpoints import folder_series, hub_series
    from fingerprint.development.pairs.make import PairConfig
    from service.flows.development.pairs import read_tasks, store_pairs

    if folder is not None:
        series = folder_series(folder.expanduser(), device=settings.device)
    else:
        series = hub_series(str(hub), device=settings.device)
    pairs = store_pairs(settings.home, read_tasks(), PairConfig(), report)
    return base_influence(series, pairs, settings.home, config, report)


def influence_config(preset: Preset, chosen: dict[str, Any], sampler: dict[str, Any]) -> InfluenceConfig:
    """The preset with what the command says.

    Raises:
        ServiceError: dials that are not usable.
    """
    from pydantic import ValidationError

    from fingerprint.development.influence_config import InfluenceConfig
    from service import ServiceError

    start = (InfluenceConfig.full() if preset is Preset.FULL else InfluenceConfig.tiny()).model_dump()
    start["sampler"] |= {name: value for name, value in sampler.items() if value is not None}
    if start["sampler"]["n_chains"] < 4:
        start["blocks_per_chain"] = max(
            4, start["blocks_per_chain"]
        )  # two chains leave one degree of freedom
    given = {name: value for name, value in chosen.items() if value is not None}
    try:
        return InfluenceConfig.model_validate(start | given)
    except ValidationError as error:
        raise ServiceError("; ".join(str(e["msg"]) for e in error.errors())) from error
