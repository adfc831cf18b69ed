"""One attempt at a job: its number fences all that it writes, and its progress is told once a second."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from dbos import DBOS

from connectors.github import RateLimitedError
from service.db.queries.jobs import JobProgress, add_line, begin_attempt, end_job, is_current, tell_progress
from service.db.session import Database, Session
from service.db.states import JobStatus
from service.jobs.work import NotWantedError

TELL_EVERY_S = 1.0
"""A row a second for each running job is nothing to a database; more would say nothing to a person."""
FIRST_PAUSE_S = 1.0
"""Before a step is tried again; each further pause is twice as long."""
_T = TypeVar("_T")


@dataclass
class Attempt:
    """An attempt that counts until another begins or the job is called off."""

    database: Database
    job_id: str
    number: int
    _told_at: float = 0.0
    _told_step: str = ""
    _lines: list[str] = field(default_factory=list)
    _turn: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def begin(cls, database: Database, job_id: str) -> Attempt | None:
        """Begin one more attempt; None when the job is no longer wanted."""
        with database.writing() as session:
            number = begin_attempt(session, job_id, DBOS.executor_id)
        return None if number is None else cls(database, job_id, number)

    def step(self, name: str, run: Callable[[], _T], *, n_tries: int = 1) -> _T:
        """Run a step of the workflow: a result that was kept is returned without running it again.

        The engine's own repetition is not used: after its last try it raises an error that does not say what
        went wrong.

        Args:
            run: returns what JSON can hold.
            n_tries: how often what raises is tried, a second and then two, four, ... apart.
        """

        def told() -> _T:
            for n_failed in range(n_tries - 1):
                try:
                    return self._run_once(name, run)
                except (NotWantedError, RateLimitedError):  # it waits for longer than a step may
                    raise
                except Exception as error:  # noqa: BLE001 - whatever it was, it may be gone the next time
                    self._lines.append(f"{name}: {type(error).__name__}: {error}; tried again")
                    time.sleep(FIRST_PAUSE_S * 2**n_failed)
            return self._run_once(name, run)

        options: Any = {"name": name}
        return DBOS.run_step(options, told)

    def _run_once(self, name: str, run: Callable[[], _T]) -> _T:
        self.tell(JobProgress(name))
        started = time.monotonic()
        result = run()
        self._lines.append(f"{name}: done in {time.monotonic() - started:.1f} s")
        return result

    def tell(self, progress: JobProgress) -> None:
        """Write progress down, unless that was done a moment ago.

        Raises:
            NotWantedError: the attempt no longer counts; whoever is told so stops.
        """
        with self._turn:
            moment = time.monotonic()
            if progress.step == self._told_step and moment - self._told_at < TELL_EVERY_S:
                return
            self._told_at, self._told_step = moment, progress.step
        with self.database.writing() as session:
            still_counts = tell_progress(session, self.job_id, self.number, progress)
            self._write_lines(session)
        if not still_counts:
            raise NotWantedError(f"attempt {self.number} of {self.job_id} no longer counts")

    def require_current(self) -> None:
        """Ask whether the attempt still counts, now.

        Raises:
            NotWantedError: it does not.
        """
        with self.database.reading() as session:
            still_counts = is_current(session, self.job_id, self.number)
        if not still_counts:
            raise NotWantedError(f"attempt {self.number} of {self.job_id} no longer counts")

    def end(self, status: JobStatus, *, result: dict[str, Any] | None = None, error: str = "") -> bool:
        """Write the job's end down; False when the attempt no longer counts."""
        with self.database.writing() as session:
            self._write_lines(session)
            return end_job(session, self.job_id, self.number, status, result=result, error=error)

    def _write_lines(self, session: Session) -> None:
        """With the next thing that is written: transactions of their own would be a third of a short step."""
        lines, self._lines = self._lines, []
        for text in lines:
            add_line(session, self.job_id, self.number, text)
