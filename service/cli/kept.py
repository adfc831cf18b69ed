"""Repositories as the service keeps them: folders of this machine, and those on GitHub by their names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli.console import find_repository

if TYPE_CHECKING:
    from service.db.session import Session
    from service.db.tables import Repository
    from service.flows.backtest import Tested
    from service.settings import Settings

KeptRepo = Annotated[
    Path,
    typer.Option(
        "--repo",
        help="Git repository, a folder in it, or the name of one on GitHub, such as acme/shop.",
        show_default=False,
    ),
]


def has_service(settings: Settings) -> bool:
    """Whether there is a database to look into: a command about a folder makes none."""
    from service.db.session import DATABASE_NAME

    return settings.database_url is not None or (settings.home / DATABASE_NAME).exists()


def find_kept(session: Session, repo: Path) -> Repository | None:
    """The row that ``--repo`` names, None for a folder that nobody asked the service about.

    Raises:
        UnknownRepositoryError: it is no folder, and no repository of that name is kept.
    """
    from service.db.queries import repositories as rows

    is_folder = repo.expanduser().exists()
    found = rows.find_by_path(session, str(find_repository(repo))) if is_folder else None
    if found is not None:
        return found
    try:
        return rows.find_repository(session, str(repo))
    except rows.UnknownRepositoryError:
        if is_folder:
            return None
        raise


def require_kept(session: Session, repo: Path) -> Repository:
    """The row that ``--repo`` names.

    Raises:
        UnknownRepositoryError: there is none.
    """
    from service.db.queries.repositories import find_repository as find_named

    return find_kept(session, repo) or find_named(session, str(find_repository(repo)))


def keep_folder(session: Session, repo: Path) -> Repository:
    """The row that ``--repo`` names; a folder that has none is written down.

    Raises:
        UnknownRepositoryError: it is no folder, and no repository of that name is kept.
    """
    from service.db.queries.repositories import keep_repository

    found = find_kept(session, repo)
    if found is not None:
        return found
    place = str(find_repository(repo))
    return keep_repository(session, place, path=place)


def find_scoring(session: Session, row: Repository, team: str, last: int) -> Tested | None:
    """What a kept repository is scored with and its last merged changes; None: a folder nobody profiled here.

    Raises:
        NotProfiledError: the team, or the repository on GitHub, has no signature yet.
    """
    from service.flows.backtest import find_tested
    from service.flows.profile import NotProfiledError

    found = find_tested(session, row, team, last)
    if found is None and (team or row.github_id is not None):
        why = f"no signature of team {team}" if team else "no signature"
        raise NotProfiledError(f"{row.full_name}: {why} yet; run `routeprint jobs ask profile`")
    return found
