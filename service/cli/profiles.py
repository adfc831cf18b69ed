"""Commands about a team's profile: profile, rebuild, refresh, report, shift."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli.console import HERE, Home, Repo, commits, find_repository, note, settings_for, show, stages
from service.cli.labels import MachineFormat
from service.cli.pages import Out, PageFormat, PageFormatOption, check_out, reproducing, show_page

if TYPE_CHECKING:
    from fingerprint.config import ProfileConfig
    from service.settings import Settings


class Format(StrEnum):
    """How an answer is written."""

    TEXT = "text"
    JSON = "json"
    MARKDOWN = "markdown"


class View(StrEnum):
    """What a verdict is made of, as `fingerprint.config.View`."""

    FUSED = "fused"
    ROUTES = "routes"


FormatOption = Annotated[Format, typer.Option("--format", help="How the answer is written.")]


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    for command in (profile, rebuild, refresh, report, shift):
        app.command()(command)


def profile(
    repo: Repo = HERE,
    home: Home = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what it would cost, train nothing.")
    ] = False,
    paths: Annotated[
        list[str] | None,
        typer.Option("--paths", help="Only files whose whole path fits, as 'src/*'. Repeatable."),
    ] = None,
    authors: Annotated[
        list[str] | None,
        typer.Option("--authors", help="Only these authors (key, name or address). Repeatable."),
    ] = None,
    with_agents: Annotated[bool, typer.Option("--with-agents", help="Enrol declared agents.")] = False,
    base: Annotated[str | None, typer.Option("--base", help="Base model; default: the embedded one.")] = None,
    revision: Annotated[str | None, typer.Option("--revision", help="Commit of a hub base.")] = None,
    null_repo: Annotated[
        Path | None,
        typer.Option("--null-repo", help="Foreign code for the null; default: Python's own library."),
    ] = None,
    team_tokens: Annotated[
        int | None, typer.Option(min=1, help="Scored tokens the team is trained on.")
    ] = None,
    author_tokens: Annotated[int | None, typer.Option(min=1, help="Scored tokens of each author.")] = None,
    null_sets: Annotated[int | None, typer.Option(min=0, help="Sets of null adapters.")] = None,
    seed: Annotated[int, typer.Option(help="Order of the data.")] = 0,
    view: Annotated[
        View, typer.Option("--view", help="What a verdict is made of: routes and n-grams, or routes alone.")
    ] = View.FUSED,
) -> None:
    """Learn a team's signature from an ingested repository; what is new in its history is read first."""
    from service.flows.ingest import ingest
    from service.flows.profile import profile as run
    from service.flows.team import TeamChoice, find_author
    from service.reports.profile_summary import render

    settings, repository = settings_for(home), find_repository(repo)
    if null_repo is not None:
        settings = settings.model_copy(update={"null_repo": null_repo.expanduser()})
    config = _config(
        settings, base=base, revision=revision, team_tokens=team_tokens, author_tokens=author_tokens,
        n_null_sets=null_sets, with_agents=with_agents, seed=seed, view=view,
    )  # fmt: skip
    with commits() as progress:
        ingested = ingest(repository, settings, progress)
    keys = tuple(sorted({find_author(ingested.authors, word).key for word in authors or ()}))
    choice = TeamChoice(tuple(paths or ()), keys, with_agents)
    if dry_run:
        _show_cost(repository, settings, config, choice)
        return
    with stages() as told:
        summary = run(repository, settings, config, choice=choice, report=told)
    show(render(summary))


def rebuild(
    repo: Repo = HERE,
    home: Home = None,
    base: Annotated[
        str | None, typer.Option("--base", help="Base model; default: the profile's, as it is now.")
    ] = None,
    revision: Annotated[str | None, typer.Option("--revision", help="Commit of a hub base.")] = None,
    form: Annotated[MachineFormat, typer.Option("--format", help="How the answer is written.")] = (
        MachineFormat.TEXT
    ),
) -> None:
    """Make again for another base all that belongs to one: calibration, dictionaries, labels.

    Profiles the repository with the dials that it has, then trains the dictionaries that it had, measures
    what was measured with them, and labels what was labelled. Edits, attribution and explanations are
    asked for again by their own commands. Where the base is the same, everything is found.
    """
    from dataclasses import asdict

    from service.flows.rebuild import rebuild as run
    from service.reports.sheet import Sheet

    settings, repository = settings_for(home), find_repository(repo)
    with stages() as told:
        found = run(repository, settings, base, revision, told)
    if form is MachineFormat.JSON:
        show(json.dumps([asdict(part) for part in found], indent=2, ensure_ascii=False) + "\n")
    else:
        rows = tuple((part.what, "" if part.is_made else "NOT MADE", part.outcome) for part in found)
        show(Sheet("made for this base", ("", "", "what there is"), rows, n_names=3).to_table())


def refresh(repo: Repo = HERE, home: Home = None) -> None:
    """Let what was merged since calibrate the signature: seconds a commit, nothing is trained.

    A team changes, and p-values that are calibrated on its past flag its present. New commits are judged
    first, then take the place of the oldest ones. After many commits, profile again.
    """
    from service.flows.ingest import ingest
    from service.flows.refresh import refresh as run
    from service.reports.wording import percent, plural

    settings, repository = settings_for(home), find_repository(repo)
    with commits() as progress:
        ingest(repository, settings, progress)
    with stages() as told:
        found = run(repository, settings, told)
    judged = next(share for share in found.realised if share["level"] == found.alarm_level)
    show(
        f"{plural(found.n_commits, 'commit')} since; {found.n_taken_in} large enough to calibrate. "
        f"{plural(found.n_calibration, 'commit')} now behind a p-value.\n"
    )
    if judged["n"]:
        show(
            f"Of {plural(judged['n'], 'commit')} judged before they calibrated, {percent(judged['share'])} "
            f"were flagged at {found.alarm_level:g} ({percent(judged['low'])} to "
            f"{percent(judged['high'])}).\n"
        )


