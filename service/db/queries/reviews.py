"""Reviews: each question asked once, the newest head the only one that counts."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func
from sqlalchemy.orm import aliased
from sqlmodel import Session, col, or_, select

from service import ServiceError
from service.db.columns import now
from service.db.queries.repositories import lock_repository
from service.db.states import ReviewStatus
from service.db.tables import Job, Review

MOST_ASKED = 10
"""Times that a review which cannot reach GitHub is asked for by itself: over about eight hours."""


class UnknownReviewError(ServiceError):
    """No review of that number is kept."""


@dataclass(frozen=True, slots=True)
class ReviewQuestion:
    """All that an answer depends on.

    Attributes:
        number: of the pull request, 0 for a merge queue's group. run: counts repetitions on request.
        signature_version: of the team's signature, 0 without one.
    """

    repository_id: int
    number: int
    head_sha: str
    base_sha: str
    team: str = ""
    signature_version: int = 0
    config_hash: str = ""
    run: int = 0

    @property
    def external_id(self) -> str:
        """A name for the answer that GitHub keeps for us: the same for the same question."""
        text = "\0".join(str(value) for value in asdict(self).values())
        return f"rp-{hashlib.sha256(text.encode()).hexdigest()[:32]}"


@dataclass(frozen=True, slots=True)
class Asked:
    """A review that was asked for; ``superseded`` are the jobs of older questions about its pull request."""

    review: Review
    is_new: bool
    superseded: tuple[str, ...]


def ask_review(session: Session, question: ReviewQuestion, requested_by: str = "") -> Asked:
    """Write a question down once, and end what was asked about other heads of the same pull request.

    The head must be the pull request's own, read again: deliveries come out of order. A question that was
    superseded or failed can be asked again (a branch may be pushed back to an older head).
    """
    lock_repository(session, question.repository_id)
    same = select(Review).where(Review.external_id == question.external_id)
    found = session.exec(same).one_or_none()
    if found is not None and found.status not in {ReviewStatus.SUPERSEDED, ReviewStatus.FAILED}:
        return Asked(found, is_new=False, superseded=())
    superseded: tuple[str, ...] = ()
    if question.number:
        superseded = end_open(session, question.repository_id, question.number)
    review = found or Review(**asdict(question), external_id=question.external_id, requested_by=requested_by)
    _queue(session, review)
    return Asked(review, is_new=True, superseded=superseded)


def _queue(session: Session, review: Review) -> None:
    review.status, review.finished_at, review.asked = ReviewStatus.QUEUED, None, review.asked + 1
    review.job_id = f"{review.external_id}.{review.asked}"
    if (
        review.conclusion or review.published_at is not None
    ):  # its check has ended: the next answer has another
        review.check_run_id = None
    review.conclusion, review.published_at = "", None
    session.add(review)
    session.flush()


def reopen_review(session: Session, review_id: int) -> Review:
    """Let a review run again under a job of its own; a check that is still open waits for that one."""
    review = get_review(session, review_id)
    _queue(session, review)
    return review


def list_interrupted(
    session: Session, at: datetime, errors: Sequence[str], first_pause: timedelta
) -> Sequence[Review]:
    """Reviews whose job failed with one of these errors, and whose pause is over: it doubles each time.

    The newest question about a pull request alone: a head that has moved on has nothing to wait for.
    """
    of_these = or_(*(col(Job.error).startswith(f"{error}: ") for error in errors))
    later = aliased(Review)
    newer = select(later.id).where(
        later.repository_id == Review.repository_id, later.number == Review.number, col(later.id) > Review.id
    )
    wanted = (
        select(Review)
        .join(Job, col(Job.id) == col(Review.job_id))
        .where(Review.status == ReviewStatus.FAILED, Review.asked < MOST_ASKED, of_these, ~newer.exists())
    )
    rows = session.exec(wanted.order_by(col(Review.id)).limit(200).with_for_update(of=Review)).all()
    return [row for row in rows if (row.finished_at or at) + first_pause * 2 ** (row.asked - 1) <= at]


def end_open(session: Session, repository_id: int, number: int, why: str = "") -> tuple[str, ...]:
    """End what is open on a pull request without an answer, whichever its team; returns the jobs."""
    older = select(Review).where(
        Review.repository_id == repository_id, Review.number == number,
        col(Review.status).in_([ReviewStatus.QUEUED, ReviewStatus.RUNNING]),
    )  # fmt: skip
    rows = session.exec(older.with_for_update()).all()
    for row in rows:
        row.status, row.finished_at, row.reason = ReviewStatus.SUPERSEDED, now(), why
    return tuple(row.job_id for row in rows if row.job_id)


def next_run(session: Session, question: ReviewQuestion) -> int:
    """The ``run`` that asks the same again: what the button Re-score does."""
    wanted = select(func.max(Review.run)).where(
        Review.repository_id == question.repository_id, Review.number == question.number,
        Review.head_sha == question.head_sha, Review.base_sha == question.base_sha,
        Review.team == question.team,
    )  # fmt: skip
    last = session.exec(wanted).one()
    return 0 if last is None else last + 1


def get_review(session: Session, review_id: int) -> Review:
    """A review by its number.

    Raises:
        UnknownReviewError: none.
    """
    found = session.get(Review, review_id)
    if found is None:
        raise UnknownReviewError(f"there is no review {review_id}")
    return found


def begin_review(session: Session, review_id: int) -> bool:
    """Let a review run; False when it has ended already."""
    review = get_review(session, review_id)
    if review.status.is_final:
        return False
    review.status, review.started_at = ReviewStatus.RUNNING, review.started_at or now()
    return True


def end_review(session: Session, review_id: int, status: ReviewStatus, **values: Any) -> bool:
    """Write a review's end down; False when it had ended already, which then stands."""
    review = get_review(session, review_id)
    if review.status.is_final:
        return False
    review.status, review.finished_at = status, now()
    for name, value in values.items():
        setattr(review, name, value)
    return True


def note_check(session: Session, review_id: int, check_run_id: int) -> bool:
    """Remember the check run that was opened; False when the review has ended meanwhile."""
    review = get_review(session, review_id)
    review.check_run_id = check_run_id
    return not review.status.is_final


def note_published(session: Session, review_id: int, *, check_run_id: int | None, conclusion: str) -> None:
    """Write down that an answer has reached GitHub."""
    review = get_review(session, review_id)
    review.check_run_id, review.conclusion, review.published_at = check_run_id, conclusion, now()


def list_reviews(
    session: Session, repository_id: int, *, number: int | None = None, limit: int = 50
) -> Sequence[Review]:
    """A repository's reviews, newest first."""
    wanted = select(Review).where(Review.repository_id == repository_id)
    if number is not None:
        wanted = wanted.where(Review.number == number)
    return session.exec(wanted.order_by(col(Review.id).desc()).limit(limit)).all()
