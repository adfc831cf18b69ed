"""What durable work costs: asking, one job alone, many jobs, and the time until a dead worker's job goes on.

``python -m tests.bench.queue``; reviews take no time themselves, so all that is measured is overhead.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from service.db.migrate import upgrade
from service.db.queries.jobs import list_jobs
from service.db.queries.repositories import keep_repository, number_of
from service.db.queries.reviews import ReviewQuestion
from service.db.session import connect
from service.db.states import JobStatus
from service.enqueue import Enqueuer, Queue, prepare_engine
from service.settings import Settings
from tests.service.db.databases import KINDS, fresh_settings, server_answers
from tests.service.jobs.conftest import Fleet, Scene
from tests.service.jobs.stand_in import World

N_JOBS = 100


@contextmanager
def scene_of(kind: str, place: Path, **changes: object) -> Iterator[Scene]:
    """A database, a world and no worker yet."""
    with fresh_settings(kind, place / "home") as found:
        settings: Settings = found.model_copy(update=changes)
        (place / "world").mkdir(parents=True)
        database = connect(settings)
        upgrade(database)
        prepare_engine(database)
        asking = Enqueuer.of(database)
        with database.writing() as session:
            repository = number_of(keep_repository(session, "shop/till", path=str(place)))
        scene = Scene(
            settings, database, asking, World(place / "world"), Fleet(settings, place / "world"), repository
        )
        try:
            yield scene
        finally:
            scene.fleet.kill()
            asking.close()
            database.close()


def n_done(scene: Scene) -> int:
    with scene.database.reading() as session:
        return len(list_jobs(session, statuses=[JobStatus.DONE], limit=100_000))


def measure_many(scene: Scene) -> str:
    """Asking for many reviews, then one worker, then what a job waits and takes when it is alone."""
    for number in range(N_JOBS):
        scene.world.head(number, "h")
    started = time.perf_counter()
    for number in range(N_JOBS):
        scene.enqueuer.review(ReviewQuestion(scene.repository, number, "h", "b"))
    asked_ms = (time.perf_counter() - started) / N_JOBS * 1000
    scene.fleet.start((Queue.REVIEW,))
    scene.wait(lambda: n_done(scene) > 0)
    first, n_first, spent = time.perf_counter(), n_done(scene), cpu_seconds(scene)
    scene.wait(lambda: n_done(scene) == N_JOBS, 120)
    many_ms = (time.perf_counter() - first) / (N_JOBS - n_first) * 1000
    cpu_ms = (cpu_seconds(scene) - spent) / (N_JOBS - n_first) * 1000
    alone = [took_alone(scene, number) for number in range(N_JOBS, N_JOBS + 20)]
    waited, took = (statistics.median(times) * 1000 for times in zip(*alone, strict=True))
    return (
        f"asking {asked_ms:.1f} ms; a review of four steps {many_ms:.1f} ms when many wait, "
        f"{cpu_ms:.1f} ms of them the worker's processor; "
        f"alone: begun after {waited:.0f} ms, done {took:.0f} ms later"
    )


def cpu_seconds(scene: Scene) -> float:
    """Processor time of the first worker."""
    times = psutil.Process(scene.fleet.workers[0].pid).cpu_times()
    return times.user + times.system


def took_alone(scene: Scene, number: int) -> tuple[float, float]:
    """Seconds until a review began and from there to its end, by the rows' own times."""
    asked = scene.ask(number, "h")
    scene.finish(asked.job_id)
    job = scene.job(asked.job_id)
    assert job.started_at is not None and job.finished_at is not None
    return (
        (job.started_at - job.created_at).total_seconds(),
        (job.finished_at - job.started_at).total_seconds(),
    )


def measure_recovery(scene: Scene, *, restarts: bool) -> str:
    """Seconds from a kill -9 to the next attempt, by the worker started again or by one of another name."""
    victim = scene.fleet.start((Queue.REVIEW,))
    scene.world.order("score:before")
    asked = scene.ask(9_000, "h")
    scene.wait(lambda: not victim.is_alive(), restarts=False)
    died = time.time()
    # the name follows from the queues: with other queues nobody knows the job as its own
    scene.fleet.start((Queue.REVIEW,) if restarts else (Queue.REVIEW, Queue.TRAIN))
    scene.finish(asked.job_id, restarts=False)
    again = [fact for fact in scene.world.happened() if fact["what"] == "at score:before"]
    seconds = again[-1]["at"] - time.monotonic() + time.time() - died
    return f"{seconds:.1f} s"


def main() -> None:
    """Print a line a database."""
    for kind in KINDS:
        if kind == "postgresql" and not server_answers():
            print("postgresql: none answers on 127.0.0.1:5432")  # noqa: T201
            continue
        with tempfile.TemporaryDirectory() as name:
            place = Path(name)
            with scene_of(kind, place / "many", poll_s=0.05) as scene:
                print(f"{kind}: {measure_many(scene)}", flush=True)  # noqa: T201
            quick = {"poll_s": 0.05, "heartbeat_s": 0.3, "executor_timeout_s": 2.0}
            with scene_of(kind, place / "same", **quick) as scene:
                same = measure_recovery(scene, restarts=True)
            with scene_of(kind, place / "other", **quick) as scene:
                other = measure_recovery(scene, restarts=False)
            print(f"{kind}: goes on {same} after a kill by the same worker, {other} by another (timeout 2 s)")  # noqa: T201


if __name__ == "__main__":
    main()
