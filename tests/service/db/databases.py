"""A database of a test's own, on SQLite and on PostgreSQL where one answers."""

from __future__ import annotations

import contextlib
import secrets
import shutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import psycopg
import pytest

from service.db.migrate import upgrade
from service.db.session import connect
from service.settings import Settings

SERVER = "postgresql://postgres@127.0.0.1:5432"
KINDS = ("sqlite", "postgresql")


@cache
def server_answers() -> bool:
    """Whether there is a PostgreSQL to test on."""
    with contextlib.suppress(psycopg.Error):
        psycopg.connect(f"{SERVER}/postgres", connect_timeout=2).close()
        return True
    return False


def _run(statement: str) -> None:
    with psycopg.connect(f"{SERVER}/postgres", autocommit=True) as connection:
        connection.execute(statement.encode())


@contextlib.contextmanager
def fresh_settings(kind: str, home: Path, template: str = "template0") -> Iterator[Settings]:
    """Settings that name a database of their own, dropped at the end: empty, or a copy of a template."""
    if kind == "sqlite":
        yield Settings(home=home)
        return
    if not server_answers():
        pytest.skip("no PostgreSQL on 127.0.0.1:5432 for user postgres")
    name = f"routeprint_test_{secrets.token_hex(6)}"
    _run(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    try:
        yield Settings(home=home, database_url=f"{SERVER}/{name}")
    finally:
        _run(f'DROP DATABASE "{name}" WITH (FORCE)')


@contextlib.contextmanager
def upgraded_template(kind: str, home: Path, *, with_engine: bool = False) -> Iterator[str]:
    """An upgraded database to copy: migrating takes a second, copying a tenth. Returns its file or name."""
    with fresh_settings(kind, home) as settings:
        database = connect(settings)
        upgrade(database)
        if with_engine:
            from service.enqueue import prepare_engine

            prepare_engine(database)
        name = database.engine.url.database or ""
        database.close()
        yield name


@contextlib.contextmanager
def copied_settings(kind: str, home: Path, template: str) -> Iterator[Settings]:
    """Settings that name a copy of an upgraded template."""
    if kind == "sqlite":
        home.mkdir(parents=True, exist_ok=True)
        shutil.copy(template, home / "routeprint.db")
    with fresh_settings(kind, home, template) as settings:
        yield settings