def _config(
    settings: Settings, *, base: str | None, revision: str | None, team_tokens: int | None,
    author_tokens: int | None, n_null_sets: int | None, with_agents: bool, seed: int, view: View,
) -> ProfileConfig:  # fmt: skip
    """The dials: defaults, the settings' base, and what the command says."""
    from fingerprint.config import ProfileConfig

    config = ProfileConfig(
        base=base or settings.base, revision=revision or settings.revision, with_agents=with_agents
    )
    changes = {"team_tokens": team_tokens, "author_tokens": author_tokens, "seed": seed}
    adapter = config.adapter.model_copy(update={k: v for k, v in changes.items() if v is not None})
    n_sets = config.n_null_sets if n_null_sets is None else n_null_sets
    drift = config.drift.model_copy(update={"view": view.value})
    return config.model_copy(update={"adapter": adapter, "drift": drift, "n_null_sets": n_sets})


def _show_cost(repository: Path, settings: Settings, config: ProfileConfig, choice: object) -> None:
    from rich.table import Table
    from rich.text import Text

    from service.flows.cost import estimate_profile
    from service.flows.team import TeamChoice
    from service.reports.escape import visible

    assert isinstance(choice, TeamChoice)
    with stages() as told:
        rows = estimate_profile(repository, settings, config, choice=choice, report=told)
    table = Table(box=None, padding=(0, 2), pad_edge=False, header_style="dim")
    for heading in ("step", "tokens there are", "tokens read", "minutes", ""):
        table.add_column(heading, justify="left" if heading in ("step", "") else "right")
    for row in rows:
        table.add_row(
            Text(visible(row.name)),
            f"{row.n_available:,}",
            f"{row.n_read:,}",
            f"{row.seconds / 60:.1f}",
            Text(row.note),
        )
    show(table)
    show(f"About {sum(row.seconds for row in rows) / 60:.0f} minutes on this machine; nothing was trained.\n")


def report(
    repo: Repo = HERE,
    home: Home = None,
    author: Annotated[
        str | None, typer.Option("--author", help="One author alone: start with your own.")
    ] = None,
    form: PageFormatOption = PageFormat.TEXT,
    out: Out = None,
    named: Annotated[
        list[str] | None,
        typer.Option("--named", help="Of the team's page: an author who agreed to be named. Repeatable."),
    ] = None,
) -> None:
    """Show what a profile rests on: commits, tokens, losses beside their nulls, lines left out by reason.

    As a page (--format html) also what moved, words that come back, the drift of the newest commits.
    """
    from service.flows.ingest import load_ingested
    from service.flows.profile import load_summary
    from service.flows.team import find_author
    from service.reports.profile_summary import render, render_markdown

    check_out(form, out)
    settings, repository = settings_for(home), find_repository(repo)
    if form is PageFormat.HTML:
        _show_page(repository, settings, author, named or [], out)
        return
    summary = load_summary(repository, settings)
    if author is not None:
        summary = summary.only(find_author(load_ingested(repository, settings).authors, author).key)
    if form is PageFormat.JSON:
        show(summary.model_dump_json(indent=2) + "\n")
    else:
        show(render_markdown(summary) if form is PageFormat.MARKDOWN else render(summary))


def _show_page(
    repository: Path, settings: Settings, author: str | None, named: list[str], out: Path | None
) -> None:
    """One author's page, or the team's."""
    if author is not None:
        from service.flows.author_page import author_report
        from service.reports.pages.author import author_page

        show_page(author_page(author_report(repository, settings, author)), out)
        return
    from service.flows.team_page import team_report
    from service.reports.pages.team import team_page

    options = ["--repo", str(repository), *(word for name in named for word in ("--named", name))]
    found = team_report(repository, settings, named, reproducing("report", options, out))
    show_page(team_page(found), out)


def shift(
    prompt: Annotated[str, typer.Option("--prompt", help="Code to continue, such as 'pub use crate::'.")],
    repo: Repo = HERE,
    home: Home = None,
    author: Annotated[str | None, typer.Option("--author", help="Add a column for this author.")] = None,
    top: Annotated[int, typer.Option(min=1, max=50, help="Likeliest tokens of each column.")] = 8,
    form: FormatOption = Format.TEXT,
) -> None:
    """Print the next-token table of a prompt: base, team, author."""
    from fingerprint.drift.shift import next_token_table
    from service.flows.ingest import load_ingested
    from service.flows.profile import load_author_adapter, load_profile
    from service.flows.team import find_author
    from service.reports.shift_table import render, render_markdown

    settings, repository = settings_for(home), find_repository(repo)
    loaded = load_profile(repository, settings)
    states = {"base": loaded.routed.zero_weights(), "team": loaded.team.state}
    if author is not None:
        key = find_author(load_ingested(repository, settings).authors, author).key
        states[key] = load_author_adapter(repository, settings, loaded, key).state
    else:
        note("Add --author to see one author's column.")
    table = next_token_table(loaded.routed, states, prompt, top)
    if form is Format.JSON:
        show(json.dumps(table.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n")
    else:
        show(render_markdown(table) if form is Format.MARKDOWN else render(table))
