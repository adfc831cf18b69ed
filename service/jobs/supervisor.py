"""Who looks after the workers: each says that it lives; the one that leads hands on what the silent left."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from dbos import DBOS

from service.db.queries.executors import (
    beat,
    find_silent,
    give_up_lease,
    list_executors,
    note_recovered,
    register_executor,
    take_lease,
)  # fmt: skip
from service.db.queries.jobs import fail_open_job, list_jobs
from service.db.session import Database
from service.db.states import ExecutorStatus, JobStatus
from service.enqueue import VERSION, Enqueuer
from service.jobs.work import Chore
from service.settings import Settings

LOG = logging.getLogger(__name__)
_LEADER = "supervisor"
_GIVEN_UP = {"ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"}


@dataclass
class Supervisor:
    """A thread beside a worker's jobs.

    The lease on leading is a row with an end on both databases: a leader that is frozen must lose it. Two
    leaders for a moment are harmless, since a job is handed on only while its row names the silent worker.
    """

    database: Database
    enqueuer: Enqueuer
    settings: Settings
    executor_id: str
    host: str
    pid: int
    queues: Sequence[str]
    chores: Sequence[Chore] = ()
    _stopping: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None
    _due: dict[str, float] = field(default_factory=dict)

    @property
    def _timeout(self) -> timedelta:
        return timedelta(seconds=self.settings.executor_timeout_s)

    def register(self) -> None:
        """Be heard of, before the first job can be taken."""
        with self.database.writing() as session:
            register_executor(
                session, self.executor_id, host=self.host, pid=self.pid, queues=self.queues, version=VERSION,
                at=self.database.now(session),
            )  # fmt: skip

    def start(self) -> None:
        """Begin to beat."""
        self._thread = threading.Thread(target=self._run, name="supervisor", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Beat no more, and lead no more."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout=10)
        with self.database.writing() as session:
            give_up_lease(session, _LEADER, self.executor_id)

    def _run(self) -> None:
        while True:
            try:
                if self._beat():
                    self._lead()
            except Exception:  # the database may be away for a while
                LOG.exception("a sign of life could not be given")
            if self._stopping.wait(self.settings.heartbeat_s):
                return

    def _beat(self) -> bool:
        """Say that this worker lives; returns whether it leads."""
        with self.database.writing() as session:
            moment = self.database.now(session)
            if beat(session, self.executor_id, moment) is ExecutorStatus.SILENT:
                LOG.warning("this worker was thought dead, and its jobs were handed on")
            return take_lease(session, _LEADER, self.executor_id, moment, self._timeout)

    def _lead(self) -> None:
        self._hand_on()
        if self._is_due("tidy", self.settings.executor_timeout_s):
            self._lead_versions()
            self._note_given_up()
        for chore in self.chores:
            if self._is_due(chore.name, chore.every_s):
                try:
                    chore.run(self.enqueuer)
                except Exception:  # one chore must not keep the others from being done
                    LOG.exception("chore %s failed", chore.name)

    def _is_due(self, name: str, every_s: float) -> bool:
        moment = time.monotonic()
        if moment < self._due.get(name, 0.0):
            return False
        self._due[name] = moment + every_s
        return True

    def _hand_on(self) -> None:
        """Queue again what silent and stopped workers had begun, each job on the queue it came from."""
        with self.database.reading() as session:
            moment = self.database.now(session)
            gone = [
                row.id for row in find_silent(session, moment, self._timeout) if row.id != self.executor_id
            ]
        for executor_id in gone:
            # Below the public interface on purpose: resume_workflow would queue a job again that another
            # worker has taken up meanwhile; this asks, in one statement, that the row still names the dead.
            handed_on = DBOS._recover_pending_workflows([executor_id])  # noqa: SLF001
            if handed_on:
                LOG.warning("%s went silent; %d jobs were handed on", executor_id, len(handed_on))
            with self.database.writing() as session:
                moment = self.database.now(session)
                note_recovered(session, executor_id, len(handed_on), moment, self._timeout)

    def _live_versions(self) -> set[str]:
        with self.database.reading() as session:
            moment = self.database.now(session)
            rows = list_executors(session)
        return {row.version for row in rows if row.beat_at > moment - self._timeout} | {VERSION}

    def _lead_versions(self) -> None:
        """Begin anew what belongs to a version of the workflows that no live worker has.

        Steps of another shape cannot be gone on from. Beginning anew costs little: artifacts are found, and
        what was published is left alone.
        """
        live = self._live_versions()
        if DBOS.get_latest_application_version()["version_name"] not in live:
            DBOS.set_latest_application_version(VERSION)  # after a roll-back; else nobody takes new jobs
        pending = self.enqueuer.client.list_workflows(
            status=["PENDING", "ENQUEUED"], load_input=False, load_output=False
        )
        for workflow in pending:
            if workflow.app_version is not None and workflow.app_version not in live:
                why = f"begun by version {workflow.app_version} of the workflows, now {VERSION}"
                self.enqueuer.client.cancel_workflow(workflow.workflow_id)
                LOG.warning("%s: %s", workflow.workflow_id, why)
                self.enqueuer.start_over(workflow.workflow_id, why)

    def _note_given_up(self) -> None:
        """Let the rows that people see agree with the engine where it has given a job up."""
        with self.database.reading() as session:
            running = list_jobs(session, statuses=[JobStatus.RUNNING], limit=1000)
        ids = [job.id for job in running]
        if not ids:
            return
        for workflow in self.enqueuer.client.list_workflows(workflow_ids=ids, load_input=False):
            if workflow.status in _GIVEN_UP:
                with self.database.writing() as session:
                    words = f"given up after {self.settings.job_attempts} workers went down with it"
                    why = (
                        words if workflow.status.startswith("MAX") else f"{workflow.status}: {workflow.error}"
                    )
                    fail_open_job(session, workflow.workflow_id, why)
