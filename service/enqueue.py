"""Asking for durable work, without doing any: for the API and the command line. No torch, no flows.

A job's row and its workflow are written in one transaction of one database, so there is never one
without the other. The workflow is told its id alone; what is asked stands in the row, as JSON.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import IntEnum, StrEnum
from typing import Any

from dbos import DBOS, DBOSClient, EnqueueOptions, Serializer

from service import ServiceError
from service.db.queries.deliveries import drop_old_deliveries, reopen_delivery, wait_again
from service.db.queries.jobs import (
    add_job,
    cancel_jobs,
    drop_old_jobs,
    fail_open_job,
    find_job,
    find_queued_job,
    list_jobs,
)
from service.db.queries.people import ended_trainings
from service.db.queries.repositories import lock_repository
from service.db.queries.reviews import (
    Asked,
    ReviewQuestion,
    ask_review,
    end_open,
    list_interrupted,
    reopen_review,
)
from service.db.session import Database, Session
from service.db.states import Flow, JobStatus
from service.db.tables import Delivery, Job

APPLICATION = "routeprint"
"""Owner of the workflows, should another application share the database."""
VERSION = "1"
"""Shape of the workflows: to be raised when a step is added, removed or moved."""
DELIVERY_WORKFLOW = "delivery"
"""Name of the workflow that acts on a webhook; it is told the delivery's number."""
FIRST_PAUSE = timedelta(minutes=1)
"""Before what failed because of somebody else is tried again; each further pause is twice as long."""
MOST_ATTEMPTS = 12
"""At a webhook: over three days, as long as GitHub itself keeps it."""
MOST_LISTED = 1_000_000
_MOST_DROPPED = 500  # a statement names each


class Queue(StrEnum):
    """What a worker can listen to."""

    REVIEW = "review"
    TRAIN = "train"
    INGEST = "ingest"
    DELIVERY = "delivery"  # webhooks that have been written down


QUEUE_OF = {Flow.REVIEW: Queue.REVIEW, Flow.PROFILE: Queue.TRAIN, Flow.INGEST: Queue.INGEST}


class Urgency(IntEnum):
    """Who goes first on one queue: the lower the sooner. Queues themselves do not wait for each other."""

    MERGE_QUEUE = 1
    ASKED = 5
    PULL = 10
    SCHEDULED = 100


class NotCancellableError(ServiceError):
    """The job has ended."""


class JsonOnly(Serializer):
    """What the engine keeps is JSON: a row of the database must not be able to run code, as a pickle is."""

    def serialize(self, data: Any) -> str:
        """As JSON; an error as its kind and message."""
        return json.dumps(data, default=_error_as_json)

    def deserialize(self, serialized_data: str) -> Any:
        """The value; an error as one of ours."""
        value = json.loads(serialized_data)
        if isinstance(value, dict) and value.keys() == {"error", "message"}:
            return ServiceError(f"{value['error']}: {value['message']}")
        return value

    def name(self) -> str:
        """Written beside every value."""
        return "json"


def _error_as_json(value: object) -> dict[str, str]:
    if isinstance(value, BaseException):
        return {"error": type(value).__name__, "message": str(value)}
    raise TypeError(f"a step's result must be JSON, this is {type(value).__name__}")


def prepare_engine(database: Database) -> None:
    """Bring the job engine's own tables, beside ours, to the version this code was written for."""
    with database.exclusively("migrations", 300):
        DBOS.migrate(database.url)


