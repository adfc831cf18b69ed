"""Commands about signatures and people in the service: versions, files, consent, forgetting."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli.console import HERE, Home, settings_for, show
from service.cli.kept import KeptRepo, keep_folder, require_kept
from service.cli.work import asking_on
from service.db.states import ConsentState

if TYPE_CHECKING:
    from collections.abc import Iterator

    from service.db.session import Session
    from service.db.tables import Author, Signature
    from service.enqueue import Enqueuer

signatures = typer.Typer(help="Versions of a repository's signatures.", no_args_is_help=True)
teams = typer.Typer(help="Teams within one repository, by paths.", no_args_is_help=True)
people = typer.Typer(help="What people agreed to, and forgetting them.", no_args_is_help=True)
Scope = Annotated[
    str, typer.Option("--scope", help="Whose signature: team:<name> (team: is the whole) or author:<key>.")
]
Person = Annotated[str, typer.Argument(help="The person's key, as `routeprint authors` shows it.")]
By = Annotated[str, typer.Option("--by", help="Who says so, for the record.")]


@contextmanager
def _rows_of(repo: Path, home: Home) -> Iterator[tuple[Session, int]]:
    """A transaction, and the number of a repository that is registered."""
    from service.db.queries.repositories import number_of

    with asking_on(home) as asking, asking.database.writing() as session:
        yield session, number_of(require_kept(session, repo))


def _keep_person(asking: Enqueuer, repo: Path, home: Home, person: str) -> tuple[Author, int]:
    """The row of a person of an ingested repository, and the repository's number; made if there are none."""
    from service.db.queries.people import UnknownPersonError, keep_author
    from service.db.queries.people import find_author as find_row
    from service.db.queries.repositories import number_of
    from service.flows.ingest import load_ingested
    from service.flows.team import find_author

    with asking.database.writing() as session:
        kept = keep_folder(session, repo)
        place, number = Path(kept.path), number_of(kept)
        with suppress(UnknownPersonError):  # what was read of somebody half forgotten is gone already
            row = find_row(session, number, person)
            session.expunge(row)
            return row, number
    author = find_author(load_ingested(place, settings_for(home)).authors, person)
    with asking.database.writing() as session:
        row = keep_author(session, number, author.key, name=author.name, kind=author.kind, tier=author.tier)
        session.expunge(row)
    return row, number


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.add_typer(signatures, name="signatures")
    app.add_typer(teams, name="teams")
    app.add_typer(people, name="people")


@teams.command("list")
def list_teams(repo: KeptRepo = HERE, home: Home = None) -> None:
    """List a repository's teams with their paths; the whole repository is the team without a name."""
    from rich.table import Table
    from rich.text import Text

    from service.db.queries.repositories import list_teams as list_teams_of
    from service.reports.escape import visible

    with _rows_of(repo, home) as (session, number):
        rows = [(row.name, list(row.paths), row.with_agents) for row in list_teams_of(session, number)]
    table = Table(box=None, padding=(0, 2), pad_edge=False, header_style="dim")
    for heading in ("team", "paths", "agents"):
        table.add_column(heading)
    for name, patterns, with_agents in rows:
        paths = Text(visible(", ".join(patterns) or "the whole repository"))
        table.add_row(Text(visible(name or "-")), paths, "enrolled" if with_agents else "left out")
    show(table)


@teams.command("keep")
def keep_team(
    name: Annotated[str, typer.Argument(help="The team's name.")],
    paths: Annotated[
        list[str], typer.Option("--paths", help="Only files whose whole path fits, as 'src/*'. Repeatable.")
    ],
    *,
    with_agents: Annotated[bool, typer.Option("--with-agents", help="Enrol declared agents.")] = False,
    by: By = "command line",
    repo: KeptRepo = HERE,
    home: Home = None,
) -> None:
    """Add a team, or give it other paths. `routeprint jobs ask profile --team NAME` learns its signature."""
    from service.db.queries.people import audit
    from service.db.queries.repositories import keep_team as keep

    with _rows_of(repo, home) as (session, number):
        keep(session, number, name, paths, with_agents=with_agents)
        audit(session, by, "keep team", f"{name} of repository {number}", {"paths": paths})
    show(f"{name} is whoever writes {', '.join(paths)}\n")


@signatures.command("list")
def list_(repo: KeptRepo = HERE, home: Home = None) -> None:
    """List versions, newest first, and say which one reviews score with."""
    from rich.table import Table
    from rich.text import Text

    from service.db.queries.signatures import current_version, list_versions
    from service.reports.escape import visible

    with _rows_of(repo, home) as (session, number):
        rows = list_versions(session, number)
        used = {scope: current_version(session, number, scope) for scope in {row.scope for row in rows}}
    table = Table(box=None, padding=(0, 2), pad_edge=False, header_style="dim")
    for heading in ("scope", "version", "made", "commits", "artifact", ""):
        table.add_column(heading)
    for row in rows:
        is_used = getattr(used[row.scope], "id", None) == row.id
        made, note = f"{row.made_at:%Y-%m-%d}", Text(visible(_note_on(row, is_used)))
        scope = Text(visible(row.scope))
        table.add_row(scope, str(row.version), made, str(row.n_commits), row.artifact[:12], note)
    show(table)


