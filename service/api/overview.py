"""Rows as entries of the lists that people look at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from service.api.access import Caller
from service.api.answers import JobAnswer
from service.artifacts import ArtifactStore
from service.db.states import JobStatus, ReviewStatus
from service.db.tables import Job, Repository, Review, Team
from service.flows.kept_pages import CardKind, whose
from service.reports import wording
from service.reports.pages.service import Entry, RepositoryEntry

_WORDS = {"typical": "typical", "unusual": "unusual", "not-scored": "not scored"}


def team_address(repository_id: int, name: str) -> str:
    """Of a team's page."""
    return f"/teams/{repository_id}" + (f"/{quote(name, safe='')}" if name else "")


def entry_of_repository(row: Repository, teams: Sequence[Team], store: ArtifactStore) -> RepositoryEntry:
    """A repository with the pages that members may see."""
    number, links = row.id or 0, []
    if row.path:
        record = store.record(Path(row.path))
        pages = set(whose(record, "team"))
        links = [
            (f"team {team.name}" if team.name else "the team", team_address(number, team.name))
            for team in teams
            if team.repository_id == row.id and team.name in pages
        ]
        links += [("attribution graph", f"/graphs/{number}")] if "team" in whose(record, "graph") else []
        kinds: tuple[tuple[CardKind, str], ...] = (("components", "latents"), ("decomposition", "components"))
        links += [
            (f"{what} of the {state}", f"/{kind}/{number}/{state}")
            for kind, what in kinds
            for state in whose(record, kind)
            if state in {"base", "team"}
        ]
    return RepositoryEntry(row.full_name, row.stage.value, tuple(links))


def entries_of_reviews(rows: Sequence[tuple[Review, str]]) -> list[Entry]:
    """Reviews, each with its verdict or where it stands."""
    return [
        Entry(
            f"{repository} #{row.number}" if row.number else repository, f"/reviews/{row.id}",
            row.verdict or row.status.value, _word_of(row), row.created_at, head=row.head_sha[:12],
            p_value="" if row.p_value is None else wording.p_value(row.p_value),
        )
        for row, repository in rows
    ]  # fmt: skip


def _word_of(row: Review) -> str:
    return _WORDS.get(row.verdict, row.verdict) if row.status is ReviewStatus.DONE else row.status.value


def entries_of_jobs(rows: Sequence[tuple[Job, str | None]], caller: Caller) -> list[Entry]:
    """Jobs, each with where it stands."""
    told = [JobAnswer.of(row, name, with_people=caller.viewer.sees_everyone) for row, name in rows]
    return [
        Entry(
            job.flow.value, f"/jobs/{quote(job.id, safe='')}", job.status.value, job.status.value,
            job.created_at, about=" ".join(part for part in (job.repository or "", job.subject) if part),
            step=job.step if job.status is JobStatus.RUNNING else "",
        )
        for job in told
    ]  # fmt: skip
