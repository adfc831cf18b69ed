"""The schema, brought to the newest version: on start-up and by ``routeprint db upgrade``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlmodel.sql.sqltypes import AutoString

from service.db.columns import BIG, Utc
from service.db.session import Database, DatabaseError
from service.db.tables import Row

_PLACE = Path(__file__).with_name("migrations")
_WAIT_S = 300.0
METADATA = Row.metadata
"""Every table: `service.db.tables` has been imported here."""


def newest_version() -> str:
    """The schema that this code was written for."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    assert head is not None, "there is a migration"
    return head


def read_version(database: Database) -> str | None:
    """The schema that the database has, None for an empty one."""
    with database.engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def upgrade(database: Database) -> tuple[str | None, str]:
    """Bring the schema to the newest version; many processes may call it at once. Returns (before, after).

    Raises:
        DatabaseError: the database has a schema newer than this code.
    """
    known = {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
    with database.exclusively("migrations", _WAIT_S):
        before = read_version(database)
        if before is not None and before not in known:
            raise DatabaseError(
                f"the database has schema {before}, this version knows up to {newest_version()}; "
                "upgrade Routeprint, or restore a copy of the database from before"
            )
        if before != newest_version():
            _run(database, lambda config: command.upgrade(config, "head"))
    return before, newest_version()


def downgrade(database: Database, steps: int = 1) -> None:
    """Undo the newest migrations; what only they knew is lost."""
    with database.exclusively("migrations", _WAIT_S):
        _run(database, lambda config: command.downgrade(config, f"-{steps}"))


def differences(database: Database) -> list[object]:
    """What the tables of the code have that the database has not, and the reverse."""
    with database.engine.connect() as connection:
        options = {"compare_type": True, "include_name": _is_ours, "render_as_batch": True}
        return list(compare_metadata(MigrationContext.configure(connection, opts=options), METADATA))


def _run(database: Database, what: Callable[[Config], object]) -> None:
    with database.engine.connect() as connection:
        if database.is_sqlite:  # a table is altered by a copy; the pragma is ignored inside a transaction
            connection.exec_driver_sql("COMMIT")
            connection.exec_driver_sql("PRAGMA foreign_keys = OFF")
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        config = _config()
        config.attributes["connection"] = connection
        what(config)
        connection.commit()
    if database.is_sqlite:
        database.engine.dispose()  # the next connection has foreign keys on again


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_PLACE).replace("%", "%%"))
    config.set_main_option("file_template", "v%%(rev)s_%%(slug)s")
    return config


def _is_ours(name: str | None, kind: str, _parents: object) -> bool:
    """The job engine keeps its tables in the same database."""
    return kind != "table" or name in METADATA.tables


def configure_and_run(connection: sa.Connection) -> None:
    """What Alembic's ``env.py`` does."""
    from alembic import context

    context.configure(
        connection=connection, target_metadata=METADATA, render_as_batch=True, include_name=_is_ours,
        compare_type=True, render_item=_render,
    )  # fmt: skip
    with context.begin_transaction():
        context.run_migrations()


def _render(kind: str, item: object, _context: object) -> str | Literal[False]:
    """How a column's type is written into a new migration: our own types by name, our words as text."""
    if kind != "type":
        return False
    if isinstance(item, sa.Enum):
        return f"sa.String(length={item.length})"
    if item is BIG:
        return "BIG"
    if isinstance(item, Utc):
        return "Utc()"
    return "sa.String()" if isinstance(item, AutoString) else False
