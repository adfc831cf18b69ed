"""Commands that look inside a profile's models: decompose train, edit, alive, labels; attribute."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from service.cli.console import HERE, Home, Repo, find_repository, settings_for, show, stages
from service.cli.dictionary import Preset
from service.cli.labels import Asked, LabelAuthor, LabelTeam, LanguageModel, MachineFormat, show_labels
from service.cli.pages import (
    Out,
    PageFormat,
    PageFormatOption,
    cards_beside,
    check_out,
    reproducing,
    show_page,
)
from service.cli.profiles import Format, FormatOption

if TYPE_CHECKING:
    from pydantic import BaseModel

    from fingerprint.attribution.prompts import Prompt
    from fingerprint.vpd.config import VpdConfig
    from service.flows.opened import OpenedProfile
    from service.reports.page import Page


T = TypeVar("T")


class Nodes(StrEnum):
    """What the nodes of a graph are."""

    AUTO = "auto"
    COMPONENTS = "components"
    ROUTES = "routes"


class Importance(StrEnum):
    """What an open gate costs, as `VpdConfig.importance`."""

    SMOOTH_L0 = "smooth-l0"
    LP = "lp"


PresetOption = Annotated[Preset, typer.Option("--preset", help="Dials: the embedded base, or 1.5B on a GPU.")]
Steps = Annotated[int | None, typer.Option(min=1, help="Optimiser steps instead of the preset's.")]
Rows = Annotated[int | None, typer.Option(min=1, help="Rows of a batch instead of the preset's.")]
RowTokens = Annotated[int | None, typer.Option(min=8, help="Longest row instead of the preset's.")]
Sparsity = Annotated[
    list[float] | None,
    typer.Option("--sparsity", help="Sparsity coefficient; given several times, the sparsest that recovers."),
]
Starts = Annotated[
    int,
    typer.Option("--starts", min=1, help="Starts of every run; the one whose objective ends lowest counts."),
]
Width = Annotated[
    int | None,
    typer.Option("--gate-width", min=1, help="Width of the gating network instead of the preset's."),
]
Seed = Annotated[int, typer.Option(help="Start, sources, subsets.")]
ImportanceOption = Annotated[
    Importance,
    typer.Option("--importance", help="What an open gate costs: smooth L0, or the paper's L_p."),
]
AuthorOption = Annotated[
    str | None, typer.Option("--author", help="This author's adapter; default: the team's.")
]

decompose = typer.Typer(
    name="decompose",
    help="Decompose the base's weights or an adapter's edit into rank-1 parts, and compare alive sets.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.add_typer(decompose)
    app.command()(attribute)
    app.command("reproduce-seed")(reproduce)


@decompose.command("train")
def train_dictionary(
    repo: Repo = HERE,
    home: Home = None,
    layers: Annotated[
        list[int] | None,
        typer.Option("--layer", min=0, help="Only this layer, from 0. Repeatable; default: all."),
    ] = None,
    matrices: Annotated[
        list[str] | None,
        typer.Option("--matrix", help="Only this matrix, as v_proj. Repeatable; default: all."),
    ] = None,
    preset: PresetOption = Preset.TINY,
    steps: Steps = None,
    rows: Rows = None,
    row_tokens: RowTokens = None,
    gate_width: Width = None,
    coefficients: Sparsity = None,
    starts: Starts = 1,
    seed: Seed = 0,
    importance: ImportanceOption = Importance.SMOOTH_L0,
    form: FormatOption = Format.TEXT,
) -> None:
    """Decompose the base's weights, several layers jointly: the dictionary of `decompose alive`."""
    from service.flows import decomposition
    from service.reports.decomposition import dictionary_page

    config = _config(
        preset, importance, steps=steps, rows=rows, row_tokens=row_tokens, gate_width=gate_width, seed=seed
    )
    found = _run(
        repo,
        home,
        lambda opened: decomposition.train_dictionary(
            opened, layers or (), matrices or (), config, coefficients or (), starts
        ),
    )
    _show(found, dictionary_page(found), form)


