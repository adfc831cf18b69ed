"""The schema: from nothing to the newest equals the tables of the code, and the newest step can be undone."""

from __future__ import annotations

import threading

import pytest
import sqlalchemy as sa

from service.db import migrate
from service.db.row import METADATA
from service.db.session import Database, DatabaseError, connect
from service.settings import Settings


def columns(database: Database) -> dict[str, dict[str, tuple[str, bool]]]:
    """Type and nullability of every column, as the database itself tells it."""
    inspector = sa.inspect(database.engine)
    return {
        table: {c["name"]: (str(c["type"]), c["nullable"]) for c in inspector.get_columns(table)}
        for table in inspector.get_table_names()
        if table != "alembic_version"
    }


def test_upgrade_from_empty_equals_the_tables(empty: Database):
    assert migrate.read_version(empty) is None
    before, after = migrate.upgrade(empty)
    assert (before, after) == (None, migrate.newest_version())
    assert migrate.differences(empty) == []
    migrated = columns(empty)
    with empty.engine.begin() as connection:
        for table in reversed(METADATA.sorted_tables):
            table.drop(connection)
        METADATA.create_all(connection)
    assert migrated == columns(empty)


def test_a_difference_is_found(database: Database):
    with database.engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE author DROP COLUMN left_at"))
        connection.execute(sa.text("DROP INDEX ix_job_status_created_at"))
    assert len(migrate.differences(database)) == 2


def test_the_newest_step_can_be_undone_and_done_again(database: Database):
    migrate.downgrade(database)
    assert migrate.read_version(database) != migrate.newest_version()
    assert migrate.differences(database) != []
    migrate.upgrade(database)
    assert migrate.differences(database) == []


def test_many_may_upgrade_at_once(empty: Database, empty_settings: Settings):
    failures: list[BaseException] = []

    def run() -> None:
        mine = connect(empty_settings)
        try:
            migrate.upgrade(mine)
        except BaseException as error:  # noqa: BLE001 - told to the test
            failures.append(error)
        finally:
            mine.close()

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert migrate.differences(empty) == []


def test_a_newer_schema_is_refused(database: Database):
    with database.engine.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(DatabaseError, match=r"9999.*upgrade Routeprint"):
        migrate.upgrade(database)
