"""Sessions, times, references and locks mean the same on both databases."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, IntegrityError, StatementError

from service.db.session import Database, DatabaseError, LockedError, connect
from service.db.states import DeliveryStatus, Stage
from service.db.tables import Delivery, PullRequest, Repository
from service.settings import Settings


def test_times_keep_their_moment_and_a_naive_one_is_refused(database: Database):
    moment = datetime(2026, 3, 1, 12, 30, 15, 250_000, tzinfo=timezone(timedelta(hours=-7)))
    with database.writing() as session:
        session.add(Repository(full_name="a/b", created_at=moment))
    with database.reading() as session:
        seen = session.execute(sa.select(Repository)).scalar_one().created_at
    assert (seen, seen.tzinfo) == (moment, UTC)
    with pytest.raises(StatementError, match="with its zone"), database.writing() as session:
        session.add(Repository(full_name="c/d", created_at=datetime(2026, 3, 1)))  # noqa: DTZ001 - the point


def test_words_and_large_numbers_come_back_as_they_were(database: Database):
    with database.writing() as session:
        session.add(Repository(full_name="a/b" * 2000, github_id=2**53 + 1, stage=Stage.GATE))
        session.add(Delivery(guid="1", event="push", payload_digest="x", body=b"\x00\xff"))
    with database.reading() as session:
        repository = session.execute(sa.select(Repository)).scalar_one()
        delivery = session.execute(sa.select(Delivery)).scalar_one()
    assert (len(repository.full_name), repository.github_id, repository.stage) == (
        6000,
        2**53 + 1,
        Stage.GATE,
    )
    assert (delivery.status, delivery.body) == (DeliveryStatus.RECEIVED, b"\x00\xff")


def test_what_belongs_to_a_repository_goes_with_it(database: Database):
    with database.writing() as session:
        repository = Repository(full_name="a/b")
        session.add(repository)
        session.flush()
        assert repository.id is not None
        session.add(PullRequest(repository_id=repository.id, number=1, head_sha="1", base_sha="2"))
    with database.writing() as session:
        session.execute(sa.delete(Repository))
    with database.reading() as session:
        assert session.execute(sa.select(PullRequest)).first() is None
    with pytest.raises(IntegrityError), database.writing() as session:
        session.add(PullRequest(repository_id=999, number=1, head_sha="1", base_sha="2"))


def test_a_block_that_raises_leaves_nothing(database: Database):
    def write_and_fail() -> None:
        with database.writing() as session:
            session.add(Repository(full_name="a/b"))
            session.flush()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_and_fail()
    with database.reading() as session:
        assert session.execute(sa.select(Repository)).first() is None


def test_a_reading_session_cannot_write_on_postgresql_and_sees_one_moment(database: Database):
    with database.reading() as session:
        assert session.execute(sa.select(Repository)).first() is None
        with database.writing() as writer:  # a reader holds up no writer
            writer.add(Repository(full_name="a/b"))
        if database.is_sqlite:
            assert session.execute(sa.select(Repository)).first() is None
            return
        with pytest.raises(DBAPIError, match="read-only"):
            session.execute(sa.delete(Repository))


def test_writers_wait_for_each_other(database: Database):
    """Read, think, write back: eight at once lose nothing where the row is locked by what they do."""
    with database.writing() as session:
        session.add(Delivery(guid="1", event="push", payload_digest="x"))

    def add_one() -> None:
        for _ in range(5):
            with database.writing() as session:
                row = session.execute(sa.select(Delivery).with_for_update()).scalar_one()
                row.attempts += 1

    threads = [threading.Thread(target=add_one) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.reading() as session:
        assert session.execute(sa.select(Delivery)).scalar_one().attempts == 40


HOLDER = """
import sys, time
from pathlib import Path
from service.db.session import connect
from service.settings import Settings
database = connect(Settings(home=Path(sys.argv[1]), database_url=sys.argv[2] or None))
with database.exclusively("pull 7"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_lock_is_let_go_of_by_the_dead(database: Database, settings: Settings):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(settings.home), settings.database_url or ""],
        stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3],
    )  # fmt: skip
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(LockedError, match="pull 7"), database.exclusively("pull 7", timeout_s=0.2):
        pass
    with database.exclusively("pull 8", timeout_s=0.2):
        pass
    holder.kill()
    holder.wait()
    holder.stdout.close()
    started = time.monotonic()
    with database.exclusively("pull 7", timeout_s=5):
        assert time.monotonic() - started < 2


def test_threads_take_turns_too(database: Database):
    inside, worst = 0, 0

    def enter() -> None:
        nonlocal inside, worst
        with database.exclusively("one"):
            inside += 1
            worst = max(worst, inside)
            time.sleep(0.02)
            inside -= 1

    threads = [threading.Thread(target=enter) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert worst == 1


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("mysql://x/y", "saw 'mysql'"),
        ("nonsense", "is no URL"),
        ("sqlite://", "with a file"),
        ("postgresql://postgres:secret@127.0.0.1:1/x", "cannot be reached"),
    ],
)
def test_a_bad_url_says_what_to_do_and_no_password(tmp_path: Path, url: str, words: str):
    with pytest.raises(DatabaseError, match=words) as caught:
        connect(Settings(home=tmp_path, database_url=url))
    assert "secret" not in str(caught.value)
