"""Pull requests as GitHub last told them, the comment on each, and what people let pass."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlmodel import Session, col, delete, or_, select
from sqlmodel.sql.expression import SelectOfScalar

from service import ServiceError
from service.db.columns import now
from service.db.queries.signatures import scope_of_team
from service.db.states import AcceptanceKind, PullState, ReviewStatus, Subject
from service.db.tables import (
    Acceptance,
    Backtest,
    Comment,
    PullCommit,
    PullRequest,
    Review,
    ReviewThread,
    Signature,
)


def keep_pull(session: Session, repository_id: int, number: int, **known: object) -> PullRequest:
    """Find a pull request or add it, and write down what is known of it now."""
    wanted = select(PullRequest).where(
        PullRequest.repository_id == repository_id, PullRequest.number == number
    )
    row = session.exec(wanted).one_or_none()
    row = row or PullRequest(repository_id=repository_id, number=number, head_sha="", base_sha="")
    for name, value in known.items():
        setattr(row, name, value)
    row.updated_at = now()
    session.add(row)
    session.flush()
    return row


def find_pull(session: Session, repository_id: int, number: int) -> PullRequest | None:
    """A pull request, or None."""
    wanted = select(PullRequest).where(
        PullRequest.repository_id == repository_id, PullRequest.number == number
    )
    return session.exec(wanted).one_or_none()


def keep_commits(session: Session, pull_id: int, commits: Sequence[PullCommit]) -> None:
    """Write a pull request's own commits down in place of those known before."""
    session.execute(delete(PullCommit).where(col(PullCommit.pull_request_id) == pull_id))
    session.add_all(commits)
    session.flush()


def keep_threads(session: Session, pull_id: int, threads: Sequence[ReviewThread]) -> None:
    """Write a pull request's remarks down in place of those known before."""
    session.execute(delete(ReviewThread).where(col(ReviewThread.pull_request_id) == pull_id))
    session.add_all(threads)
    session.flush()


def drop_thread(session: Session, node_id: str) -> None:
    """Let a thread be no label, if it is one."""
    session.execute(delete(ReviewThread).where(col(ReviewThread.node_id) == node_id))


def find_open_pulls(session: Session, repository_id: int, head_sha: str) -> list[int]:
    """Numbers of the open pull requests with a head: a fork's check names none."""
    wanted = select(PullRequest.number).where(
        PullRequest.repository_id == repository_id,
        PullRequest.head_sha == head_sha,
        PullRequest.state == PullState.OPEN,
    )
    return list(session.exec(wanted.order_by(col(PullRequest.number))))


def list_merged(session: Session, repository_id: int, limit: int) -> Sequence[PullRequest]:
    """Merged pull requests whose commit on the base branch is known, the last merged first."""
    return session.exec(_merged(repository_id).limit(limit)).all()


def list_remarked(
    session: Session, repository_id: int, limit: int
) -> list[tuple[PullRequest, list[ReviewThread]]]:
    """Those of the merged pull requests that were remarked on, each with its resolved remarks."""
    is_kept = col(ReviewThread.is_resolved).is_(True)
    remarked = select(ReviewThread.pull_request_id).where(is_kept)
    pulls = session.exec(_merged(repository_id).where(col(PullRequest.id).in_(remarked)).limit(limit)).all()
    of_them = select(ReviewThread).where(
        is_kept, col(ReviewThread.pull_request_id).in_([one.id for one in pulls])
    )
    threads: dict[int, list[ReviewThread]] = {}
    for thread in session.exec(of_them.order_by(col(ReviewThread.id))):
        threads.setdefault(thread.pull_request_id, []).append(thread)
    return [(one, threads[one.id or 0]) for one in pulls]


def _merged(repository_id: int) -> SelectOfScalar[PullRequest]:
    wanted = select(PullRequest).where(
        PullRequest.repository_id == repository_id, PullRequest.state == PullState.MERGED,
        PullRequest.merge_commit_sha != "",
    )  # fmt: skip
    return wanted.order_by(col(PullRequest.merged_at).desc().nulls_last(), col(PullRequest.number).desc())


def find_comment(session: Session, repository_id: int, number: int) -> int | None:
    """GitHub's id of our comment on a pull request, as remembered."""
    wanted = (
        select(Comment.comment_id)
        .join(PullRequest, col(PullRequest.id) == Comment.pull_request_id)
        .where(PullRequest.repository_id == repository_id, PullRequest.number == number)
    )
    return session.exec(wanted).one_or_none()


def note_comment(session: Session, repository_id: int, number: int, comment_id: int | None) -> None:
    """Remember our comment; None: there is none."""
    pull = keep_pull(session, repository_id, number)
    assert pull.id is not None, "the row has been flushed"
    wanted = select(Comment).where(Comment.pull_request_id == pull.id)
    row = session.exec(wanted).one_or_none() or Comment(pull_request_id=pull.id)
    row.comment_id, row.updated_at = comment_id, now()
    session.add(row)


# ------------------------------------------------------------------------------------------- checks


def list_abandoned(session: Session, repository_id: int | None = None) -> Sequence[Review]:
    """Reviews that ended without an answer while their check run is open on GitHub."""
    wanted = select(Review).where(
        col(Review.status).in_([ReviewStatus.SUPERSEDED, ReviewStatus.FAILED]),
        col(Review.check_run_id).is_not(None),
        col(Review.published_at).is_(None),
        Review.conclusion == "",
    )
    if repository_id is not None:
        wanted = wanted.where(Review.repository_id == repository_id)
    return session.exec(wanted.order_by(col(Review.id)).limit(200)).all()


