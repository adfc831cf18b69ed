"""The database: SQLite in a file or PostgreSQL by one URL; sessions and locks mean the same on both."""

from __future__ import annotations

import fcntl
import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError
from sqlmodel import Session

from service import ServiceError
from service.settings import Settings

BUSY_TIMEOUT_MS = 30_000
"""How long a writer on SQLite waits for another: as long as DBOS does on the same file."""
DATABASE_NAME = "routeprint.db"
"""SQLite's file under the home, when no URL is set."""
_STRIPES = 256
_LOCK_POLL_S = 0.02


class DatabaseError(ServiceError):
    """The database cannot be used; the message says what to do."""


class LockedError(ServiceError):
    """Somebody else held a lock for longer than the caller could wait."""


def database_url(settings: Settings) -> str:
    """Where the service keeps its rows: the setting, or a file under the home.

    Raises:
        DatabaseError: the setting is no URL of SQLite or PostgreSQL.
    """
    if settings.database_url is None:
        return f"sqlite:///{settings.home / DATABASE_NAME}"
    try:
        url = make_url(settings.database_url)
    except ArgumentError as error:
        raise DatabaseError(
            "database_url is no URL; expected postgresql://user@host/name or sqlite:////path/to/file"
        ) from error
    backend = url.get_backend_name()
    if backend in {"postgresql", "postgres"}:
        return url.set(drivername="postgresql+psycopg").render_as_string(hide_password=False)
    if backend == "sqlite" and url.database and url.database != ":memory:":
        return settings.database_url
    raise DatabaseError(f"expected a database_url of PostgreSQL, or of SQLite with a file; saw {backend!r}")


@dataclass(frozen=True)
class Database:
    """An engine and what is done with it. Safe to share between threads, not between processes."""

    engine: sa.Engine

    @property
    def is_sqlite(self) -> bool:
        """Whether everything is one file on this machine."""
        return self.engine.dialect.name == "sqlite"

    @property
    def url(self) -> str:
        """The URL, password and all: for the job engine, never for a log."""
        return self.engine.url.render_as_string(hide_password=False)

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A session that sees one moment and writes nothing."""
        options = {"reads_only": True} if self.is_sqlite else {"postgresql_readonly": True}
        with self.engine.connect().execution_options(**options) as connection, Session(connection) as session:
            yield session

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """A session whose work is kept when the block ends and undone when it raises."""
        with Session(self.engine, expire_on_commit=False) as session, session.begin():
            yield session

    def now(self, session: Session) -> datetime:
        """The moment by the one clock that all workers share: the database server's."""
        if self.is_sqlite:
            return datetime.now(UTC)
        return session.execute(sa.select(sa.func.clock_timestamp())).scalar_one()

    @contextmanager
    def exclusively(self, name: str, timeout_s: float = 30.0) -> Iterator[None]:
        """Hold the lock called ``name``; a process that dies lets go of it. Do not nest.

        The server's advisory locks on PostgreSQL, locked files on SQLite: unlike a row with an end, neither
        runs out under a holder that is slow but alive.

        Raises:
            LockedError: somebody held it for ``timeout_s``.
        """
        hold = self._hold_file if self.is_sqlite else self._hold_advisory
        with hold(name, timeout_s):
            yield

    @contextmanager
    def _hold_advisory(self, name: str, timeout_s: float) -> Iterator[None]:
        """The session's lock, outside any transaction: an index that is built meanwhile waits for those."""
        number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)
        with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(sa.text(f"SET lock_timeout = {round(timeout_s * 1000)}"))
            try:
                connection.execute(sa.select(sa.func.pg_advisory_lock(number)))
            except OperationalError as error:
                raise LockedError(f"{name} was held by another worker for {timeout_s:g} s") from error
            finally:
                connection.execute(sa.text("RESET lock_timeout"))
            try:
                yield
            finally:
                connection.execute(sa.select(sa.func.pg_advisory_unlock(number)))

    @contextmanager
    def _hold_file(self, name: str, timeout_s: float) -> Iterator[None]:
        directory = Path(f"{self.engine.url.database}.locks")
        directory.mkdir(parents=True, exist_ok=True)
        stripe = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big") % _STRIPES
        ends = time.monotonic() + timeout_s
        with (directory / f"{stripe:03}").open("w") as lock:
            while not _try_lock(lock.fileno()):
                if time.monotonic() >= ends:
                    raise LockedError(f"{name} was held by another worker for {timeout_s:g} s")
                time.sleep(_LOCK_POLL_S)
            yield

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()


def _try_lock(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def connect(settings: Settings) -> Database:
    """The database of the settings; nothing is created but SQLite's empty file.

    Raises:
        DatabaseError: it cannot be reached.
    """
    url = make_url(database_url(settings))
    if url.get_backend_name() == "sqlite":
        Path(url.database or "").parent.mkdir(parents=True, exist_ok=True)
        engine = sa.create_engine(url, hide_parameters=True, connect_args={"timeout": BUSY_TIMEOUT_MS / 1000})
        _follow_sqlite(engine)
    else:
        engine = sa.create_engine(url, pool_size=5, max_overflow=10, pool_pre_ping=True, hide_parameters=True)
    try:
        with engine.connect():
            pass
    except DBAPIError as error:
        shown = url.render_as_string(hide_password=True)
        raise DatabaseError(
            f"the database {shown} cannot be reached ({error.orig}); check ROUTEPRINT_DATABASE_URL"
        ) from error
    return Database(engine)


def _follow_sqlite(engine: sa.Engine) -> None:
    """Per connection: WAL, foreign keys, and transactions that say at their start whether they will write."""

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # the driver's own BEGIN comes too late and cannot wait its turn
        connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA foreign_keys = ON")

    @event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        reads_only = connection.get_execution_options().get("reads_only", False)
        connection.exec_driver_sql("BEGIN" if reads_only else "BEGIN IMMEDIATE")
