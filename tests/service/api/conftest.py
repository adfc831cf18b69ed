"""The API on a database of its own, on each kind, and tokens of every role."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from fastapi.testclient import TestClient

from connectors.github.webhooks import Secrets
from service.api.app import create_app
from service.api.intake import Intake
from service.api.parts import Parts
from service.db.queries.tokens import create_token
from service.db.session import Database, Session
from service.db.states import Role
from service.db.tables import Author
from tests.service.api.rows import Rows, fill

SECRETS = Secrets("new secret", "old secret")
APP_ID = 7


@pytest.fixture
def queued() -> list[int]:
    """Numbers of the deliveries that were asked to be worked on."""
    return []


@pytest.fixture
def parts(database: Database, queued: list[int]) -> Parts:
    def enqueue(_session: Session, number: int) -> None:
        queued.append(number)

    return Parts(database, 1000, intake=Intake(database, SECRETS, enqueue, APP_ID))


@pytest.fixture
def client(parts: Parts) -> Iterator[TestClient]:
    with TestClient(create_app(parts)) as found:
        yield found


@pytest.fixture
def rows(database: Database) -> Rows:
    """One or more of everything."""
    with database.writing() as session:
        return fill(session)


@pytest.fixture
def token(database: Database) -> Callable[..., dict[str, str]]:
    """Headers with a new token of a role."""

    def make(role: Role, author_id: int | None = None) -> dict[str, str]:
        with database.writing() as session:
            author = None if author_id is None else session.get_one(Author, author_id)
            _, secret = create_token(session, f"test {role}", role, author=author)
        return {"Authorization": f"Bearer {secret}"}

    return make
