"""Where the app is installed, and the repositories that GitHub says belong to it."""

from __future__ import annotations

from sqlmodel import Session, col, select

from service.db.columns import now
from service.db.states import InstallationStatus, RepositoryStatus
from service.db.tables import Author, Installation, Repository


def keep_installation(
    session: Session, number: int, login: str, account: int = 0, status: InstallationStatus | None = None
) -> Installation:
    """Find an installation by GitHub's id or add it; what is not told stays as it was."""
    row = session.get(Installation, number)
    row = row or Installation(id=number, account_id=account, account_login=login)
    row.account_id, row.account_login = account or row.account_id, login or row.account_login
    row.status, row.updated_at = status or row.status, now()
    session.add(row)
    session.flush()
    return row


def find_on_github(session: Session, github_id: int) -> Repository | None:
    """A repository by GitHub's id."""
    return session.exec(select(Repository).where(Repository.github_id == github_id)).one_or_none()


def list_of_installation(session: Session, number: int) -> list[Repository]:
    """The repositories that came with an installation."""
    return list(session.exec(select(Repository).where(Repository.installation_id == number)))


def set_status(session: Session, row: Repository, status: RepositoryStatus) -> None:
    """Whether a repository is read and reviewed from now on."""
    row.status, row.updated_at = status, now()
    session.add(row)


def note_leaver(session: Session, github_id: int, repository_ids: list[int]) -> None:
    """Write down that somebody left; a moment that was written down before stands."""
    wanted = select(Author).where(
        Author.github_id == github_id, col(Author.repository_id).in_(repository_ids)
    )
    for author in session.exec(wanted):
        author.left_at = author.left_at or now()
