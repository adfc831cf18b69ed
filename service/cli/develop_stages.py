"""``routeprint develop stages|emergence|evasion``: who wrote a direction, when it came, who still sees it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli.console import HERE, Home, Repo, find_repository, settings_for, show, stages
from service.cli.develop_options import NullsOption
from service.cli.dictionary import FormatOption, MachineFormat, PlotOption, Preset, PresetOption

if TYPE_CHECKING:
    from pydantic import BaseModel
    from rich.console import RenderableType

    from fingerprint.development.probe_config import ProbeConfig
    from fingerprint.sae.config import SaeConfig
    from service.flows.bench import Progress
    from service.flows.development.units import Labelled
    from service.flows.opened import OpenedProfile


class Label(StrEnum):
    """What is told apart."""

    AUTHOR = "author"
    CORRECTNESS = "correctness"


class View(StrEnum):
    """What is left of a hunk."""

    RAW = "raw"
    MASKED = "masked"
    FORMATTED = "formatted"


AuthorOption = Annotated[
    str, typer.Option("--author", help="Whose code is told from the others' (key, name or address).")
]
Checkpoints = Annotated[
    Path | None,
    typer.Option("--checkpoints", help="Folder of checkpoints named by step, of a base or an adapter."),
]
TokensOption = Annotated[
    int | None,
    typer.Option("--tokens", min=1, help="Scored tokens of either side, about; default: the preset's."),
]
ViewOption = Annotated[
    View, typer.Option("--view", help="What is left of a hunk: masked tells no names, so no topic.")
]
_DICTIONARY_TOKENS = 60_000


class Side(StrEnum):
    """What stands against the team in the evasion table."""

    SAMPLE = "sample"
    AGENTS = "agents"
    FOREIGN = "foreign"


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    for command in (develop_stages, develop_emergence, develop_evasion):
        app.command(command.__name__.removeprefix("develop_"))(command)


def develop_stages(
    author: AuthorOption,
    repo: Repo = HERE,
    home: Home = None,
    checkpoints: Checkpoints = None,
    preset: PresetOption = Preset.TINY,
    tokens: TokensOption = None,
    view: ViewOption = View.RAW,
    top: Annotated[int, typer.Option(min=1, help="Matrices shown.")] = 12,
    plot: PlotOption = None,
    form: FormatOption = MachineFormat.TEXT,
) -> None:
    """Show which stage of training wrote the direction that tells an author's code, and where it is read.

    Stages are base, team and author; with --checkpoints, of a base's own training from one kept checkpoint to
    the next.
    """
    from service.cli.develop_stages_tables import render_stages
    from service.flows.development.stages import report_author_stages, report_checkpoint_stages
    from service.flows.opened import open_profile

    config = _config(preset, tokens)
    with stages() as report:
        opened = open_profile(find_repository(repo), settings_for(home), report)
        found = (
            report_author_stages(opened, author, config, view.value)
            if checkpoints is None
            else report_checkpoint_stages(opened, author, checkpoints, config)
        )
    if plot is not None:
        from fingerprint.development.stage_plots import plot_stages

        plot_stages(found, plot)
    _answer(found, form, lambda: list(render_stages(found, top)))


def develop_emergence(
    author: Annotated[
        str | None, typer.Option("--author", help="Whose code is told from the others'.", show_default=False)
    ] = None,
    label: Annotated[
        Label, typer.Option("--label", help="Authorship, or correct lines against mutants proven by tests.")
    ] = Label.AUTHOR,
    checkpoints: Checkpoints = None,
    repo: Repo = HERE,
    home: Home = None,
    preset: PresetOption = Preset.TINY,
    tokens: TokensOption = None,
    view: ViewOption = View.RAW,
    most: Annotated[
        int, typer.Option("--most", min=2, help="Checkpoints read, evenly over the series.")
    ] = 12,
    dictionary: Annotated[
        bool,
        typer.Option(
            "--dictionary/--no-dictionary", help="Train a dictionary at every checkpoint of a base."
        ),
    ] = True,
    nulls: NullsOption = None,
    plot: PlotOption = None,
    form: FormatOption = MachineFormat.TEXT,
) -> None:
    """Show when the readings that tell an author's code, or a correct line, appear along checkpoints.

    Without --checkpoints, along the author's own recorded training (`routeprint develop record`), beside the
    shuffled authors that were recorded with it.
    """
    from service import ServiceError
    from service.cli.develop_stages_tables import render_timeline
    from service.flows.development.emergence import beside_nulls, measure_emergence
    from service.flows.development.record import load_nulls
    from service.flows.opened import open_profile

    if author is None and (label is Label.AUTHOR or checkpoints is None):
        raise ServiceError("name the author with --author; only --label correctness --checkpoints needs none")
    config = _config(preset, tokens)
    with stages() as report:
        opened = open_profile(find_repository(repo), settings_for(home), report)
        texts = _labelled(opened, author, label, config, view)
        folder = checkpoints or _recorded(repo, home, author or "", report)
        found = measure_emergence(
            opened, texts, folder, config, dictionaries=_dictionary(preset) if dictionary else None,
            n_most=most,
        )  # fmt: skip
        if checkpoints is None:
            found = beside_nulls(found, opened, texts, load_nulls(opened, nulls), config, n_most=most)
    if plot is not None:
        from fingerprint.development.stage_plots import plot_timeline

        plot_timeline(found, plot)
    _answer(found, form, lambda: list(render_timeline(found)))


def develop_evasion(
    repo: Repo = HERE,
    home: Home = None,
    against: Annotated[
        Side,
        typer.Option(
            "--against",
            help="sample: the sample's agent, which imitates; agents: declared ones; foreign: other code.",
        ),
    ] = Side.FOREIGN,
    texts: Annotated[int, typer.Option("--texts", min=12, help="Texts of either side.")] = 60,
    null_repo: Annotated[
        Path | None,
        typer.Option(
            "--null-repo",
            help="Other code in the team's languages (foreign); without, the settings' or Python's library.",
            show_default=False,
        ),
    ] = None,
    preset: PresetOption = Preset.TINY,
    plot: PlotOption = None,
    form: FormatOption = MachineFormat.TEXT,
) -> None:
    """Show who still sees foreign code after it was formatted, renamed or made to imitate the team."""
    from service.cli.develop_stages_tables import render_evasion
    from service.flows.development.evasion import hands_case, history_case, report_evasion_of
    from service.flows.opened import open_profile

    settings = settings_for(home)
    if null_repo is not None:
        settings = settings.model_copy(update={"null_repo": null_repo.expanduser()})
    with stages() as report:
        opened = open_profile(find_repository(repo), settings, report)
        case = (
            hands_case(opened, _hands(texts))
            if against is Side.SAMPLE
            else history_case(opened, "agents" if against is Side.AGENTS else "foreign", texts)
        )
        found = report_evasion_of(opened, case, _config(preset, None), _dictionary(preset))
    if plot is not None:
        from fingerprint.development.stage_plots import plot_evasion

        plot_evasion(found, plot)
    _answer(found, form, lambda: list(render_evasion(found)))


def _labelled(
    opened: OpenedProfile, author: str | None, label: Label, config: ProbeConfig, view: View
) -> Labelled:
    from service.flows.development.units import author_label, correctness_label

    if label is Label.AUTHOR:
        return author_label(opened, author or "", config.most_tokens, view.value)
    from fingerprint.development.pairs.make import PairConfig
    from service.flows.development.pairs import read_tasks, store_pairs

    bench = opened.bench
    made = store_pairs(bench.store.home, read_tasks(), PairConfig(), bench.report)
    return correctness_label(made.pairs.pairs, config.most_tokens)


def _recorded(repo: Path, home: Path | None, author: str, report: Progress) -> Path:
    """The states of an author's recorded training."""
    from service.flows.development.record import author_of, load_recording
    from service.flows.opened import open_profile

    opened = open_profile(find_repository(repo), settings_for(home), report)
    return load_recording(opened, author_of(opened, author)).place / "states"


