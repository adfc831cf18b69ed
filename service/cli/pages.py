"""What commands that can answer with a page share."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import quote

import typer

from service.cli.console import note, show

if TYPE_CHECKING:
    from service.reports.pages.page import WebPage


class PageFormat(StrEnum):
    """How an answer is written that is a page too."""

    TEXT = "text"
    JSON = "json"
    MARKDOWN = "markdown"
    HTML = "html"


PageFormatOption = Annotated[
    PageFormat, typer.Option("--format", help="How the answer is written; html is one self-contained file.")
]
Out = Annotated[
    Path | None, typer.Option("--out", help="Write the page here; default: standard output.", dir_okay=False)
]


def check_out(form: PageFormat, out: Path | None) -> None:
    """Say early, before anything is computed, that an answer cannot be written where it should go.

    Raises:
        ServiceError: --out without a page, or into no folder.
    """
    from service import ServiceError

    if out is None:
        return
    if form.value != "html":
        raise ServiceError(f"--out writes a page: give --format html too (now: {form.value})")
    if not out.expanduser().resolve().parent.is_dir():
        raise ServiceError(f"--out {out}: its folder does not exist; make it first")


def reproducing(command: str, options: Sequence[str], out: Path | None) -> str:
    """The command line that makes a page again."""
    place = "page.html" if out is None else str(out)
    return shlex.join(["routeprint", command, *options, "--format", "html", "--out", place])


def cards_beside(cards: Path | None, out: Path | None) -> dict[str, str]:
    """Address of a components browser's file from a page's, for the adapted model; nothing without one.

    Raises:
        ServiceError: there is no such file.
    """
    from service import ServiceError

    if cards is None:
        return {}
    there = cards.expanduser().resolve()
    if not there.is_file():
        raise ServiceError(f"--cards {cards}: no such file; `routeprint decompose labels --browse` writes it")
    here = Path.cwd() if out is None else out.expanduser().resolve().parent
    return {"lora": quote(os.path.relpath(there, here))}


def show_page(page: WebPage, out: Path | None) -> None:
    """Write a page to its file, or to standard output."""
    from service import ServiceError
    from service.reports.pages.page import render_single_file, write_single_file

    if out is None:
        show(render_single_file(page))
        return
    place = out.expanduser().resolve()
    try:
        write_single_file(page, place)
    except OSError as error:
        raise ServiceError(f"the page cannot be written to {out}: {error.strerror}") from error
    note(f"{place} ({place.stat().st_size / 1024:.0f} KB)")