@decompose.command("edit")
def decompose_edit(
    repo: Repo = HERE,
    home: Home = None,
    author: AuthorOption = None,
    preset: PresetOption = Preset.TINY,
    steps: Steps = None,
    rows: Rows = None,
    row_tokens: RowTokens = None,
    gate_width: Width = None,
    coefficients: Sparsity = None,
    starts: Starts = 1,
    seed: Seed = 0,
    importance: ImportanceOption = Importance.SMOOTH_L0,
    form: FormatOption = Format.TEXT,
) -> None:
    """Say which rank-1 edits of an adapter matter (LoRA-VPD), beside singular terms and a null adapter."""
    from service.flows import decomposition
    from service.reports.decomposition import edit_page

    config = _config(
        preset, importance, steps=steps, rows=rows, row_tokens=row_tokens, gate_width=gate_width, seed=seed
    )
    found = _run(
        repo,
        home,
        lambda opened: decomposition.decompose_adapter(opened, author, config, coefficients or (), starts),
    )
    _show(found, edit_page(found), form)


@decompose.command("alive")
def compare_alive(
    repo: Repo = HERE,
    home: Home = None,
    author: AuthorOption = None,
    tokens: Annotated[int, typer.Option(min=1, help="Scored tokens read, about.")] = 8_000,
    form: FormatOption = Format.TEXT,
) -> None:
    """Show which components of the base an adapter wakes or silences: one dictionary, the same tokens."""
    from service.flows import decomposition
    from service.reports.decomposition import alive_page

    found = _run(repo, home, lambda opened: decomposition.compare_alive(opened, author, n_tokens=tokens))
    if form is Format.JSON:
        from json import dumps

        both = {"alive": found.alive.model_dump(mode="json"), "span": found.span.model_dump(mode="json")}
        show(dumps(both, indent=2, ensure_ascii=False) + "\n")
    else:
        _show(found.alive, alive_page(found.alive, found.span), form)


@decompose.command("labels")
def label_components(
    repo: Repo = HERE,
    home: Home = None,
    author: LabelAuthor = None,
    team: LabelTeam = False,
    page: Annotated[int, typer.Option(min=0, help="Page of fifty components, from 0.")] = 0,
    component: Annotated[
        str | None,
        typer.Option("--component", help="Show all that is kept of one, as L3__self_attn_v_proj:5."),
    ] = None,
    language_model: LanguageModel = False,
    form: Annotated[MachineFormat, typer.Option("--format", help="How the answer is written.")] = (
        MachineFormat.TEXT
    ),
    browse: Annotated[
        Path | None, typer.Option("--browse", help="Write all components here, as a page that searches.")
    ] = None,
) -> None:
    """Name the components of the decomposed base, with what each name is worth; the service shows them too.

    Without --author or --team the base is read. Of an adapted state, labels of the base too are marked, and
    what `decompose alive` said of a component stands beside it.
    """
    from service.flows.browsable import Browsable, components_of, number_of
    from service.flows.decomposition import load_dictionary

    def choose(opened: OpenedProfile) -> tuple[Browsable, int | None]:
        dictionary = load_dictionary(opened)
        number = None if component is None else number_of(dictionary, component)
        return components_of(opened, dictionary), number

    command = ("decompose", "labels")
    show_labels(Asked(command, repo, home, author, team, page, language_model, form, browse), choose)