def _hands(n: int) -> list[tuple[str, Mapping[str, Sequence[str]]]]:
    """Functions that the sample has not opened, in the team's hand, the agent's and its imitations."""
    from service.sample.imitation import IMITATIONS, write_hands

    return [(piece.path, piece.lines) for piece in write_hands(n, 0, IMITATIONS)]


def _config(preset: Preset, tokens: int | None) -> ProbeConfig:
    from fingerprint.development.probe_config import ProbeConfig

    start = ProbeConfig.full() if preset is Preset.FULL else ProbeConfig.tiny()
    return start if tokens is None else start.model_copy(update={"most_tokens": tokens})


def _dictionary(preset: Preset) -> SaeConfig:
    """Small enough to be trained at every checkpoint: a latent must only be there, not be described."""
    from fingerprint.sae.config import SaeConfig

    if preset is Preset.FULL:
        return SaeConfig.full().model_copy(update={"tokens": 20_000_000, "n_latents": 8_192})
    small = {"n_latents": 512, "k": 16, "tokens": _DICTIONARY_TOKENS, "batch_tokens": 1_024}
    sizes = {"shuffle_tokens": 16_384, "sample_tokens": 8_192, "dead_tokens": 20_000}
    return SaeConfig.model_validate(SaeConfig.tiny().model_dump() | small | sizes)


def _answer(found: BaseModel, form: MachineFormat, tables: Callable[[], list[RenderableType]]) -> None:
    if form is MachineFormat.JSON:
        show(json.dumps(found.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n")
        return
    for part in tables():
        show(part)
