"""A worker process: takes jobs from its queues until it is told to stop, then finishes what it can."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from types import FrameType

from dbos import DBOS, DBOSConfig

from service.artifacts import ArtifactStore
from service.db.migrate import upgrade
from service.db.queries.executors import set_status
from service.db.session import Database, connect
from service.db.states import ExecutorStatus, Flow
from service.enqueue import (
    APPLICATION,
    DELIVERY_WORKFLOW,
    VERSION,
    Enqueuer,
    JsonOnly,
    Queue,
    prepare_engine,
)
from service.jobs.deliveries import act_on
from service.jobs.executor import ExecutorName, claim_name
from service.jobs.learning import ingest, profile
from service.jobs.review import review
from service.jobs.supervisor import Supervisor
from service.jobs.work import Work
from service.settings import Settings

LOG = logging.getLogger(__name__)
_LOOK_EVERY_S = 0.5


@dataclass(frozen=True)
class Worker:
    """A process that does jobs. One a process: the engine is the process's own."""

    settings: Settings
    queues: tuple[Queue, ...]
    database: Database
    enqueuer: Enqueuer
    name: ExecutorName
    supervisor: Supervisor
    work: Work

    @classmethod
    def start(cls, settings: Settings, queues: Sequence[Queue], work: Work) -> Worker:
        """Upgrade the database, take a name, and begin to take jobs.

        Raises:
            DatabaseError: the database cannot be used.
        """
        if work.act is None:  # else it would take webhooks and fail them
            queues = [queue for queue in queues if queue is not Queue.DELIVERY]
        database = connect(settings)
        upgrade(database)
        prepare_engine(database)
        name = claim_name(settings.home, queues)
        enqueuer = Enqueuer.of(database)
        supervisor = Supervisor(
            database, enqueuer, settings, name.id, name.host, os.getpid(), queues, work.chores
        )
        supervisor.register()
        _launch(settings, database, queues, name.id, work)
        supervisor.start()
        return cls(settings, tuple(queues), database, enqueuer, name, supervisor, work)

    def stop(self) -> None:
        """Take no more jobs, give those begun their time, and let others have the rest."""
        self._say(ExecutorStatus.DRAINING)
        # whole seconds, looked at once a second: the engine's own terms
        DBOS.destroy(workflow_completion_timeout_sec=int(self.settings.drain_timeout_s))
        self.supervisor.stop()
        self._say(ExecutorStatus.STOPPED)
        self.work.close()
        self.enqueuer.close()
        self.database.close()
        self.name.release()

    def _say(self, status: ExecutorStatus) -> None:
        with self.database.writing() as session:
            set_status(session, self.name.id, status)


def _launch(
    settings: Settings, database: Database, queues: Sequence[Queue], executor_id: str, work: Work
) -> None:
    config: DBOSConfig = {
        "name": APPLICATION, "system_database_url": database.url, "application_version": VERSION,
        "executor_id": executor_id, "serializer": JsonOnly(), "log_level": "WARNING",
        "run_migrations": False, "notification_listener_polling_interval_sec": 1.0,
    }  # fmt: skip
    DBOS(config=config)
    _register_workflows(settings, database, work)
    DBOS.listen_queues([queue.value for queue in queues])  # else every process takes every job
    DBOS.launch()
    concurrency = {
        Queue.REVIEW: settings.worker_reviews, Queue.TRAIN: 1, Queue.INGEST: settings.worker_ingests,
        Queue.DELIVERY: settings.worker_reviews,
    }  # fmt: skip
    for queue, n_jobs in concurrency.items():
        is_waited_for = queue in {Queue.REVIEW, Queue.DELIVERY}
        poll_s = settings.poll_s if is_waited_for else min(1.0, 4 * settings.poll_s)
        DBOS.register_queue(queue.value, worker_concurrency=n_jobs, polling_interval_sec=poll_s)


def _register_workflows(settings: Settings, database: Database, work: Work) -> None:
    """Make the workflows known to the engine, under the names that jobs are enqueued with."""
    store, attempts = ArtifactStore(settings.home), settings.job_attempts

    @DBOS.workflow(name=Flow.INGEST.value, max_recovery_attempts=attempts)
    def _ingest(job_id: str) -> dict[str, object]:
        return ingest(job_id, database, work)

    @DBOS.workflow(name=Flow.PROFILE.value, max_recovery_attempts=attempts)
    def _profile(job_id: str) -> dict[str, object]:
        return profile(job_id, database, work)

    @DBOS.workflow(name=Flow.REVIEW.value, max_recovery_attempts=attempts)
    def _review(job_id: str) -> dict[str, object]:
        return review(job_id, database, store, work.review)

    if work.act is None:
        return
    act = work.act

    @DBOS.workflow(name=DELIVERY_WORKFLOW, max_recovery_attempts=attempts)
    def _delivery(delivery_id: int) -> str:
        return act_on(delivery_id, database, act)


def run_worker(
    settings: Settings, queues: Sequence[Queue], work: Work, *, ends_with_parent: bool = False
) -> None:
    """Do jobs until SIGTERM or SIGINT, then drain and end the process. For a process's main thread.

    Args:
        ends_with_parent: drain too when the process that started this one, by multiprocessing, is gone.
    """
    stopping = threading.Event()

    def stop(number: int, _frame: FrameType | None) -> None:
        LOG.info("signal %d: stopping", number)
        stopping.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    worker = Worker.start(settings, queues, work)
    LOG.info("%s listens to %s", worker.name.id, ", ".join(queues))
    parent = multiprocessing.parent_process() if ends_with_parent else None
    while not stopping.wait(_LOOK_EVERY_S):
        if parent is not None and not parent.is_alive():
            LOG.warning("the parent process is gone: stopping")
            break
    worker.stop()
    logging.shutdown()
    os._exit(0)  # a training that outlasted the drain runs in a thread that nothing can stop
