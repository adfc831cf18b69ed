"""Commands about the API's tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from service.cli.console import Home, note, settings_for, show

if TYPE_CHECKING:
    from datetime import datetime

    from service.db.session import Database, Session
    from service.db.states import Role
    from service.db.tables import ApiToken, Author

_group = typer.Typer(help="Tokens of the HTTP API.", no_args_is_help=True)


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.add_typer(_group, name="tokens")


@_group.callback()
def tokens() -> None:
    """Tokens of the HTTP API."""


@_group.command()
def create(
    name: Annotated[str, typer.Argument(help="What it is for; the audit log shows it.")],
    role: Annotated[
        str, typer.Option("--role", help="admin, member, or self (one person's own data alone).")
    ] = "member",
    repository: Annotated[
        str | None, typer.Option("--repository", help="For self: the repository the author is of.")
    ] = None,
    author: Annotated[
        str | None, typer.Option("--author", help="For self: the author's key, such as human:jane-doe.")
    ] = None,
    days: Annotated[int, typer.Option("--days", min=0, help="Days until it expires; 0: never.")] = 365,
    home: Home = None,
) -> None:
    """Make a token and print it, this once: only its digest is kept."""
    from datetime import timedelta

    from service.db.columns import now
    from service.db.queries.people import audit
    from service.db.queries.tokens import create_token

    who = _who()
    with _database(home).writing() as session:
        found = _find_author(session, repository, author)
        ends = now() + timedelta(days=days) if days else None
        token, secret = create_token(
            session, name, _role(role), author=found, created_by=who, expires_at=ends
        )
        audit(session, who, "token.create", f"token {token.id}", {"name": name, "role": role})
    show(f"{secret}\n")
    note(f"token {token.id}, {role}, {_until(ends)}; it cannot be shown again")


@_group.command(name="list")
def show_all(home: Home = None) -> None:
    """List the tokens, without their secrets."""
    from rich.table import Table

    from service.db.queries.tokens import list_tokens

    with _database(home).reading() as session:
        found = list_tokens(session)
    table = Table("id", "name", "role", "for", "last used", "state", box=None)
    for token in found:
        used = "never" if token.last_used_at is None else f"{token.last_used_at:%Y-%m-%d %H:%M}"
        table.add_row(str(token.id), token.name, token.role.value, token.subject, used, _state(token))
    show(table)


@_group.command()
def revoke(
    number: Annotated[int, typer.Argument(help="The token's id, as `tokens list` shows it.")],
    home: Home = None,
) -> None:
    """Make a token useless at once."""
    from service.db.columns import now
    from service.db.queries.people import audit
    from service.db.queries.tokens import revoke_token

    with _database(home).writing() as session:
        token = revoke_token(session, number, now())
        audit(session, _who(), "token.revoke", f"token {number}")
    show(f"revoked token {number} ({token.name})\n")


def _database(home: Home) -> Database:
    from service.db.migrate import upgrade
    from service.db.session import connect

    database = connect(settings_for(home))
    upgrade(database)
    return database


def _role(name: str) -> Role:
    from service import ServiceError
    from service.db.states import Role

    try:
        return Role(name)
    except ValueError:
        raise ServiceError(f"expected the role admin, member or self, saw {name!r}") from None


def _find_author(session: Session, repository: str | None, key: str | None) -> Author | None:
    from service import ServiceError
    from service.db.queries.people import find_author
    from service.db.queries.repositories import find_repository, number_of

    if key is None and repository is None:
        return None
    if key is None or repository is None:
        raise ServiceError("--repository and --author go together: keys are unique only within a repository")
    return find_author(session, number_of(find_repository(session, repository)), key)


def _who() -> str:
    """Whoever runs the command, as the system knows them."""
    import getpass

    try:
        return f"{getpass.getuser()} at the command line"
    except (KeyError, OSError):  # a container's user need not have a name
        return "the command line"


def _until(ends: datetime | None) -> str:
    return "never expires" if ends is None else f"until {ends:%Y-%m-%d}"


def _state(token: ApiToken) -> str:
    from service.db.columns import now

    if token.revoked_at is not None:
        return "revoked"
    if token.expires_at is not None and token.expires_at <= now():
        return "expired"
    return _until(token.expires_at)
