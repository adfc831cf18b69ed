"""kill -9 at every step of a review and of a training, twice each: one check, one comment, no lost work."""

from __future__ import annotations

import itertools
import time

import pytest

from service.db.queries.executors import list_executors
from service.db.queries.signatures import list_versions
from service.db.states import JobStatus, ReviewStatus
from service.enqueue import Queue
from tests.service.jobs.conftest import Scene
from tests.service.jobs.stand_in import ADAPTERS, CHECKPOINT_EVERY, REVIEW_POINTS, STEPS, TRAIN_POINTS

REVIEW_STEPS = ("read", "diff", "score", "publish")


def check_review(scene: Scene, job_id: str, n_kills: int) -> None:
    """One answer, and no step run again once it was over."""
    job = scene.job(job_id)
    assert (job.status, job.attempt) == (JobStatus.DONE, n_kills + 1)
    assert [check["conclusion"] for check in scene.world.all("checks")] == ["neutral"]
    assert len(scene.world.all("comments")) == 1
    assert len(scene.world.happened("completed")) == 1


def check_training(scene: Scene, job_id: str, n_kills: int) -> None:
    """Every step of every adapter counts once, and a kill costs at most one interval of checkpoints."""
    assert (scene.job(job_id).status, scene.job(job_id).attempt) == (JobStatus.DONE, n_kills + 1)
    with scene.database.reading() as session:
        versions = {row.scope: row.version for row in list_versions(session, scene.repository)}
    assert versions == {"author:human:a": 1, "author:human:b": 1, "team:": 1}
    steps = scene.world.happened("step")
    assert len(ADAPTERS) * STEPS <= len(steps) <= len(ADAPTERS) * STEPS + n_kills * CHECKPOINT_EVERY
    for name in ADAPTERS:
        done = [step["step"] for step in steps if step["name"] == name]
        assert set(done) == set(range(STEPS))
        assert all(0 <= a + 1 - b <= CHECKPOINT_EVERY for a, b in itertools.pairwise(done)), done
    assert not any((scene.settings.home / "checkpoints").glob("*"))


def test_twice_between_githubs_answer_and_our_note_of_it(scene: Scene):
    for point in ("publish:created", "publish:commented"):
        scene.world.order(point)
    scene.fleet.start()
    asked = scene.ask(7, "h1")
    scene.finish(asked.job_id)
    check_review(scene, asked.job_id, 2)
    assert (scene.world.counts()["at diff:before"], scene.world.counts()["at score:before"]) == (1, 1)


def test_a_killed_training_goes_on_from_its_checkpoint(scene: Scene):
    scene.world.order("author-a:3", 2)
    scene.fleet.start()
    job_id = scene.enqueuer.profile(scene.repository)
    scene.finish(job_id)
    check_training(scene, job_id, 2)
    assert scene.world.counts()["at history:before"] == 1, "what was over is not done again"
    assert sum(step["name"] == "team" for step in scene.world.happened("step")) == STEPS


def test_another_worker_takes_over_onto_the_right_queue(scene: Scene):
    """Nobody starts the dead one again: the other one hears that it is silent."""
    first = scene.fleet.start()
    scene.world.order("score:before")
    asked = scene.ask(7, "h1")
    scene.wait(lambda: not first.is_alive(), restarts=False)
    died = time.monotonic()
    job_id = scene.enqueuer.profile(scene.repository)
    scene.fleet.start((Queue.REVIEW,))
    scene.finish(asked.job_id, restarts=False)
    took = time.monotonic() - died
    check_review(scene, asked.job_id, 1)
    assert took < 20, f"{took:.1f} s for a timeout of {scene.settings.executor_timeout_s} s"
    with scene.database.reading() as session:
        recovered = [row.n_recovered for row in list_executors(session) if row.n_recovered]
    assert recovered == [1]
    assert scene.job(job_id).status is JobStatus.QUEUED, "a worker of reviews trains nothing"


@pytest.mark.slow
@pytest.mark.parametrize("n_workers", [1, 2])
def test_every_step_of_a_review_twice(scene: Scene, n_workers: int):
    for point in REVIEW_POINTS:
        scene.world.order(point, 2)
    settings = scene.settings.model_copy(update={"job_attempts": 50})
    scene.fleet.settings = settings
    for _ in range(n_workers):
        scene.fleet.start()
    asked = scene.ask(7, "h1")
    scene.finish(asked.job_id, timeout_s=300)
    check_review(scene, asked.job_id, 2 * len(REVIEW_POINTS))
    assert scene.review(asked).status is ReviewStatus.DONE
    # a step is run until it ends for the first time: once, and once more for each of its own kills
    at = scene.world.counts()
    assert (at["at diff:before"], at["at score:before"]) == (5, 5)


@pytest.mark.slow
@pytest.mark.parametrize("n_workers", [1, 2])
def test_every_step_of_a_training_twice(scene: Scene, n_workers: int):
    for point in TRAIN_POINTS:
        scene.world.order(point, 2)
    scene.fleet.settings = scene.settings.model_copy(update={"job_attempts": 50})
    for _ in range(n_workers):
        scene.fleet.start()
    job_id = scene.enqueuer.profile(scene.repository)
    scene.finish(job_id, timeout_s=300)
    check_training(scene, job_id, 2 * len(TRAIN_POINTS))


@pytest.mark.slow
def test_many_reviews_with_workers_dying_all_the_time(scene: Scene):
    for point in REVIEW_POINTS:
        scene.world.order(point, 2)
    scene.fleet.settings = scene.settings.model_copy(update={"job_attempts": 50})
    scene.fleet.start()
    scene.fleet.start()
    asked = [scene.ask(number, f"h{number}") for number in range(40)]
    scene.finish(*(row.job_id for row in asked), timeout_s=300)
    checks = sorted(check["number"] for check in scene.world.all("checks"))
    comments = sorted(comment["number"] for comment in scene.world.all("comments"))
    assert checks == comments == list(range(40))
    assert all(check["conclusion"] == "neutral" for check in scene.world.all("checks"))
    # a worker killed at one review takes down its others, maybe between doing and noting: none twice
    completed = [fact["external_id"] for fact in scene.world.happened("completed")]
    assert len(set(completed)) == len(completed) <= 40