def attribute(
    prompt: Annotated[
        str | None,
        typer.Argument(help="Code to continue; without one, the default prompts.", show_default=False),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option("--target", help="Next token whose logit is explained, the same in both models."),
    ] = None,
    against: Annotated[
        str | None, typer.Option("--against", help="Explain the target's logit minus this token's.")
    ] = None,
    repo: Repo = HERE,
    home: Home = None,
    author: AuthorOption = None,
    nodes: Annotated[
        Nodes,
        typer.Option("--nodes", help="Components of the base's dictionary, or routes, which need none."),
    ] = Nodes.AUTO,
    defaults: Annotated[
        bool, typer.Option("--defaults", help="Ask the default prompts too, beside the one that is given.")
    ] = False,
    other: Annotated[
        str | None, typer.Option("--transplant", help="Swap routes with this author, on both's later code.")
    ] = None,
    form: PageFormatOption = PageFormat.TEXT,
    out: Out = None,
    cards: Annotated[
        Path | None,
        typer.Option("--cards", help="File of `decompose labels --browse`, whose cards the page links to."),
    ] = None,
) -> None:
    """Say which parts of base and adapted model raise a token after a prompt, and what ablating them does."""
    from service.flows import attribution
    from service.reports.attribution import attribution_page

    check_out(form, out)
    beside = cards_beside(cards, out)
    asked = _asked(prompt, target, against, with_defaults=defaults)
    found = _run(
        repo,
        home,
        lambda opened: attribution.attribute(opened, asked, author, nodes=nodes.value, other=other),
    )
    if form is PageFormat.HTML:
        from service.reports.pages.graph import graph_page

        asked_for = [word for word in (prompt,) if word is not None]
        named = {"--target": target, "--against": against, "--repo": str(repo), "--author": author}
        named |= {"--transplant": other, "--cards": None if cards is None else str(cards)}
        asked_for += [word for name, value in named.items() if value is not None for word in (name, value)]
        asked_for += ["--defaults"] if defaults else []
        command = reproducing("attribute", [*asked_for, "--nodes", nodes.value], out)
        page = graph_page(found, repository=find_repository(repo).name, command=command, cards=beside)
        show_page(page, out)
        return
    _show(found, attribution_page(found), Format(form.value))


def _asked(
    prompt: str | None, target: str | None, against: str | None, *, with_defaults: bool
) -> Sequence[Prompt]:
    """The prompt of the command and the default ones, or these alone.

    Raises:
        ServiceError: a prompt without a target, or the other way round.
    """
    from fingerprint.attribution.prompts import DEFAULT_PROMPTS, Prompt
    from service import ServiceError

    if (prompt is None) != (target is None):
        raise ServiceError("give a prompt and --target together, or neither for the default prompts")
    if prompt is None or target is None:
        return DEFAULT_PROMPTS
    own = Prompt("prompt", prompt, target, against)
    return (own, *DEFAULT_PROMPTS) if with_defaults else (own,)


def reproduce(
    repo: Repo = HERE,
    home: Home = None,
    base: Annotated[str, typer.Option("--base", help="Base model.")] = "Qwen/Qwen2.5-Coder-1.5B",
    revision: Annotated[str | None, typer.Option("--revision", help="Commit of a hub base.")] = None,
    form: FormatOption = Format.TEXT,
) -> None:
    """Run the cases that the idea came from: what a team's code does to `pub use crate::`, asked in 24 ways.

    Learns the repository's code on the base (as `profile` does, stored like it) and asks base, adapter and
    null adapter. The default base wants a GPU and a hub; where there is none the answer is UNRUN, and why.
    """
    from fingerprint.config import ProfileConfig
    from service.flows.seed import reproduce_seed
    from service.reports.seed import seed_page

    settings, repository = settings_for(home), find_repository(repo)
    with stages() as told:
        found = reproduce_seed(repository, settings, ProfileConfig(base=base, revision=revision), told)
    _show(found, seed_page(found), form)


def _run(repo: Path, home: Path | None, work: Callable[[OpenedProfile], T]) -> T:
    """Open the profile and work on it, with progress."""
    from service.flows.opened import open_profile

    settings, repository = settings_for(home), find_repository(repo)
    with stages() as told:
        return work(open_profile(repository, settings, told))


def _config(preset: Preset, importance: Importance, **changes: int | None) -> VpdConfig:
    """The preset's dials, with what the command says."""
    from fingerprint.vpd.config import VpdConfig

    config = VpdConfig.tiny() if preset is Preset.TINY else VpdConfig.full()
    said = {name: value for name, value in changes.items() if value is not None}
    return config.model_copy(update={"importance": importance.value, **said})


def _show(answer: BaseModel, page: Page, form: Format) -> None:
    from service.reports.page import render, render_markdown

    if form is Format.JSON:
        show(answer.model_dump_json(indent=2) + "\n")
    else:
        show(render_markdown(page) if form is Format.MARKDOWN else render(page))
