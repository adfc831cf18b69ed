"""What ``sae labels`` and ``decompose labels`` have in common: words for the parts of a dictionary."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli.console import find_repository, note, settings_for, show, stages

if TYPE_CHECKING:
    from service.flows.browsable import Browsable
    from service.flows.labelling import Labelled
    from service.flows.opened import OpenedProfile


class MachineFormat(StrEnum):
    """How an answer is written."""

    TEXT = "text"
    JSON = "json"


LabelAuthor = Annotated[
    str | None, typer.Option("--author", help="As one author's adapter fires (key, name or address).")
]
LabelTeam = Annotated[bool, typer.Option("--team", help="As the team's adapter fires.")]
LanguageModel = Annotated[
    bool,
    typer.Option(
        "--language-model",
        help="Ask the endpoint of ROUTEPRINT_LABEL_URL about this page; sends windows of code there.",
    ),
]


@dataclass(frozen=True)
class Asked:
    """What a command asks.

    Attributes:
        command: its words. author, team: whose firings; neither: the base's. page: of fifty.
        browse: where all are written as a page that searches.
    """

    command: tuple[str, str]
    repo: Path
    home: Path | None
    author: str | None
    team: bool
    page: int
    language_model: bool
    form: MachineFormat
    browse: Path | None


def show_labels(asked: Asked, choose: Callable[[OpenedProfile], tuple[Browsable, int | None]]) -> None:
    """Label a state's parts and show a page of them, one, or all.

    Args:
        choose: the dictionary, and the number of the one part to show; None: a page.
    """
    from fingerprint.harvest.store import PAGE
    from service.cli.label_tables import render_component, render_page, to_machine
    from service.flows.labelling import BASE, endpoint_of, label_page_by_model, label_state, page_of
    from service.flows.opened import open_profile

    endpoint = endpoint_of(settings_for(asked.home)) if asked.language_model else None
    if endpoint is not None:
        note(f"Windows of this repository's code are sent to {endpoint.url}.")
    with stages() as report:
        opened = open_profile(find_repository(asked.repo), settings_for(asked.home), report)
        what, number = choose(opened)
        who = "team" if asked.team else BASE
        if asked.author is not None:
            who = opened.author_of(asked.author)
        page = asked.page if number is None else number // PAGE
        found = (
            label_state(opened, what, who)
            if endpoint is None
            else label_page_by_model(opened, what, who, page, endpoint)
        )
    if who != BASE and found.changes is None:
        note(f"`routeprint {what.measured_by}` measures which of them change.")
    if asked.browse is not None:
        _browse(found, who, asked, asked.browse)
        return
    rows = [row for row in page_of(found, page) if number is None or row[0].number == number]
    if asked.form is MachineFormat.JSON:
        show(json.dumps(to_machine(found, who, rows), indent=2, ensure_ascii=False) + "\n")
        return
    parts = render_page(found, who, page, rows) if number is None else render_component(found, rows[0])
    for part in parts:
        show(part)


def _browse(found: Labelled, who: str, asked: Asked, out: Path) -> None:
    """Every labelled part in one self-contained page."""
    from service.cli.pages import show_page
    from service.flows.labelling import browsed
    from service.reports.pages.components import components_page

    state = [] if who == "base" else ["--team"] if who == "team" else ["--author", who]
    line = ["routeprint", *asked.command, "--repo", str(asked.repo), *state, "--browse", str(out)]
    show_page(components_page(browsed(found), model=who, command=shlex.join(line)), out)