def _note_on(row: Signature, is_used: bool) -> str:
    notes = [
        "in use" if is_used else "",
        "pinned" if row.is_pinned else "",
        f"stale: {row.stale_reason}" if row.stale_reason else "",
        f"withdrawn: {row.withdrawn_reason}" if row.withdrawn_reason else "",
    ]
    return ", ".join(note for note in notes if note)


@signatures.command("pin")
def pin(
    version: Annotated[int, typer.Argument(min=0, help="The version to keep; 0 lets the newest be used.")],
    scope: Scope = "team:",
    by: By = "command line",
    repo: KeptRepo = HERE,
    home: Home = None,
) -> None:
    """Keep scoring with one version, whatever is learned later."""
    from service.db.queries import signatures as rows
    from service.db.queries.people import audit

    with _rows_of(repo, home) as (session, number):
        if version:
            rows.pin(session, number, scope, version)
        else:
            rows.unpin(session, number, scope)
        audit(
            session,
            by,
            "pin" if version else "unpin",
            f"{scope} of repository {number}",
            {"version": version},
        )
        present = rows.current_version(session, number, scope)
    show(f"{scope} is scored with version {present.version if present else 'none'}\n")


@signatures.command("rollback")
def rollback(
    reason: Annotated[str, typer.Option("--reason", help="Why, for the record.")],
    scope: Scope = "team:",
    by: By = "command line",
    repo: KeptRepo = HERE,
    home: Home = None,
) -> None:
    """Withdraw the version in use; the one before it is used. Verdicts made with it keep its name."""
    from service.db.queries.people import audit
    from service.db.queries.signatures import roll_back

    with _rows_of(repo, home) as (session, number):
        present = roll_back(session, number, scope, reason)
        audit(session, by, "roll back", f"{scope} of repository {number}", {"reason": reason})
    show(f"{scope} is scored with version {present.version}\n")


@signatures.command("export")
def export(
    target: Annotated[Path, typer.Argument(help="The file to write.")],
    version: Annotated[int, typer.Option(min=0, help="The version; 0 for the one in use.")] = 0,
    scope: Scope = "team:",
    repo: KeptRepo = HERE,
    home: Home = None,
) -> None:
    """Write a team's signature into one file, with all that scoring needs and nobody's own adapter."""
    from service import ServiceError
    from service.artifacts import ArtifactStore
    from service.db.queries.signatures import current_version, require_version
    from service.flows.transfer import export_signature

    with _rows_of(repo, home) as (session, number):
        row = current_version(session, number, scope)
        row = require_version(session, number, scope, version) if version else row
    if row is None:
        raise ServiceError(f"{scope} has no signature to export; run `routeprint jobs ask profile`")
    facts = {
        "scope": row.scope, "artifact": row.artifact, "base_hash": row.base_hash, "commit": row.commit,
        "config_hash": row.config_hash, "n_commits": row.n_commits, "provenance": row.provenance,
    }  # fmt: skip
    export_signature(ArtifactStore(settings_for(home).home), row.profile, facts, target)
    show(f"{target}: {scope} version {row.version}, {target.stat().st_size:,} bytes\n")


@signatures.command("import")
def import_(
    source: Annotated[Path, typer.Argument(exists=True, help="A file that `export` wrote.")],
    repo: KeptRepo = HERE,
    home: Home = None,
) -> None:
    """Read an exported signature, every part checked against its digest, as a new version."""
    from service.artifacts import ArtifactStore
    from service.db.queries.repositories import number_of
    from service.db.queries.signatures import NewSignature, add_version
    from service.flows.transfer import import_signature

    profile, facts = import_signature(ArtifactStore(settings_for(home).home), source)
    with asking_on(home) as asking, asking.database.writing() as session:
        number = number_of(keep_folder(session, repo))
        row = add_version(session, NewSignature(repository_id=number, profile=profile, **facts))
    show(f"{row.scope} has version {row.version}\n")


@people.command("consent")
def consent(
    person: Person,
    state: Annotated[ConsentState, typer.Option("--state", help="What the person said.")],
    how: Annotated[str, typer.Option("--how", help="Where it is written down, for the record.")] = "",
    by: By = "command line",
    repo: KeptRepo = HERE,
    home: Home = None,
) -> None:
    """Record whether a person agrees to a signature of their own; without a record there is none.

    Withdrawn, what was learned of them by themselves is deleted.
    """
    from service.db.queries.people import find_author, record_consent
    from service.flows.forgetting import withdraw_person

    with asking_on(home) as asking:
        row, number = _keep_person(asking, repo, home, person)
        with asking.database.writing() as session:
            record_consent(session, find_author(session, number, row.key), state, by, how)
        if state is ConsentState.WITHDRAWN:
            withdraw_person(asking, settings_for(home), number, row.key)
    show(f"{row.key}: consent {state}\n")


@people.command("forget")
def forget(
    person: Person,
    by: By = "command line",
    repo: KeptRepo = HERE,
    home: Home = None,
) -> None:
    """Delete what is kept of a person and learn the team again without them; it cannot be undone."""
    from service.flows.forgetting import forget_person

    with asking_on(home) as asking:
        row, number = _keep_person(asking, repo, home, person)
        n_deleted = forget_person(asking, settings_for(home), number, row.key, by)
    show(f"forgotten; {n_deleted} artifacts deleted, and the team will be learned again\n")
