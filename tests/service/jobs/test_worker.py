"""Workers do each job once, whatever happens to them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest
from sqlalchemy import column, table

from service.artifacts import ArtifactStore, read_json
from service.db.columns import now
from service.db.queries.executors import list_executors
from service.db.queries.jobs import list_lines
from service.db.queries.repositories import keep_repository, number_of
from service.db.queries.signatures import list_versions, pin
from service.db.states import ExecutorStatus, JobStatus, ReviewStatus
from service.enqueue import NotCancellableError, Queue, Urgency
from service.flows.kept_pages import read_report
from tests.service.jobs.conftest import Scene
from tests.service.jobs.stand_in import ADAPTERS, STEPS


def test_a_review_from_the_question_to_the_comment(scene: Scene):
    scene.fleet.start()
    asked = scene.ask(7, "h1")
    scene.finish(asked.job_id)
    job, review = scene.job(asked.job_id), scene.review(asked)
    assert (job.status, job.attempt, job.error) == (JobStatus.DONE, 1, "")
    assert (review.status, review.verdict, review.conclusion) == (ReviewStatus.DONE, "not-scored", "neutral")
    assert read_report(ArtifactStore(scene.settings.home), review.report).reason == "a stand-in has seen h1"
    assert [check["title"] for check in scene.world.all("checks")] == ["a stand-in has seen h1"]
    assert len(scene.world.all("comments")) == 1
    assert not any((scene.settings.home / "artifacts" / "diff").glob("*")), "no code is left behind"
    with scene.database.reading() as session:
        told = [line.text.split(":")[0] for line in list_lines(session, job.id)]
    assert told == [f"attempt 1 on {job.executor}", "read", "diff", "score", "publish", "done"]


def test_a_newer_head_calls_off_what_was_asked_about_the_old_one(scene: Scene):
    waiting, never_begun = scene.ask(7, "h1"), scene.ask(8, "h1")
    newer = scene.ask(7, "h2")
    assert scene.job(waiting.job_id).superseded_by == newer.job_id
    scene.world.order("score:before", 2, "hold")  # whichever of the two comes first
    scene.fleet.start()
    scene.wait(lambda: scene.world.counts()["at score:before"] == 2)
    newest = scene.ask(7, "h3")  # while the review of h2 is under way
    scene.world.release("score:before")
    scene.finish(newest.job_id, never_begun.job_id)
    again = scene.ask(7, "h1")  # pushed back to where it began
    scene.finish(again.job_id)
    assert again.job_id != waiting.job_id
    assert {scene.review(row).status for row in (newest, again, never_begun)} == {ReviewStatus.DONE}
    assert scene.review(newer).status is ReviewStatus.SUPERSEDED
    titles = [check["title"] for check in scene.world.all("checks") if check["number"] == 7]
    assert sorted(titles) == ["a stand-in has seen h1", "a stand-in has seen h3"]


def test_a_head_that_moved_without_our_being_told_is_not_published(scene: Scene):
    scene.world.order("score:after", what="hold")
    scene.fleet.start()
    asked = scene.ask(7, "h1")
    scene.wait(lambda: scene.world.counts()["at score:after"] == 1)
    scene.world.head(7, "h2")
    scene.world.release("score:after")
    scene.finish(asked.job_id)
    assert scene.world.all("checks") == []
    assert scene.review(asked).status is ReviewStatus.SUPERSEDED
    assert [fact["by"] for fact in scene.world.happened("withdrawn")] == ["h2"]


@pytest.mark.slow
def test_the_urgent_goes_first_and_one_worker_trains_one_at_a_time(scene: Scene):
    with scene.database.writing() as session:
        others = [number_of(keep_repository(session, f"shop/{i}", path="x")) for i in range(3)]
    late = [scene.enqueuer.profile(number) for number in others]
    soon = scene.enqueuer.profile(scene.repository, urgency=Urgency.ASKED)
    scene.fleet.start((Queue.TRAIN,))
    scene.finish(*late, soon)
    order = [fact["what"] for fact in scene.world.happened("at train")]
    assert order == ["at train:before", "at train:after"] * 4
    started = {job_id: scene.job(job_id).started_at for job_id in (*late, soon)}
    assert min(started, key=lambda job_id: started[job_id] or now()) == soon


def test_a_worker_told_to_stop_finishes_what_it_has_begun(scene: Scene):
    scene.world.order("score:before", what="1.5")
    worker = scene.fleet.start((Queue.REVIEW,))
    asked = scene.ask(7, "h1")
    scene.wait(lambda: scene.world.counts()["at score:before"] == 1)
    worker.terminate()
    later = scene.ask(8, "h1")
    worker.join(20)
    assert worker.exitcode == 0
    assert (scene.job(asked.job_id).status, scene.job(later.job_id).status) == (
        JobStatus.DONE,
        JobStatus.QUEUED,
    )
    with scene.database.reading() as session:
        assert [row.status for row in list_executors(session)] == [ExecutorStatus.STOPPED]


@pytest.mark.slow
def test_a_training_that_outlasts_the_drain_is_handed_on_at_once(scene: Scene):
    scene.world.order("author-a:3", what="30")
    hurried = scene.settings.model_copy(update={"drain_timeout_s": 1.0, "executor_timeout_s": 30.0})
    first = scene.fleet.start((Queue.TRAIN,), hurried)
    job_id = scene.enqueuer.profile(scene.repository)
    scene.wait(lambda: scene.world.counts()["at author-a:3"] == 1)
    second = scene.fleet.start((Queue.TRAIN,))
    first.terminate()
    first.join(20)
    assert first.exitcode == 0
    scene.finish(job_id, restarts=False)
    assert (scene.job(job_id).status, scene.job(job_id).attempt) == (JobStatus.DONE, 2)
    assert second.is_alive()


def test_a_false_alarm_harms_nothing(scene: Scene):
    """A frozen worker is thought dead, its training is taken over, and then it wakes up."""
    scene.world.order("author-a:3", what="1")
    frozen = scene.fleet.start((Queue.TRAIN,))
    job_id = scene.enqueuer.profile(scene.repository)
    scene.wait(lambda: scene.world.counts()["at author-a:3"] == 1)
    assert frozen.pid is not None
    os.kill(frozen.pid, signal.SIGSTOP)
    scene.world.order("author-b:2", what="2")  # long enough for both to be at it
    scene.fleet.start((Queue.TRAIN,))
    scene.wait(lambda: scene.world.counts()["at author-b:2"] == 1, restarts=False)
    os.kill(frozen.pid, signal.SIGCONT)
    scene.finish(job_id, restarts=False)
    assert scene.job(job_id).attempt == 2
    assert frozen.is_alive(), "a worker that was thought dead goes on with other jobs"
    store = ArtifactStore(scene.settings.home)
    for name in ADAPTERS:
        weights = read_json(store.require("adapter", f"shop-till-{name}") / "weights.json")
        assert weights == list(range(STEPS))
    with scene.database.reading() as session:
        assert {row.version for row in list_versions(session, scene.repository)} == {1}
    other = scene.ask(9, "h")
    scene.fleet.start((Queue.REVIEW,))
    scene.finish(other.job_id, restarts=False)


@pytest.mark.slow
def test_two_workers_never_have_one_name(scene: Scene):
    scene.fleet.start()
    scene.fleet.start()

    def names() -> set[str]:
        with scene.database.reading() as session:
            return {row.id for row in list_executors(session)}

    scene.wait(lambda: len(names()) == 2)
    before = names()
    for worker in scene.fleet.workers:
        worker.kill()
        worker.join()
    scene.wait(lambda: len(scene.fleet.workers) == 2 and scene.fleet.n_started == 4)
    asked = scene.ask(1, "h")
    scene.finish(asked.job_id)
    assert names() == before, "started again, they take their names again"


@pytest.mark.slow
def test_jobs_of_another_version_of_the_workflows_are_begun_anew(scene: Scene):
    scene.world.order("score:before")
    first = scene.fleet.start()
    asked, waiting = scene.ask(7, "h1"), scene.ask(8, "h1")
    scene.wait(lambda: not first.is_alive(), restarts=False)
    scene.fleet.workers.clear()
    with scene.database.engine.begin() as connection:  # as if version 0 had begun them
        schema = None if scene.database.is_sqlite else "dbos"
        statuses = table("workflow_status", column("application_version"), schema=schema)
        connection.execute(statuses.update().values(application_version="0"))
    scene.fleet.start()
    scene.wait(lambda: scene.review(asked).status.is_final and scene.review(waiting).status.is_final)
    assert (scene.review(asked).status, scene.review(waiting).status) == (
        ReviewStatus.DONE,
        ReviewStatus.DONE,
    )
    assert "version 0" in scene.job(asked.job_id).error
    assert sorted(check["number"] for check in scene.world.all("checks")) == [7, 8]


@pytest.mark.slow
def test_a_job_that_takes_every_worker_down_is_given_up_and_can_be_retried(scene: Scene):
    scene.world.order("score:before", 3)
    scene.fleet.settings = scene.settings.model_copy(update={"job_attempts": 2})
    scene.fleet.start()
    asked = scene.ask(7, "h1")
    scene.finish(asked.job_id, timeout_s=60)
    job = scene.job(asked.job_id)
    assert (job.status, job.error) == (JobStatus.FAILED, "given up after 2 workers went down with it")
    again = scene.enqueuer.retry(asked.job_id)
    scene.finish(again)
    assert scene.job(again).retry_of == job.id
    assert len(scene.world.all("checks")) == 1


@pytest.mark.slow
def test_a_job_is_called_off_while_it_trains(scene: Scene):
    scene.world.order("team:3", what="0.5")
    scene.fleet.start()
    job_id = scene.enqueuer.profile(scene.repository)
    scene.wait(lambda: scene.world.counts()["at team:3"] == 1)
    scene.enqueuer.cancel(job_id)
    asked = scene.ask(7, "h1")
    scene.finish(asked.job_id)
    time.sleep(1.5)
    assert scene.job(job_id).status is JobStatus.CANCELLED
    assert scene.world.counts()["at train:after"] == 0
    with pytest.raises(NotCancellableError, match="has ended"):
        scene.enqueuer.cancel(job_id)


def test_asking_imports_no_torch_and_no_flows():
    code = (
        "import sys, service.enqueue\n"
        "print(*{'torch', 'fastapi', 'git', 'service.flows', 'service.jobs'} & set(sys.modules))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == ""


def test_equal_diffs_of_different_pull_requests_do_not_take_each_other_away(scene: Scene):
    scene.fleet.start((Queue.REVIEW,))
    asked = [scene.ask(number, "same") for number in range(12)]
    scene.finish(*(row.job_id for row in asked))
    assert {scene.job(row.job_id).status for row in asked} == {JobStatus.DONE}
    assert {scene.job(row.job_id).attempt for row in asked} == {1}
    assert not any((scene.settings.home / "artifacts" / "diff").glob("*"))


def test_newer_commits_join_the_calibration_of_the_version_in_use(scene: Scene):
    scene.world.order("refresh:after")  # the first worker dies there
    scene.fleet.start()
    scene.finish(scene.enqueuer.profile(scene.repository))
    with scene.database.reading() as session:
        (before,) = list_versions(session, scene.repository, "team:")
    asked = scene.enqueuer.refresh(scene.repository)
    scene.wait(lambda: scene.world.counts()["at refresh:after"] == 1)
    scene.fleet.start()
    scene.finish(asked)
    assert scene.job(asked).status is JobStatus.DONE
    with scene.database.reading() as session:
        (after,) = list_versions(session, scene.repository, "team:")
    assert (after.version, after.made_at, after.commit) == (before.version, before.made_at, before.commit)
    assert (after.profile, after.artifact) == (f"{before.profile}, rolled", "rolled")
    assert after.provenance["calibrated_to"] == "c" * 40
    with scene.database.writing() as session:
        pin(session, scene.repository, "team:", 1)
    scene.finish(scene.enqueuer.refresh(scene.repository))
    with scene.database.reading() as session:
        (pinned,) = list_versions(session, scene.repository, "team:")
    assert pinned.profile == after.profile, "what is pinned stays as it is"
