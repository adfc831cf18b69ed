"""A database, a world, and workers that are started again when they die."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import pytest

from service.db.queries.jobs import find_job
from service.db.queries.repositories import keep_repository, number_of
from service.db.queries.reviews import ReviewQuestion, get_review
from service.db.session import Database, connect
from service.db.tables import Job, Review
from service.enqueue import Enqueuer, Queue
from service.settings import Settings
from tests.service.db.databases import copied_settings
from tests.service.jobs.stand_in import World, run

ALL = tuple(Queue)
CONTEXT = multiprocessing.get_context("forkserver")  # imports the engine once, not once a worker
CONTEXT.set_forkserver_preload(["tests.service.jobs.stand_in"])


@dataclass
class Fleet:
    """Worker processes."""

    settings: Settings
    place: Path
    workers: list[ForkServerProcess] = field(default_factory=list)
    n_started: int = 0

    def start(self, queues: tuple[Queue, ...] = ALL, settings: Settings | None = None) -> ForkServerProcess:
        worker = CONTEXT.Process(target=run, args=(settings or self.settings, queues, self.place))
        worker.start()
        self.workers.append(worker)
        self.n_started += 1
        return worker

    def replace_dead(self) -> None:
        """What an operator's process manager does."""
        for worker in [w for w in self.workers if not w.is_alive()]:
            self.workers.remove(worker)
            self.start()

    def kill(self) -> None:
        for worker in self.workers:
            worker.kill()
            worker.join()


@dataclass
class Scene:
    """All that a test of workers needs."""

    settings: Settings
    database: Database
    enqueuer: Enqueuer
    world: World
    fleet: Fleet
    repository: int

    def ask(self, number: int, head: str, base: str = "b") -> Review:
        """A push to a pull request."""
        self.world.head(number, head)
        return self.enqueuer.review(ReviewQuestion(self.repository, number, head, base)).review

    def job(self, job_id: str) -> Job:
        with self.database.reading() as session:
            return find_job(session, job_id)

    def review(self, row: Review) -> Review:
        assert row.id is not None
        with self.database.reading() as session:
            return get_review(session, row.id)

    def wait(self, is_true: Callable[[], bool], timeout_s: float = 40.0, *, restarts: bool = True) -> None:
        """Until something holds, starting dead workers again unless told not to."""
        ends = time.monotonic() + timeout_s
        while not is_true():
            assert time.monotonic() < ends, f"not within {timeout_s} s; {self.world.counts()}"
            if restarts:
                self.fleet.replace_dead()
            time.sleep(0.02)

    def finish(self, *job_ids: str, timeout_s: float = 40.0, restarts: bool = True) -> None:
        """Until jobs have ended."""
        self.wait(lambda: all(self.job(j).status.is_final for j in job_ids), timeout_s, restarts=restarts)


@pytest.fixture
def scene(engine_template: tuple[str, str], tmp_path: Path) -> Iterator[Scene]:
    place = tmp_path / "world"
    place.mkdir()
    with copied_settings(engine_template[0], tmp_path / "home", engine_template[1]) as found:
        settings = found.model_copy(
            update={"heartbeat_s": 0.3, "executor_timeout_s": 2.0, "poll_s": 0.05, "drain_timeout_s": 10.0}
        )
        database = connect(settings)
        enqueuer = Enqueuer.of(database)
        with database.writing() as session:
            repository = number_of(keep_repository(session, "shop/till", path=str(tmp_path)))
        scene = Scene(settings, database, enqueuer, World(place), Fleet(settings, place), repository)
        yield scene
        scene.fleet.kill()
        enqueuer.close()
        database.close()
