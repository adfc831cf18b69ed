"""Jobs as people see them: what was asked, where it stands, what it said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from sqlalchemy import CursorResult, delete, func, update
from sqlmodel import Session, col, select

from service import ServiceError
from service.db.columns import now
from service.db.states import Flow, JobStatus
from service.db.tables import Job, JobLine


class UnknownJobError(ServiceError):
    """No job of that name is kept."""


@dataclass(frozen=True, slots=True)
class JobProgress:
    """Where a job's current step stands; what is None is not known."""

    step: str
    done: float = 0.0
    total: float | None = None
    tokens_per_second: float | None = None
    seconds_left: float | None = None
    loss: float | None = None


def add_job(
    session: Session,
    job_id: str,
    *,
    flow: Flow,
    queue: str,
    payload: dict[str, Any],
    repository_id: int | None = None,
    subject: str = "",
    priority: int = 0,
    retry_of: str = "",
) -> bool:
    """Write a job down; False when it already was."""
    if session.get(Job, job_id) is not None:
        return False
    session.add(
        Job(id=job_id, flow=flow, queue=queue, payload=payload, repository_id=repository_id, subject=subject,
            priority=priority, retry_of=retry_of)
    )  # fmt: skip
    session.flush()
    return True


def find_job(session: Session, job_id: str) -> Job:
    """A job by its id, or by the beginning of exactly one.

    Raises:
        UnknownJobError: none, or several.
    """
    found = session.get(Job, job_id)
    if found is not None:
        return found
    near = session.exec(select(Job).where(col(Job.id).startswith(job_id, autoescape=True)).limit(2)).all()
    if len(near) != 1 or not job_id:
        problem = "is the beginning of several jobs" if near else "is no job"
        raise UnknownJobError(f"{job_id!r} {problem}; see `routeprint jobs list`")
    return near[0]


def find_queued_job(session: Session, flow: Flow, repository_id: int, subject: str) -> Job | None:
    """A job that asks the same and has not begun."""
    return session.exec(
        select(Job).where(
            Job.flow == flow, Job.repository_id == repository_id, Job.subject == subject,
            Job.status == JobStatus.QUEUED,
        )
    ).first()  # fmt: skip


def place_in_queue(session: Session, job: Job) -> tuple[int, int]:
    """(place, how many wait) of a queued job in its queue: the more urgent, then the older first."""
    waiting = (Job.queue == job.queue, Job.status == JobStatus.QUEUED)
    is_before = (col(Job.priority) < job.priority) | (
        (col(Job.priority) == job.priority) & (col(Job.created_at) < job.created_at)
    )
    n_before = session.exec(select(func.count()).select_from(Job).where(*waiting, is_before)).one()
    n = session.exec(select(func.count()).select_from(Job).where(*waiting)).one()
    return n_before + 1, n


def list_jobs(
    session: Session,
    *,
    statuses: Sequence[JobStatus] = (),
    flow: Flow | None = None,
    repository_id: int | None = None,
    limit: int = 50,
) -> Sequence[Job]:
    """Jobs, newest first."""
    wanted = select(Job).order_by(col(Job.created_at).desc(), col(Job.id)).limit(limit)
    if statuses:
        wanted = wanted.where(col(Job.status).in_(statuses))
    if flow is not None:
        wanted = wanted.where(Job.flow == flow)
    if repository_id is not None:
        wanted = wanted.where(Job.repository_id == repository_id)
    return session.exec(wanted).all()


def begin_attempt(session: Session, job_id: str, executor: str) -> int | None:
    """Count one more attempt, by this executor; its number fences all that the attempt writes.

    Returns None for a job that is no longer wanted or was forgotten with its repository.
    """
    job = session.exec(select(Job).where(Job.id == job_id).with_for_update()).one_or_none()
    if job is None or job.status in {JobStatus.CANCELLED, JobStatus.DONE}:
        return None
    job.attempt += 1
    job.status, job.executor, job.error = JobStatus.RUNNING, executor, ""
    job.updated_at, job.finished_at = now(), None
    job.started_at = job.started_at or job.updated_at
    session.add(JobLine(job_id=job_id, attempt=job.attempt, text=f"attempt {job.attempt} on {executor}"))
    return job.attempt


