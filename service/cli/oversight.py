"""Commands about what people decided: the audit log, and what is muted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from service.cli.console import HERE, Home, show
from service.cli.kept import KeptRepo, require_kept
from service.cli.profiles import Format, FormatOption
from service.cli.work import asking_on

if TYPE_CHECKING:
    from service.db.tables import Acceptance

mutes = typer.Typer(help="What people muted on GitHub: it is not scored.", no_args_is_help=True)


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.add_typer(mutes, name="mutes")
    app.command()(audit)


@mutes.command("list")
def list_(repo: KeptRepo = HERE, home: Home = None) -> None:
    """List the paths that are muted, for good or in one pull request, with who did it and why."""
    from rich.table import Table
    from rich.text import Text

    from service.db.queries.pulls import list_mutes
    from service.db.queries.repositories import number_of
    from service.reports.escape import visible

    with asking_on(home) as asking, asking.database.reading() as session:
        rows = list_mutes(session, number_of(require_kept(session, repo)))
    table = Table(box=None, padding=(0, 2), pad_edge=False, header_style="dim")
    for heading in ("id", "path", "where", "by", "since", "reason"):
        table.add_column(heading)
    for row in rows:
        told = (str(row.id), row.path, _where(row), row.by, f"{row.at:%Y-%m-%d}", row.reason)
        table.add_row(*(Text(visible(word)) for word in told))
    show(table)


def _where(row: Acceptance) -> str:
    where = "everywhere" if row.number is None else f"#{row.number}"
    return where if row.until is None else f"{where}, until {row.until:%Y-%m-%d}"


@mutes.command("lift")
def lift(
    number: Annotated[int, typer.Argument(help="The mute's id, as `mutes list` shows it.")],
    by: Annotated[str, typer.Option("--by", help="Who says so, for the record.")] = "command line",
    repo: KeptRepo = HERE,
    home: Home = None,
) -> None:
    """Let a muted path be scored again, from the next review on."""
    from service.db.queries.people import audit as write_down
    from service.db.queries.pulls import withdraw
    from service.db.queries.repositories import number_of

    with asking_on(home) as asking, asking.database.writing() as session:
        repository = number_of(require_kept(session, repo))
        path = withdraw(session, repository, number).path
        write_down(session, by, "lift mute", f"repository {repository}", {"path": path})
    show(f"{path} is scored again\n")


def audit(
    about: Annotated[
        str | None, typer.Option("--about", help="Only of this, such as 'token 3' or 'author 12'.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Events shown, newest first.")] = 50,
    form: FormatOption = Format.TEXT,
    home: Home = None,
) -> None:
    """Show the audit log: who did what to what, and who read a person's data."""
    import json

    from rich.table import Table
    from rich.text import Text

    from service.db.queries.audit import list_newest
    from service.reports.escape import visible

    with asking_on(home) as asking, asking.database.reading() as session:
        rows = list_newest(session, about, limit)
    if form is Format.JSON:
        told = [row.model_dump(mode="json") for row in rows]
        show(json.dumps(told, indent=2) + "\n")
        return
    table = Table(box=None, padding=(0, 2), pad_edge=False, header_style="dim")
    for heading in ("when", "who", "what", "about", "details"):
        table.add_column(heading)
    for row in rows:
        details = ", ".join(f"{name}: {value}" for name, value in row.details.items())
        words = (f"{row.at:%Y-%m-%d %H:%M:%S}", row.who, row.what, row.target, details)
        table.add_row(*(Text(visible(word)) for word in words))
    show(table)