def list_overdue(session: Session, before: datetime) -> Sequence[Review]:
    """Reviews with an open check run that were begun before a moment."""
    wanted = select(Review).where(
        col(Review.status).in_([ReviewStatus.QUEUED, ReviewStatus.RUNNING]),
        col(Review.check_run_id).is_not(None),
        col(Review.published_at).is_(None),
        col(Review.started_at) < before,
    )
    return session.exec(wanted.order_by(col(Review.id)).limit(200)).all()


def latest_done(session: Session, repository_id: int, number: int, head_sha: str) -> Review | None:
    """The last answer that a head of a pull request was given."""
    wanted = select(Review).where(
        Review.repository_id == repository_id, Review.number == number, Review.head_sha == head_sha,
        Review.status == ReviewStatus.DONE, Review.report != "",
    )  # fmt: skip
    return session.exec(wanted.order_by(col(Review.id).desc()).limit(1)).first()


def answered_head(session: Session, repository_id: int, number: int, before: datetime) -> str:
    """The head of a pull request whose answer was the last to be shown before a moment, "" without one."""
    wanted = select(Review.head_sha).where(
        Review.repository_id == repository_id, Review.number == number,
        Review.status == ReviewStatus.DONE, col(Review.published_at) <= before,
    )  # fmt: skip
    return session.exec(wanted.order_by(col(Review.published_at).desc()).limit(1)).first() or ""


def is_asked(session: Session, repository_id: int, number: int, requested_by: str) -> bool:
    """Whether a request for another answer has been written down already."""
    wanted = select(Review.id).where(
        Review.repository_id == repository_id, Review.number == number, Review.requested_by == requested_by
    )
    return session.exec(wanted.limit(1)).first() is not None


# ------------------------------------------------------------------------------------ what is let pass


class UnknownMuteError(ServiceError):
    """No path is muted by that number."""


def accept(session: Session, acceptance: Acceptance) -> bool:
    """Write down what a person let pass, once; whether it is new."""
    same = select(Acceptance.id).where(
        Acceptance.repository_id == acceptance.repository_id, Acceptance.kind == acceptance.kind,
        Acceptance.fingerprint == acceptance.fingerprint, Acceptance.path == acceptance.path,
        Acceptance.number == acceptance.number, Acceptance.reason == acceptance.reason,
        col(Acceptance.withdrawn_at).is_(None),
    )  # fmt: skip
    if session.exec(same.limit(1)).first() is not None:
        return False
    session.add(acceptance)
    return True


def list_mutes(session: Session, repository_id: int, number: int | None = None) -> Sequence[Acceptance]:
    """Path patterns that people muted: for good or in one pull request; None: in any."""
    wanted = _valid(repository_id, AcceptanceKind.PATH).order_by(col(Acceptance.id))
    if number is not None:
        wanted = wanted.where(or_(col(Acceptance.number).is_(None), Acceptance.number == number))
    return session.exec(wanted).all()


def withdraw(session: Session, repository_id: int, mute: int) -> Acceptance:
    """Let a muted path be scored again.

    Raises:
        UnknownMuteError: none of a repository is muted by that number.
    """
    found = session.exec(
        _valid(repository_id, AcceptanceKind.PATH).where(Acceptance.id == mute)
    ).one_or_none()
    if found is None:
        raise UnknownMuteError(f"nothing here is muted by the number {mute}; see `routeprint mutes list`")
    found.withdrawn_at = now()
    return found


def is_accepted(session: Session, repository_id: int, number: int, head_sha: str) -> bool:
    """Whether somebody said that a head is meant to differ."""
    wanted = _valid(repository_id, AcceptanceKind.FINDING).where(
        Acceptance.number == number, Acceptance.fingerprint == head_sha
    )
    return session.exec(wanted.limit(1)).first() is not None


def _valid(repository_id: int, kind: AcceptanceKind) -> SelectOfScalar[Acceptance]:
    return select(Acceptance).where(
        Acceptance.repository_id == repository_id, Acceptance.kind == kind,
        col(Acceptance.withdrawn_at).is_(None),
        or_(col(Acceptance.until).is_(None), col(Acceptance.until) >= now()),
    )  # fmt: skip


def note_backtest(session: Session, profile: str, **values: Any) -> int:
    """Keep a back-test for every team that is scored with a profile; returns how many there are.

    Args:
        values: columns of Backtest besides what says whose it is.
    """
    scored = select(Signature).where(Signature.profile == profile, Signature.subject == Subject.TEAM)
    versions = session.exec(scored).all()
    for one in versions:
        team = one.scope.removeprefix(scope_of_team(""))
        row = Backtest(repository_id=one.repository_id, team=team, signature_version=one.version, **values)
        session.add(row)
    return len(versions)


def may_gate(session: Session, repository_id: int, team: str, version: int, limit: float) -> bool:
    """Whether the last back-test of a signature alarmed seldom enough, by the upper end of its interval."""
    wanted = select(Backtest).where(
        Backtest.repository_id == repository_id, Backtest.team == team, Backtest.signature_version == version
    )
    last = session.exec(wanted.order_by(col(Backtest.id).desc()).limit(1)).first()
    return last is not None and last.n_scored > 0 and float(last.figures.get("high", 1.0)) <= limit
