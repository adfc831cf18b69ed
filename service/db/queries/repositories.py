"""Repositories by any name they had, their teams and their stage."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlmodel import Session, col, select

from service import ServiceError
from service.db.columns import now
from service.db.states import RepositoryStatus, Stage
from service.db.tables import Repository, RepositoryName, Review, Team


class UnknownRepositoryError(ServiceError):
    """No repository of that name is kept."""


def number_of(row: Repository) -> int:
    """The row's own number; it has one once it is in the database."""
    assert row.id is not None, "the row has been flushed"
    return row.id


def keep_repository(
    session: Session,
    full_name: str,
    *,
    github_id: int | None = None,
    installation_id: int | None = None,
    path: str = "",
) -> Repository:
    """Find a repository by GitHub's id, or without one by name, or add it; a new name is recorded as one."""
    where = col(Repository.github_id) == github_id
    if github_id is None:
        where = (col(Repository.github_id).is_(None)) & (col(Repository.full_name) == full_name)
    found = session.exec(select(Repository).where(where)).one_or_none()
    if found is None:
        found = Repository(full_name=full_name, github_id=github_id)
        session.add(found)
        session.flush()
        session.add(RepositoryName(repository_id=number_of(found), full_name=full_name))
        session.add(Team(repository_id=number_of(found)))
    elif found.full_name != full_name:
        _rename(session, found, full_name)
    found.installation_id = installation_id if installation_id is not None else found.installation_id
    found.path = path or found.path
    found.updated_at = now()
    session.flush()
    return found


def _rename(session: Session, repository: Repository, full_name: str) -> None:
    moment = now()
    names = select(RepositoryName).where(
        RepositoryName.repository_id == repository.id, col(RepositoryName.until).is_(None)
    )
    for name in session.exec(names):
        name.until = moment
    session.add(RepositoryName(repository_id=number_of(repository), full_name=full_name, since=moment))
    repository.full_name = full_name


def get_repository(session: Session, repository_id: int) -> Repository:
    """A repository by our number.

    Raises:
        UnknownRepositoryError: it is not kept any more.
    """
    row = session.get(Repository, repository_id)
    if row is None:
        raise UnknownRepositoryError(f"repository {repository_id} is not kept any more")
    return row


def get_team(session: Session, repository_id: int, name: str) -> Team:
    """A team; one that nobody defined is the whole repository."""
    found = session.exec(select(Team).where(Team.repository_id == repository_id, Team.name == name))
    return found.one_or_none() or Team(repository_id=repository_id, name=name)


def lock_repository(session: Session, repository_id: int) -> Repository:
    """A repository, held until the transaction ends: who asks for work on it takes turns.

    Raises:
        UnknownRepositoryError: it is not kept any more.
    """
    found = session.exec(select(Repository).where(Repository.id == repository_id).with_for_update())
    row = found.one_or_none()
    if row is None:
        raise UnknownRepositoryError(f"repository {repository_id} is not kept any more")
    return row


def find_repository(session: Session, full_name: str) -> Repository:
    """A repository by its name, else by the last one to have had that name, whatever the case.

    Raises:
        UnknownRepositoryError: none is kept.
    """
    wanted = full_name.strip()
    newest_first = select(Repository).order_by(col(Repository.id).desc())
    found = session.exec(newest_first.where(col(Repository.full_name).ilike(_literal(wanted), "\\"))).first()
    if found is None:
        former = (
            newest_first.join(RepositoryName, col(RepositoryName.repository_id) == Repository.id)
            .where(col(RepositoryName.full_name).ilike(_literal(wanted), "\\"))
            .order_by(col(RepositoryName.since).desc())
        )
        found = session.exec(former).first()
    if found is None:
        raise UnknownRepositoryError(
            f"no repository {full_name!r} is kept; install the App on it, or run "
            "`routeprint jobs ask ingest --repo <folder>`"
        )
    return found


def find_by_path(session: Session, path: str) -> Repository | None:
    """The repository whose folder or mirror lies there, one on GitHub before a folder."""
    wanted = select(Repository).where(Repository.path == path)
    return session.exec(wanted.order_by(col(Repository.github_id).is_(None), col(Repository.id))).first()


def _literal(text: str) -> str:
    """Text in which a pattern's own characters mean themselves."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def list_repositories(session: Session, status: RepositoryStatus | None = None) -> Sequence[Repository]:
    """Repositories by name."""
    wanted = select(Repository).order_by(col(Repository.full_name))
    return session.exec(wanted if status is None else wanted.where(Repository.status == status)).all()


def drop_repository(session: Session, repository_id: int) -> list[str]:
    """Delete a repository with every row that belongs to it; returns reports that no other has."""
    mine, others = col(Review.repository_id) == repository_id, col(Review.repository_id) != repository_id
    kept = select(Review.report).where(others)
    reports = (
        select(Review.report).where(mine, Review.report != "", col(Review.report).not_in(kept)).distinct()
    )
    found = list(session.exec(reports))
    session.delete(get_repository(session, repository_id))
    session.flush()
    return found


def set_stage(session: Session, repository: Repository, stage: Stage) -> None:
    """How far the roll-out goes from now on."""
    repository.stage, repository.updated_at = stage, now()
    session.add(repository)


def note_ingested(session: Session, repository_id: int, head: str, at: datetime) -> None:
    """What the last reading of the history reached."""
    row = session.get_one(Repository, repository_id)
    row.ingested_head, row.ingested_at = head, at


def note_waiting(session: Session, repository_id: int, team: str, why: str) -> None:
    """Why a team has no signature yet, and at which commit; "" when it has one."""
    row = get_team(session, repository_id, team)
    row.waiting = why
    row.waiting_head = get_repository(session, repository_id).ingested_head if why else ""
    session.add(row)


def keep_team(
    session: Session, repository_id: int, name: str, paths: Sequence[str], *, with_agents: bool = False
) -> Team:
    """Add a team, or give it other paths."""
    wanted = select(Team).where(Team.repository_id == repository_id, Team.name == name)
    team = session.exec(wanted).one_or_none() or Team(repository_id=repository_id, name=name)
    team.paths, team.with_agents = list(paths), with_agents
    session.add(team)
    session.flush()
    return team


def list_teams(session: Session, repository_id: int) -> Sequence[Team]:
    """A repository's teams, the whole repository (named "") first."""
    return session.exec(
        select(Team).where(Team.repository_id == repository_id).order_by(col(Team.name))
    ).all()
