"""Workers: who is heard of, who has gone silent, and whose turn it is to look after them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import update
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col, select

from service.db.queries.jobs import changed
from service.db.states import ExecutorStatus
from service.db.tables import Executor, Lease


def register_executor(
    session: Session,
    executor_id: str,
    *,
    host: str,
    pid: int,
    queues: Sequence[str],
    version: str,
    at: datetime,
) -> None:
    """Write a worker process down, in place of the one that had its id before."""
    row = session.get(Executor, executor_id) or Executor(id=executor_id, host=host, pid=pid, version=version)
    row.host, row.pid, row.queues, row.version = host, pid, list(queues), version
    row.status, row.started_at, row.beat_at = ExecutorStatus.LIVE, at, at
    session.add(row)


def beat(session: Session, executor_id: str, at: datetime) -> ExecutorStatus | None:
    """Say that a worker lives; returns what was thought of it (None: it was forgotten)."""
    row = session.get(Executor, executor_id)
    if row is None:
        return None
    before, row.beat_at = row.status, at
    if row.status is ExecutorStatus.SILENT:
        row.status = ExecutorStatus.LIVE
    return before


def set_status(session: Session, executor_id: str, status: ExecutorStatus) -> None:
    """A worker's own word about itself."""
    session.execute(update(Executor).where(col(Executor.id) == executor_id).values(status=status))


def list_executors(session: Session) -> Sequence[Executor]:
    """Every worker ever heard of."""
    return session.exec(select(Executor).order_by(col(Executor.id))).all()


def find_silent(session: Session, at: datetime, timeout: timedelta) -> Sequence[Executor]:
    """Workers whose jobs somebody else should do: silent for too long, or stopped.

    One that was called silent before stays on the list: what it held may not all have been handed on.
    """
    is_gone = col(Executor.status).in_([ExecutorStatus.STOPPED, ExecutorStatus.SILENT])
    return session.exec(select(Executor).where(is_gone | (col(Executor.beat_at) < at - timeout))).all()


def note_recovered(session: Session, executor_id: str, n_jobs: int, at: datetime, timeout: timedelta) -> None:
    """Call a worker silent, unless it has been heard of meanwhile, and count the jobs handed on."""
    session.execute(
        update(Executor)
        .where(col(Executor.id) == executor_id, col(Executor.status) != ExecutorStatus.STOPPED)
        .where(col(Executor.beat_at) < at - timeout)
        .values(status=ExecutorStatus.SILENT)
    )
    if n_jobs:
        session.execute(
            update(Executor)
            .where(col(Executor.id) == executor_id)
            .values(n_recovered=Executor.n_recovered + n_jobs)
        )


def take_lease(session: Session, name: str, holder: str, at: datetime, length: timedelta) -> bool:
    """Take or keep a turn that ends by itself: free, ended, or the holder's own already."""
    free = (col(Lease.holder) == holder) | (col(Lease.expires_at) <= at)
    values = {"holder": holder, "expires_at": at + length, "fence": Lease.fence + 1}
    if changed(session, update(Lease).where(col(Lease.name) == name, free).values(**values)):
        return True
    if session.get(Lease, name) is not None:
        return False
    try:
        with session.begin_nested():
            session.add(Lease(name=name, holder=holder, fence=1, expires_at=at + length))
    except IntegrityError:  # somebody else was first
        return False
    return True


def give_up_lease(session: Session, name: str, holder: str) -> None:
    """End a turn early, so that the next need not wait for its end."""
    lease = session.get(Lease, name)
    if lease is not None and lease.holder == holder:
        session.delete(lease)