def is_current(session: Session, job_id: str, attempt: int) -> bool:
    """Whether an attempt is still the one that counts."""
    wanted = select(Job.id).where(Job.id == job_id, Job.attempt == attempt, Job.status == JobStatus.RUNNING)
    return session.exec(wanted).first() is not None


def tell_progress(session: Session, job_id: str, attempt: int, progress: JobProgress) -> bool:
    """Write down where a job stands; False when the attempt no longer counts."""
    return _change(
        session, job_id, attempt, step=progress.step, done=progress.done, total=progress.total,
        tokens_per_second=progress.tokens_per_second, seconds_left=progress.seconds_left, loss=progress.loss,
    )  # fmt: skip


def end_job(
    session: Session,
    job_id: str,
    attempt: int,
    status: JobStatus,
    *,
    result: dict[str, Any] | None = None,
    error: str = "",
) -> bool:
    """Write a job's end down; False when the attempt no longer counts."""
    ended = _change(
        session, job_id, attempt, status=status, result=result or {}, error=error, finished_at=now(),
        seconds_left=None,
    )  # fmt: skip
    if ended:
        session.add(JobLine(job_id=job_id, attempt=attempt, text=error or status.value))
    return ended


def _change(session: Session, job_id: str, attempt: int, **values: Any) -> bool:
    mine = (col(Job.id) == job_id, col(Job.attempt) == attempt, col(Job.status) == JobStatus.RUNNING)
    return changed(session, update(Job).where(*mine).values(updated_at=now(), **values))


def changed(session: Session, statement: Any) -> bool:
    """Run an UPDATE or DELETE; whether it met any row."""
    return cast("CursorResult[Any]", session.execute(statement)).rowcount > 0


def cancel_jobs(session: Session, job_ids: Sequence[str], why: str, superseded_by: str = "") -> list[str]:
    """Mark jobs that have not ended as cancelled; returns those that were."""
    open_jobs = select(Job).where(
        col(Job.id).in_(job_ids), col(Job.status).in_([JobStatus.QUEUED, JobStatus.RUNNING])
    )
    cancelled = session.exec(open_jobs.with_for_update()).all()
    for job in cancelled:
        job.status, job.superseded_by, job.finished_at = JobStatus.CANCELLED, superseded_by, now()
        session.add(JobLine(job_id=job.id, attempt=job.attempt, text=why))
    return [job.id for job in cancelled]


def fail_open_job(session: Session, job_id: str, error: str) -> bool:
    """End a job that the engine has given up, whichever attempt it was."""
    still_open = col(Job.status).in_([JobStatus.QUEUED, JobStatus.RUNNING])
    values = {"status": JobStatus.FAILED, "error": error, "finished_at": now(), "updated_at": now()}
    if not changed(session, update(Job).where(col(Job.id) == job_id, still_open).values(**values)):
        return False
    session.add(JobLine(job_id=job_id, text=error))
    return True


def add_line(session: Session, job_id: str, attempt: int, text: str) -> None:
    """Add a line to a job's log."""
    session.add(JobLine(job_id=job_id, attempt=attempt, text=text))


def list_lines(session: Session, job_id: str) -> Sequence[JobLine]:
    """A job's log, in order."""
    return session.exec(select(JobLine).where(JobLine.job_id == job_id).order_by(col(JobLine.id))).all()


def drop_old_jobs(session: Session, before: datetime, limit: int) -> list[str]:
    """Delete jobs that ended before a moment, with their logs; returns their ids."""
    ended = select(Job.id).where(col(Job.finished_at) < before).order_by(col(Job.finished_at)).limit(limit)
    found = list(session.exec(ended))
    session.execute(delete(Job).where(col(Job.id).in_(found)))
    return found