@dataclass(frozen=True)
class Enqueuer:
    """Writes jobs down and wakes nobody: workers look for themselves. Safe to share between threads."""

    database: Database
    client: DBOSClient

    @classmethod
    def of(cls, database: Database) -> Enqueuer:
        """An enqueuer on an upgraded database."""
        client = DBOSClient(
            system_database_engine=database.engine, serializer=JsonOnly(), application_name=APPLICATION
        )
        return cls(database, client)

    def review(
        self, question: ReviewQuestion, *, requested_by: str = "", urgency: Urgency = Urgency.PULL
    ) -> Asked:
        """Ask for a review, once, and call off what was asked about other heads of its pull request."""
        with self.database.writing() as session:
            asked = ask_review(session, question, requested_by)
            if asked.is_new:
                payload = {"review": asked.review.id}
                self._add(
                    session, asked.review.job_id, Flow.REVIEW, payload, urgency,
                    repository_id=question.repository_id, subject=f"#{question.number}",
                )  # fmt: skip
            cancel_jobs(session, asked.superseded, "superseded", superseded_by=asked.review.job_id)
        self._call_off(asked.superseded)
        return asked

    def call_off_pull(self, repository_id: int, number: int, why: str) -> tuple[str, ...]:
        """Call off what is open on a pull request; returns the jobs. Doing it twice does no harm."""
        with self.database.writing() as session:
            ended = end_open(session, repository_id, number, why)
            cancel_jobs(session, ended, why)
        self._call_off(ended)
        return ended

    def ingest(self, repository_id: int, *, urgency: Urgency = Urgency.PULL) -> str:
        """Ask for what is new in a repository's history to be read; returns the job's id.

        One that still waits answers for this one too. One that runs does not: it may have looked already.
        """
        return self._ask_once(Flow.INGEST, repository_id, "", {}, urgency)

    def profile(
        self, repository_id: int, team: str = "", *, urgency: Urgency = Urgency.SCHEDULED, **payload: Any
    ) -> str:
        """Ask for a team's signature to be learned; returns the job's id, as above."""
        return self._ask_once(Flow.PROFILE, repository_id, f"team:{team}", {"team": team, **payload}, urgency)

    def refresh(self, repository_id: int, team: str = "") -> str:
        """Ask for a team's newer commits to join its calibration; returns the job's id, as above."""
        return self._ask_once(
            Flow.PROFILE, repository_id, f"calibration:{team}", {"team": team, "refresh": True},
            Urgency.SCHEDULED,
        )  # fmt: skip

    def delivery(self, session: Session, delivery_id: int) -> None:
        """Ask for a webhook to be acted on, in the transaction that writes its row.

        No job: the delivery's own row tells how it fares. An attempt has a workflow of its own, so that a
        redelivery of one that failed is not taken for the old one.
        """
        attempts = session.get_one(Delivery, delivery_id).attempts
        options: EnqueueOptions = {
            "workflow_name": DELIVERY_WORKFLOW, "queue_name": Queue.DELIVERY.value,
            "workflow_id": f"{DELIVERY_WORKFLOW}-{delivery_id}-{attempts}",
            "workflow_id_reuse_policy": "reject",
        }  # fmt: skip
        self.client.enqueue_in_transaction(session, options, delivery_id)

    def deliveries_again(self) -> int:
        """Ask again for webhooks that could not be acted on, each after its pause; returns how many."""
        with self.database.writing() as session:
            due = wait_again(
                session, self.database.now(session), first_pause=FIRST_PAUSE, most_attempts=MOST_ATTEMPTS
            )
            for delivery_id in due:
                self.delivery(session, delivery_id)
        return len(due)

    def reviews_again(self, passes: Sequence[type[Exception]]) -> int:
        """Ask again for reviews that failed for a reason that passes by itself; returns how many.

        Args:
            passes: the errors of such reasons.
        """
        with self.database.writing() as session:
            names = [error.__name__ for error in passes]
            due = list_interrupted(session, self.database.now(session), names, FIRST_PAUSE)
            for row in due:
                self._again(session, find_job(session, row.job_id))
        return len(due)

    def _ask_once(
        self, flow: Flow, repository_id: int, subject: str, payload: dict[str, Any], urgency: Urgency
    ) -> str:
        with self.database.writing() as session:
            lock_repository(session, repository_id)
            waiting = find_queued_job(session, flow, repository_id, subject)
            if waiting is not None:
                return waiting.id
            job_id = f"{flow}-{repository_id}-{secrets.token_hex(6)}"
            self._add(
                session, job_id, flow, {"repository": repository_id, **payload}, urgency,
                repository_id=repository_id, subject=subject,
            )  # fmt: skip
        return job_id

    def _add(
        self, session: Session, job_id: str, flow: Flow, payload: dict[str, Any], urgency: int, **row: Any
    ) -> None:
        queue = QUEUE_OF[flow]
        add_job(session, job_id, flow=flow, queue=queue, payload=payload, priority=urgency, **row)
        # Without a version: the newest workers take it, whichever version asked
        options: EnqueueOptions = {
            "workflow_name": flow.value, "queue_name": queue.value, "workflow_id": job_id,
            "priority": int(urgency), "workflow_id_reuse_policy": "reject",
        }  # fmt: skip
        self.client.enqueue_in_transaction(session, options, job_id)

    def cancel(self, job_id: str, why: str = "cancelled on request") -> Job:
        """Call a job off; one that runs stops within a second or at its next step.

        Raises:
            UnknownJobError, NotCancellableError: there is none, or it has ended.
        """
        with self.database.writing() as session:
            job = find_job(session, job_id)
            if not cancel_jobs(session, [job.id], why):
                raise NotCancellableError(f"{job.id} has ended ({job.status}); there is nothing to cancel")
        self._call_off([job.id])
        return job

    def retry(self, job_id: str) -> str:
        """Ask again for a job that failed or was cancelled; returns the new job's id.

        Raises:
            UnknownJobError, NotCancellableError: there is none, or it is still wanted.
        """
        with self.database.writing() as session:
            job = find_job(session, job_id)
            if job.status not in {JobStatus.FAILED, JobStatus.CANCELLED}:
                raise NotCancellableError(
                    f"{job.id} is {job.status}; only what failed or was cancelled can be asked again"
                )
            return self._again(session, job)

    def start_over(self, job_id: str, why: str) -> str | None:
        """Give a job that this version cannot go on with to a new workflow; None when it has ended."""
        if job_id.startswith(f"{DELIVERY_WORKFLOW}-"):
            return self._delivery_over(job_id)
        with self.database.writing() as session:
            job = find_job(session, job_id)
            if job.status.is_final:
                return None
            fail_open_job(session, job.id, why)
            return self._again(session, job)

    def _delivery_over(self, workflow_id: str) -> str | None:
        number = int(workflow_id.split("-")[1])
        with self.database.writing() as session:
            if not reopen_delivery(session, number):
                return None
            self.delivery(session, number)
        return workflow_id

    def _again(self, session: Session, job: Job) -> str:
        payload, new_id = dict(job.payload), f"{job.flow}-again-{secrets.token_hex(6)}"
        if job.flow is Flow.REVIEW:
            new_id = reopen_review(session, payload["review"]).job_id
        self._add(
            session, new_id, job.flow, payload, job.priority,
            repository_id=job.repository_id, subject=job.subject, retry_of=job.id,
        )  # fmt: skip
        return new_id

    def drop_trainings(self, repository_id: int) -> None:
        """Delete what ended trainings of a repository left: their results name the people they learned."""
        with self.database.writing() as session:
            ended = ended_trainings(session, repository_id)
            for job in ended:
                job.result = {}
        self.drop_workflows([job.id for job in ended])

    def drop_work(self, repository_id: int, why: str) -> None:
        """Call off what is open on a repository, and delete the engine's records of all that was asked."""
        with self.database.writing() as session:
            jobs = [job.id for job in list_jobs(session, repository_id=repository_id, limit=MOST_LISTED)]
            open_jobs = cancel_jobs(session, jobs, why)
        self._call_off(open_jobs)
        self.drop_workflows([job_id for job_id in jobs if job_id not in open_jobs])

    def drop_old(self, older_than: timedelta) -> int:
        """Delete jobs and deliveries that ended long ago, in the engine too; returns how many."""
        n_dropped = 0
        while True:
            with self.database.writing() as session:
                before = self.database.now(session) - older_than
                jobs = drop_old_jobs(session, before, _MOST_DROPPED)
                deliveries = drop_old_deliveries(session, before, _MOST_DROPPED)
            attempts = [f"{DELIVERY_WORKFLOW}-{number}-{k}" for number, n in deliveries for k in range(n + 1)]
            self.drop_workflows([*jobs, *attempts])
            n_dropped += len(jobs) + len(deliveries)
            if max(len(jobs), len(deliveries)) < _MOST_DROPPED:
                return n_dropped

    def drop_workflows(self, workflow_ids: Sequence[str]) -> None:
        """Delete the engine's record of work that has ended."""
        for start in range(0, len(workflow_ids), _MOST_DROPPED):
            self.client.delete_workflows(list(workflow_ids[start : start + _MOST_DROPPED]))

    def _call_off(self, job_ids: Sequence[str]) -> None:
        """Tell the engine, after our own rows are written: on SQLite there is one writer at a time."""
        if job_ids:
            self.client.cancel_workflows(list(job_ids))

    def close(self) -> None:
        """Let go of the engine's client; the database stays open."""
        self.client.destroy()
