"""Pages of rows for the API: each begins after the last row of the one before; none comes twice."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlmodel import Session, col, select

from service.db.states import Flow, JobStatus, ReviewStatus
from service.db.tables import Job, JobLine, Repository, Review, Team


def list_repositories_after(session: Session, after: int, limit: int) -> Sequence[Repository]:
    """Repositories in the order in which they became known."""
    wanted = select(Repository).where(col(Repository.id) > after).order_by(col(Repository.id))
    return session.exec(wanted.limit(limit)).all()


def list_teams_of(session: Session, repository_ids: Sequence[int]) -> Sequence[Team]:
    """The teams of some repositories, by name."""
    return session.exec(
        select(Team).where(col(Team.repository_id).in_(repository_ids)).order_by(col(Team.name))
    ).all()


def list_reviews_before(
    session: Session,
    *,
    repository_id: int | None = None,
    number: int | None = None,
    status: ReviewStatus | None = None,
    verdict: str | None = None,
    before: int | None = None,
    limit: int = 50,
) -> list[tuple[Review, str]]:
    """Reviews with their repositories' names, newest first."""
    wanted = _reviews().order_by(col(Review.id).desc()).limit(limit)
    asked = {
        Review.repository_id: repository_id, Review.number: number, Review.status: status,
        Review.verdict: verdict,
    }  # fmt: skip
    for column, value in asked.items():
        if value is not None:
            wanted = wanted.where(col(column) == value)
    if before is not None:
        wanted = wanted.where(col(Review.id) < before)
    return [(row[0], row[1]) for row in session.execute(wanted)]


def find_review_named(session: Session, review_id: int) -> tuple[Review, str] | None:
    """A review and its repository's name."""
    row = session.execute(_reviews().where(col(Review.id) == review_id)).one_or_none()
    return None if row is None else (row[0], row[1])


def _reviews() -> sa.Select[Review, str]:
    return sa.select(Review, col(Repository.full_name)).join(
        Repository, col(Repository.id) == col(Review.repository_id)
    )


def list_jobs_before(
    session: Session,
    *,
    repository_id: int | None = None,
    status: JobStatus | None = None,
    flow: Flow | None = None,
    before: tuple[datetime, str] | None = None,
    limit: int = 50,
) -> list[tuple[Job, str | None]]:
    """Jobs with their repositories' names, newest first."""
    wanted = _jobs().order_by(col(Job.created_at).desc(), col(Job.id).desc()).limit(limit)
    for column, value in {Job.repository_id: repository_id, Job.status: status, Job.flow: flow}.items():
        if value is not None:
            wanted = wanted.where(col(column) == value)
    if before is not None:
        moment, last = before
        is_older = (col(Job.created_at) == moment) & (col(Job.id) < last)
        wanted = wanted.where((col(Job.created_at) < moment) | is_older)
    return [(row[0], row[1]) for row in session.execute(wanted)]


def find_job_named(session: Session, job_id: str) -> tuple[Job, str | None] | None:
    """A job, by its whole id, and its repository's name."""
    row = session.execute(_jobs().where(col(Job.id) == job_id)).one_or_none()
    return None if row is None else (row[0], row[1])


def _jobs() -> sa.Select[Job, str]:
    return sa.select(Job, col(Repository.full_name)).outerjoin(
        Repository, col(Repository.id) == col(Job.repository_id)
    )


def last_lines(session: Session, job_id: str, limit: int = 100) -> list[JobLine]:
    """The end of a job's log, in order."""
    wanted = select(JobLine).where(JobLine.job_id == job_id).order_by(col(JobLine.id).desc()).limit(limit)
    return list(reversed(session.exec(wanted).all()))
