"""The real flows as durable work: learned through a kill -9 from a real repository, then reviewed."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from connectors.git.ranges import ends_of_range
from fingerprint.config import ProfileConfig
from fingerprint.report import Verdict
from service.artifacts import ArtifactStore
from service.db.migrate import upgrade
from service.db.queries.jobs import find_job
from service.db.queries.people import keep_author, record_consent
from service.db.queries.repositories import keep_repository, number_of
from service.db.queries.reviews import ReviewQuestion, get_review
from service.db.queries.signatures import current_version, list_versions
from service.db.session import Database, connect
from service.db.states import ConsentState, JobStatus
from service.enqueue import Enqueuer, Queue, prepare_engine
from service.flows import kept_pages
from service.flows.kept_pages import read_report
from service.settings import Settings


def work(settings: Settings, config: ProfileConfig) -> None:
    """A worker process with the flows as they are."""
    from service.jobs.local import folder_work
    from service.jobs.worker import run_worker

    run_worker(settings, tuple(Queue), folder_work(settings, config))


def wait(is_true: Callable[[], object], timeout_s: float) -> None:
    ends = time.monotonic() + timeout_s
    while not is_true():
        assert time.monotonic() < ends, f"not within {timeout_s} s"
        time.sleep(0.1)


def job_status(database: Database, job_id: str) -> JobStatus:
    with database.reading() as session:
        return find_job(session, job_id).status


def check_pages(store: ArtifactStore, repository: Path) -> None:
    """The team has a page, and so has Ann, who agreed."""
    record = store.record(repository)
    team, own = kept_pages.find_team(record, ""), kept_pages.find_author(record, "human:ann-other")
    assert team is not None and team.n_opted_in == 1 and team.summary.repository == "org/shop"
    assert own is not None and own.signature is not None and own.habits is not None
    assert kept_pages.find_author(record, "human:bob-some") is None


@pytest.mark.slow
def test_learn_through_a_kill_then_review(
    small_repository: Path, small_config: ProfileConfig, tmp_path: Path
) -> None:
    settings = Settings(
        home=tmp_path, base=small_config.base, poll_s=0.1, heartbeat_s=0.5, executor_timeout_s=5, processes=1
    )
    database = connect(settings)
    upgrade(database)
    prepare_engine(database)
    asking = Enqueuer.of(database)
    with database.writing() as session:
        repository = number_of(keep_repository(session, "org/shop", path=str(small_repository)))
        ann = keep_author(session, repository, "human:ann-other", name="Ann Other", kind="human", tier="B")
        keep_author(session, repository, "human:bob-some", name="Bob Some", kind="human", tier="B")
        record_consent(session, ann, ConsentState.GIVEN, by="admin", how="asked at the meeting")
    job_id = asking.profile(repository)
    spawn = multiprocessing.get_context("spawn")
    worker = spawn.Process(target=work, args=(settings, small_config))
    worker.start()
    adapters = tmp_path / "artifacts" / "adapter"
    wait(lambda: any(adapters.glob("[0-9a-f]*")), 240)
    worker.kill()
    worker.join()
    first = next(adapters.glob("[0-9a-f]*"))
    made_at = first.stat().st_mtime_ns
    worker = spawn.Process(target=work, args=(settings, small_config))
    worker.start()
    wait(lambda: job_status(database, job_id).is_final, 400)
    with database.reading() as session:
        job = find_job(session, job_id)
        assert (job.status, job.attempt) == (JobStatus.DONE, 2), job.error
        version = current_version(session, repository, "team:")
        assert version is not None
        scopes = {row.scope for row in list_versions(session, repository)}
    assert first.stat().st_mtime_ns == made_at, "an adapter that was trained is not trained again"
    assert scopes == {"team:", "author:human:ann-other"}, (
        "Bob was not asked, so he has no signature of his own"
    )
    check_pages(ArtifactStore(settings.home), small_repository)
    base, head = ends_of_range(small_repository, "HEAD~3..HEAD")
    asked = asking.review(ReviewQuestion(repository, 1, head, base, signature_version=version.version))
    wait(lambda: job_status(database, asked.review.job_id).is_final, 240)
    worker.terminate()
    worker.join(60)
    with database.reading() as session:
        review = get_review(session, asked.review.id or 0)
    assert (review.verdict, worker.exitcode) != (Verdict.NOT_SCORED, 0), review.reason
    report = read_report(ArtifactStore(settings.home), review.report)
    assert report.evidence is not None
    assert review.p_value == report.evidence.p_value
    page = kept_pages.find_review(ArtifactStore(settings.home), review.job_id)
    assert page is not None and page.report == report
    assert page.patches and page.bands[0].name == "score"
    assert review.provenance["signature_version"] == 1
    assert review.provenance["revision"] == report.provenance["revision"]
    asking.close()
    database.close()
