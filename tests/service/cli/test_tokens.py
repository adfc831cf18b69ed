"""`routeprint tokens`: the secret is printed once and works; everything is written down."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from service import ServiceError
from service.cli.main import app
from service.db.columns import now
from service.db.queries.people import keep_author
from service.db.queries.repositories import keep_repository, number_of
from service.db.queries.tokens import find_token
from service.db.session import Database, connect
from service.db.states import Role
from service.db.tables import AuditEvent
from service.settings import Settings


def run(home: Path, *words: str) -> str:
    result = CliRunner().invoke(app, ["tokens", *words, "--home", str(home)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def find(database: Database, secret: str):
    with database.reading() as session:
        return find_token(session, secret, now())


def test_tokens_are_made_listed_and_revoked(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    secret = run(tmp_path, "create", "dashboard", "--role", "admin", "--days", "0").strip().splitlines()[0]
    database = connect(Settings(home=tmp_path))
    token = find(database, secret)
    assert token is not None and (token.role, token.name, token.expires_at) == (Role.ADMIN, "dashboard", None)
    listing = run(tmp_path, "list")
    assert (
        "dashboard" in listing
        and "never" in listing
        and secret not in listing
        and token.digest not in listing
    )
    run(tmp_path, "revoke", str(token.id))
    assert find(database, secret) is None
    assert "revoked" in run(tmp_path, "list")
    with database.reading() as session:
        events = [(event.what, event.target) for event in session.scalars(sa.select(AuditEvent))]
    assert events == [("token.create", "token 1"), ("token.revoke", "token 1")]
    database.close()


def test_a_persons_token_names_the_person_of_one_repository(tmp_path: Path) -> None:
    run(tmp_path, "list")
    database = connect(Settings(home=tmp_path))
    with database.writing() as session:
        repository = number_of(keep_repository(session, "acme/shop"))
        keep_author(session, repository, "human:ann", name="Ann", kind="human", tier="B")
    words = ("create", "ann", "--role", "self", "--repository", "acme/shop", "--author", "human:ann")
    token = find(database, run(tmp_path, *words).strip().splitlines()[0])
    assert token is not None and token.subject == f"{repository}/human:ann"
    database.close()


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("create", "x", "--role", "king"), "admin, member or self"),
        (("create", "x", "--role", "self"), "needs one author"),
        (("create", "x", "--role", "self", "--author", "human:ann"), "go together"),
        (("revoke", "7"), "no token 7"),
    ],
)
def test_mistakes_say_what_was_expected(tmp_path: Path, words: tuple[str, ...], problem: str) -> None:
    with pytest.raises(ServiceError, match=problem):
        run(tmp_path, *words)
