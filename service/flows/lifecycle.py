"""When signatures are learned again: scheduled reading, and the rule of staleness."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

from connectors import ConnectorError
from connectors.git.command import Repository
from service.db.columns import now
from service.db.queries.jobs import list_jobs
from service.db.queries.repositories import list_repositories, list_teams, number_of
from service.db.queries.signatures import calibrated_to, current_version, mark_stale, scope_of_team
from service.db.states import Flow, JobStatus, RepositoryStatus
from service.db.tables import Repository as RepositoryRow
from service.db.tables import Signature, Team
from service.enqueue import Enqueuer, Urgency
from service.settings import Settings

PAUSE_AFTER_FAILURE = timedelta(minutes=10)
"""Before a history that could not be read is read again by itself."""


def why_stale(
    signature: Signature, n_new: int | None, base_hash: str, at: datetime, settings: Settings
) -> str:
    """Why a signature should be learned again, or "".

    Args:
        n_new: the team's commits since the newest it was learned from; None: that one is no longer in the
            history. base_hash: of the base and routes that new signatures are made with.
    """
    if base_hash and signature.base_hash != base_hash:
        return "the base has changed"
    if n_new is None:
        return "the history it was learned from has been rewritten"
    if n_new >= settings.stale_commits:
        return f"{n_new} new commits"
    age = at - signature.made_at
    if n_new and age >= timedelta(days=settings.stale_days):
        return f"{age.days} days old, with {n_new} new commits"
    return ""


def count_new_commits(path: Path, since: str, head: str, paths: Sequence[str] = ()) -> int | None:
    """Commits after ``since`` up to ``head`` that touch the team's paths; None when since is not known."""
    try:
        counted = Repository.at(path).read(
            "rev-list", "--count", "--no-merges", f"{since}..{head}", "--", *(f":(glob){p}" for p in paths)
        )
    except ConnectorError:
        return None
    return int(counted)


def look_after(asking: Enqueuer, settings: Settings, base_hash: str = "") -> list[str]:
    """Ask for whatever is due on every active repository; returns the jobs. It may be done at any time."""
    with asking.database.reading() as session:
        moment = asking.database.now(session)
        repositories = list_repositories(session, RepositoryStatus.ACTIVE)
        teams = {number_of(row): list_teams(session, number_of(row)) for row in repositories}
    asked: list[str] = []
    for row in repositories:
        due = row.ingested_at is None or row.ingested_at <= moment - timedelta(
            seconds=settings.ingest_every_s
        )
        if (
            due
            and not _is_under_way(asking, Flow.INGEST, row, "")
            and not _failed_lately(asking, row, moment)
        ):
            asked.append(asking.ingest(number_of(row), urgency=Urgency.SCHEDULED))
        asked += [
            asking.profile(number_of(row), team.name)
            for team in teams[number_of(row)]
            if _needs_learning(asking, row, team, base_hash, settings)
        ]
        asked += [
            asking.refresh(number_of(row), team.name)
            for team in teams[number_of(row)]
            if _needs_refreshing(asking, row, team, settings)
        ]
    return asked


def _needs_learning(
    asking: Enqueuer, row: RepositoryRow, team: Team, base_hash: str, settings: Settings
) -> bool:
    """Whether a team's signature is stale, or missing and worth trying; it is then marked so."""
    scope, number = scope_of_team(team.name), number_of(row)
    if not row.ingested_head or _is_under_way(asking, Flow.PROFILE, row, scope):
        return False
    with asking.database.reading() as session:
        present = current_version(session, number, scope)
    if present is None:  # tried again only when there is something new
        return team.waiting_head != row.ingested_head and not _failed_last(asking, row, scope)
    if present.is_pinned:
        return False
    n_new = count_new_commits(Path(row.path), present.commit, row.ingested_head, team.paths)
    reason = present.stale_reason or why_stale(present, n_new, base_hash, now(), settings)
    if not reason or _failed_last(asking, row, scope):
        return False
    with asking.database.writing() as session:
        mark_stale(session, number, scope, reason)
    return True


def _needs_refreshing(asking: Enqueuer, row: RepositoryRow, team: Team, settings: Settings) -> bool:
    """Whether enough newer commits wait to join the calibration of a signature that is not stale."""
    scope, number = scope_of_team(team.name), number_of(row)
    with asking.database.reading() as session:
        present = current_version(session, number, scope)
    if present is None or present.is_pinned or present.stale_reason or not row.ingested_head:
        return False
    subjects = (scope, f"calibration:{team.name}")
    if any(_is_under_way(asking, Flow.PROFILE, row, subject) for subject in subjects):
        return False
    since = calibrated_to(present)
    n_new = count_new_commits(Path(row.path), since, row.ingested_head, team.paths)
    return (n_new or 0) >= settings.refresh_commits and not _failed_last(asking, row, subjects[1])


def _is_under_way(asking: Enqueuer, flow: Flow, row: RepositoryRow, subject: str) -> bool:
    under_way = (JobStatus.QUEUED, JobStatus.RUNNING)
    with asking.database.reading() as session:
        jobs = list_jobs(session, statuses=under_way, flow=flow, repository_id=row.id, limit=1000)
    return any(job.subject == subject for job in jobs)


def _failed_lately(asking: Enqueuer, row: RepositoryRow, at: datetime) -> bool:
    """Whether the last reading failed a moment ago: what is gone from GitHub is not asked for each minute."""
    with asking.database.reading() as session:
        last = next(iter(list_jobs(session, flow=Flow.INGEST, repository_id=row.id, limit=1)), None)
    if last is None or last.status is not JobStatus.FAILED:
        return False
    return (last.finished_at or last.created_at) > at - PAUSE_AFTER_FAILURE


def _failed_last(asking: Enqueuer, row: RepositoryRow, subject: str) -> bool:
    """Whether the last attempt to learn failed on the history as it is: a person must look, not a timer."""
    with asking.database.reading() as session:
        jobs = list_jobs(session, flow=Flow.PROFILE, repository_id=row.id, limit=200)
    last = next((job for job in jobs if job.subject == subject), None)
    return (
        last is not None
        and last.status is JobStatus.FAILED
        and (row.ingested_at is None or last.created_at >= row.ingested_at)
    )
