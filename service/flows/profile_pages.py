"""Pages of a newly learned signature: its team's, and those of the authors who have one of their own."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Callable, Collection
from dataclasses import replace
from functools import partial
from pathlib import Path

from connectors import ConnectorError
from fingerprint import FingerprintError
from service import ServiceError
from service.artifacts import ArtifactStore, RepositoryRecord, read_json
from service.flows import kept_pages
from service.flows.author_page import author_report
from service.flows.bench import Progress, Stage
from service.flows.ingest import load_ingested
from service.flows.profile import find_profile
from service.flows.team_page import team_report
from service.reports.pages.team import TeamReport
from service.settings import Settings

LOG = logging.getLogger(__name__)


def keep_profile_pages(
    repository: Path, settings: Settings, profile: str, team: str, consenting: Collection[str],
    report: Progress = lambda _: None, *, name: str = "",
) -> tuple[str, ...]:  # fmt: skip
    """Make the pages of a profile and keep them; returns what could not be made, in words.

    A page that cannot be made does not undo what was learned.

    Args:
        profile: its digest. team: its name. consenting: keys of people who may be named. name: of the
            repository on the pages; "" for its folder's, which of a mirror is a number.
    """
    _, place = find_profile(repository, settings, profile)
    signatures: dict[str, str] = read_json(place / "profile.json")["author_signatures"]
    record = ArtifactStore(settings.home).record(repository)
    authors = sorted(signatures) if _is_authors_team(record, team, signatures) else []

    def author_page(key: str) -> None:
        own = author_report(repository, settings, key, profile)
        kept_pages.keep_author(record, replace(own, repository=name or own.repository), signatures[key])

    report(Stage("pages", 0, 1 + len(authors)))
    problems = [keep_team_page(repository, settings, profile, team, consenting, name=name)]
    for done, key in enumerate(authors, start=1):
        report(Stage("pages", done, 1 + len(authors)))
        problems.append(_attempt("an author", partial(author_page, key)))
    report(Stage("pages", 1 + len(authors), 1 + len(authors)))
    return tuple(problem for problem in problems if problem)


def keep_team_page(
    repository: Path, settings: Settings, profile: str, team: str, consenting: Collection[str], *, name: str
) -> str:
    """The team's page alone, as after a recalibration; returns why it could not be made, or ""."""
    record = ArtifactStore(settings.home).record(repository)

    def make() -> None:
        found = _report_of(repository, settings, profile, team, consenting)
        summary = found.summary.model_copy(update={"repository": name or found.summary.repository})
        kept_pages.keep_team(record, team, replace(found, summary=summary))

    return _attempt(f"team {team!r}", make)


def _attempt(whose: str, make: Callable[[], None]) -> str:
    try:
        make()
    except (ServiceError, ConnectorError, FingerprintError) as error:
        LOG.warning("the page of %s was not made: %s", whose, error)
        return str(error)
    return ""


def _report_of(
    repository: Path, settings: Settings, profile: str, team: str, consenting: Collection[str]
) -> TeamReport:
    known = {author.key for author in load_ingested(repository, settings).authors}
    named = sorted(known.intersection(consenting))
    command = shlex.join(["routeprint", "jobs", "ask", "profile", *(["--team", team] if team else [])])
    return team_report(repository, settings, named, command, profile)


def _is_authors_team(record: RepositoryRecord, team: str, signatures: Collection[str]) -> bool:
    """Whether authors' pages come from this team: the whole repository's, or a part's without others."""
    return not team or not any(_has_page(record, key) for key in signatures)


def _has_page(record: RepositoryRecord, key: str) -> bool:
    return kept_pages.version_of(record, "author", key) is not None
