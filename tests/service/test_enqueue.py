"""What is asked for is written down once, whatever the order, and nothing is done."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from connectors.github import UnavailableError
from service.db.columns import now
from service.db.queries.deliveries import Arrival, begin_delivery, end_delivery, keep_delivery
from service.db.queries.jobs import fail_open_job, find_job, list_jobs, list_lines
from service.db.queries.pulls import list_abandoned
from service.db.queries.repositories import UnknownRepositoryError, keep_repository, number_of
from service.db.queries.reviews import ReviewQuestion, end_review, list_reviews, next_run, note_check
from service.db.session import connect
from service.db.states import DeliveryStatus, Flow, JobStatus, ReviewStatus
from service.db.tables import Delivery, Review
from service.enqueue import FIRST_PAUSE, MOST_ATTEMPTS, Enqueuer, JsonOnly, NotCancellableError, Urgency
from tests.service.db.databases import copied_settings


@pytest.fixture
def asking(engine_template: tuple[str, str], tmp_path: Path) -> Iterator[Enqueuer]:
    with copied_settings(engine_template[0], tmp_path, engine_template[1]) as settings:
        database = connect(settings)
        found = Enqueuer.of(database)
        yield found
        found.close()
        database.close()


@pytest.fixture
def repository(asking: Enqueuer) -> int:
    with asking.database.writing() as session:
        return number_of(keep_repository(session, "shop/till"))


def engine_statuses(asking: Enqueuer) -> dict[str, str]:
    return {workflow.workflow_id: workflow.status for workflow in asking.client.list_workflows()}


def test_many_at_once_ask_one_question_once(asking: Enqueuer, repository: int):
    question, answers = ReviewQuestion(repository, 7, "h1", "b"), []

    def ask() -> None:
        answers.append(asking.review(question))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(answer.is_new for answer in answers) == 1
    assert len({answer.review.job_id for answer in answers}) == 1
    assert list(engine_statuses(asking).values()) == ["ENQUEUED"]


def test_another_base_signature_or_configuration_is_another_question(asking: Enqueuer, repository: int):
    first = ReviewQuestion(repository, 7, "h1", "b")
    others = [
        ReviewQuestion(repository, 7, "h1", "b2"),
        ReviewQuestion(repository, 7, "h1", "b2", signature_version=2),
        ReviewQuestion(repository, 7, "h1", "b2", signature_version=2, config_hash="c"),
    ]
    asking.review(first)
    assert [asking.review(question).is_new for question in others] == [True] * 3
    with asking.database.reading() as session:
        assert next_run(session, first) == 1
        statuses = [row.status for row in list_reviews(session, repository)]
    assert statuses == [ReviewStatus.QUEUED] + [ReviewStatus.SUPERSEDED] * 3
    assert sorted(engine_statuses(asking).values()) == ["CANCELLED"] * 3 + ["ENQUEUED"]


def test_merge_groups_do_not_call_each_other_off(asking: Enqueuer, repository: int):
    for head in ("g1", "g2"):
        asking.review(ReviewQuestion(repository, 0, head, "b"), urgency=Urgency.MERGE_QUEUE)
    assert set(engine_statuses(asking).values()) == {"ENQUEUED"}


def test_a_pull_request_has_one_answer_though_another_team_has_to_give_it(asking: Enqueuer, repository: int):
    """A push may move a pull request from one team's paths to another's; there is one check on it."""
    before = asking.review(ReviewQuestion(repository, 7, "h1", "b", team="backend")).review
    now = asking.review(ReviewQuestion(repository, 7, "h2", "b", team="web")).review
    assert engine_statuses(asking) == {before.job_id: "CANCELLED", now.job_id: "ENQUEUED"}


def test_a_review_asked_again_waits_with_the_check_that_is_open(asking: Enqueuer, repository: int):
    """And has a new one where the first has ended: an answer never goes to a check that said something."""
    question = ReviewQuestion(repository, 7, "h1", "b")
    asked = asking.review(question).review
    for conclusion, check in (("", 5), ("neutral", None)):
        with asking.database.writing() as session:
            note_check(session, asked.id or 0, 5)
            end_review(session, asked.id or 0, ReviewStatus.FAILED, reason="x", conclusion=conclusion)
            assert len(list_abandoned(session)) == (not conclusion)
        again = asking.review(question).review
        assert (again.id, again.check_run_id, again.conclusion) == (asked.id, check, "")


def test_an_answer_stands_when_the_question_comes_again(asking: Enqueuer, repository: int):
    question = ReviewQuestion(repository, 7, "h1", "b")
    asked = asking.review(question).review
    with asking.database.writing() as session:
        assert end_review(session, asked.id or 0, ReviewStatus.DONE, verdict="typical")
        assert not end_review(session, asked.id or 0, ReviewStatus.FAILED), "the first end stands"
    assert not asking.review(question).is_new
    assert asking.review(ReviewQuestion(repository, 7, "h1", "b", run=1)).is_new


def test_a_waiting_job_answers_for_the_next_and_a_running_one_does_not(asking: Enqueuer, repository: int):
    first = asking.ingest(repository)
    assert asking.ingest(repository) == first
    assert asking.profile(repository) != asking.profile(repository, "backend")
    with asking.database.writing() as session:
        find_job(session, first).status = JobStatus.RUNNING
    assert asking.ingest(repository) != first


def test_nothing_is_left_when_asking_fails(asking: Enqueuer):
    with pytest.raises(UnknownRepositoryError):
        asking.ingest(999)
    with pytest.raises(UnknownRepositoryError):
        asking.review(ReviewQuestion(999, 7, "h1", "b"))
    with asking.database.reading() as session:
        assert list_jobs(session) == []
    assert engine_statuses(asking) == {}


def test_cancel_and_retry(asking: Enqueuer, repository: int):
    job_id = asking.ingest(repository)
    with pytest.raises(NotCancellableError, match="failed or was cancelled"):
        asking.retry(job_id)
    asking.cancel(job_id[:12])
    with pytest.raises(NotCancellableError, match="has ended"):
        asking.cancel(job_id)
    again = asking.retry(job_id)
    assert engine_statuses(asking) == {job_id: "CANCELLED", again: "ENQUEUED"}
    with asking.database.reading() as session:
        assert [job.id for job in list_jobs(session, flow=Flow.INGEST, statuses=[JobStatus.QUEUED])] == [
            again
        ]


# --------------------------------------------------------------------------- what failed and may not again


def delivered(asking: Enqueuer, guid: str) -> int:
    with asking.database.writing() as session:
        number = keep_delivery(session, Arrival(guid, "push", "", 3, 11, b"{}"))
        assert number is not None
        asking.delivery(session, number)
    return number


def failed(asking: Enqueuer, number: int, ago: timedelta) -> None:
    """One more attempt at a delivery, which failed some time ago."""
    with asking.database.writing() as session:
        assert begin_delivery(session, number) is not None
        end_delivery(session, number, error="GitHub is away")
        session.get_one(Delivery, number).finished_at = now() - ago


def test_a_delivery_that_failed_is_asked_for_again_after_a_pause_that_doubles(asking: Enqueuer):
    number = delivered(asking, "a")
    failed(asking, number, FIRST_PAUSE / 2)
    assert asking.deliveries_again() == 0, "its pause is not over"
    with asking.database.writing() as session:
        session.get_one(Delivery, number).finished_at = now() - FIRST_PAUSE
    assert asking.deliveries_again() == 1
    assert asking.deliveries_again() == 0, "it waits already"
    assert engine_statuses(asking) == {f"delivery-{number}-{n}": "ENQUEUED" for n in (0, 1)}
    failed(asking, number, FIRST_PAUSE)
    assert asking.deliveries_again() == 0, "the second pause is twice as long"
    with asking.database.writing() as session:
        row = session.get_one(Delivery, number)
        row.finished_at, row.attempts = now() - timedelta(days=3), MOST_ATTEMPTS
    assert asking.deliveries_again() == 0, "it has been given up"


def test_a_delivery_that_nobody_is_at_any_more_is_asked_for_again(asking: Enqueuer):
    numbers = [delivered(asking, guid) for guid in "ab"]
    with asking.database.writing() as session:
        for number, hours in zip(numbers, (1, 4), strict=True):
            begin_delivery(session, number)
            session.get_one(Delivery, number).started_at = now() - timedelta(hours=hours)
    assert asking.deliveries_again() == 1
    with asking.database.reading() as session:
        states = [session.get_one(Delivery, number).status for number in numbers]
    assert states == [DeliveryStatus.RUNNING, DeliveryStatus.RECEIVED]


def test_a_delivery_begun_by_another_version_is_begun_anew(asking: Enqueuer):
    number = delivered(asking, "a")
    with asking.database.writing() as session:
        begin_delivery(session, number)
    assert asking.start_over(f"delivery-{number}-0", "another version") is not None
    assert engine_statuses(asking)[f"delivery-{number}-1"] == "ENQUEUED"
    assert asking.start_over(f"delivery-{number}-0", "another version") is None, "it has not begun"


def test_a_review_that_github_kept_from_ending_is_asked_for_again(asking: Enqueuer, repository: int):
    def ask(number: int, head: str, error: str, ago: timedelta = FIRST_PAUSE) -> Review:
        row = asking.review(ReviewQuestion(repository, number, head, "b")).review
        with asking.database.writing() as session:
            fail_open_job(session, row.job_id, error)
            end_review(session, row.id or 0, ReviewStatus.FAILED)
            session.get_one(Review, row.id).finished_at = now() - ago
        return row

    away = ask(1, "h1", "UnavailableError: no good answer")
    ask(2, "h2", "RuntimeError: the model is on fire")
    ask(3, "h3", "UnavailableError: no good answer", FIRST_PAUSE / 2)
    ask(4, "h4", "UnavailableError: no good answer")
    asking.review(ReviewQuestion(repository, 4, "h5", "b"))  # a push since
    assert asking.reviews_again([ConnectionError]) == 0
    assert asking.reviews_again([UnavailableError]) == 1
    with asking.database.reading() as session:
        row = session.get_one(Review, away.id)
        assert (row.status, row.asked) == (ReviewStatus.QUEUED, 2)
        assert find_job(session, row.job_id).retry_of == away.job_id
    assert asking.reviews_again([UnavailableError]) == 0


def test_what_ended_long_ago_is_deleted_with_the_engines_record_of_it(asking: Enqueuer, repository: int):
    old, new, waits = (
        asking.ingest(repository),
        asking.profile(repository),
        asking.profile(repository, "web"),
    )
    gone, fresh = (delivered(asking, guid) for guid in "ab")
    failed(asking, gone, timedelta(days=100))
    failed(asking, fresh, timedelta(days=1))
    with asking.database.writing() as session:
        for job_id, days in ((old, 100), (new, 1)):
            fail_open_job(session, job_id, "no")
            find_job(session, job_id).finished_at = now() - timedelta(days=days)
    assert asking.drop_old(timedelta(days=90)) == 2
    assert set(engine_statuses(asking)) == {new, waits, f"delivery-{fresh}-0"}
    with asking.database.reading() as session:
        assert {job.id for job in list_jobs(session)} == {new, waits}
        assert list_lines(session, old) == []
        assert session.get(Delivery, gone) is None
    assert asking.drop_old(timedelta(days=90)) == 0


def test_what_the_engine_keeps_is_json():
    serializer = JsonOnly()
    assert serializer.deserialize(serializer.serialize({"args": ["x"], "kwargs": {}}))["args"] == ["x"]
    assert str(serializer.deserialize(serializer.serialize(ValueError("no")))) == "ValueError: no"
    with pytest.raises(TypeError, match="must be JSON"):
        serializer.serialize(object())
