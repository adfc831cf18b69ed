"""A job as its page and its stream tell it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from urllib.parse import quote

from fastapi import HTTPException

from service.api.access import Caller
from service.api.answers import JobAnswer
from service.db.columns import now
from service.db.queries.jobs import place_in_queue
from service.db.queries.listings import find_job_named, last_lines
from service.db.session import Database, Session
from service.db.states import Flow, JobStatus
from service.db.tables import Job, JobLine
from service.reports.pages.service import Line, Progress
from service.reports.wording import duration

_TITLES = {
    Flow.REVIEW: "Review of {}", Flow.INGEST: "Reading the history of {}", Flow.PROFILE: "Learning {}",
}  # fmt: skip
_STEPS = {
    JobStatus.QUEUED: "Waiting", JobStatus.DONE: "Done", JobStatus.FAILED: "Failed",
    JobStatus.CANCELLED: "Called off",
}  # fmt: skip


def read_progress(database: Database, caller: Caller, job_id: str) -> Progress:
    """Where a job stands, as far as the caller may know.

    Raises:
        HTTPException: 404, there is none.
    """
    with database.reading() as session:
        found = find_job_named(session, job_id)
        if found is None:
            raise HTTPException(404, f"there is no job {job_id}")
        row, repository = found
        sees_everyone = caller.viewer.sees_everyone
        lines = last_lines(session, job_id) if sees_everyone else []
        told = JobAnswer.of(row, repository, with_people=sees_everyone)
        return _progress(session, row, told, lines, has_log=sees_everyone)


def _progress(
    session: Session, row: Job, told: JobAnswer, lines: Sequence[JobLine], *, has_log: bool
) -> Progress:
    about = told.repository or "a repository that is gone"
    subject = told.subject if row.flow is Flow.REVIEW else _subject(told)
    share = min(1.0, told.done / told.total) if told.total and row.status is JobStatus.RUNNING else None
    return Progress(
        title=_TITLES[row.flow].format(subject or about), about=about, flow=row.flow.value,
        status=row.status.value, attempt=told.attempt,
        step=told.step or "Beginning" if row.status is JobStatus.RUNNING else _STEPS[row.status],
        sentence=_sentence(session, row, share), share=share, is_over=row.status.is_final,
        events=f"/jobs/{quote(told.id, safe='')}/events", has_log=has_log,
        lines=tuple(Line(line.id or 0, f"{line.at:%H:%M:%S}", line.text) for line in lines),
        error=told.error, links=_links(row),
    )  # fmt: skip


def _subject(told: JobAnswer) -> str:
    team = told.subject.removeprefix("team:")
    return told.subject and (f"the team {team}" if team else f"how {told.repository} is written")


def _sentence(session: Session, row: Job, share: float | None) -> str:
    if row.status is JobStatus.QUEUED:
        place, n = place_in_queue(session, row)
        return f"Place {place} of {n} in the queue {row.queue}."
    if row.status is JobStatus.RUNNING:
        parts = [
            "" if share is None else f"{share:.0%} of this step",
            "" if not row.tokens_per_second else f"{row.tokens_per_second:,.0f} tokens/s",
            "" if row.seconds_left is None else f"about {duration(row.seconds_left)} left",
            "" if row.loss is None else f"loss {row.loss:.3f}",
        ]
        return " · ".join(part for part in parts if part) or "Under way."
    took = duration(((row.finished_at or now()) - (row.started_at or row.created_at)).total_seconds())
    replaced = "; newer work took its place" if row.superseded_by else ""
    return f"Ended after {took}{replaced}."


def _links(row: Job) -> tuple[tuple[str, str], ...]:
    """What the work made."""
    if row.flow is Flow.REVIEW and "review" in row.payload:
        return (("The review", f"/reviews/{row.payload['review']}"),)
    if row.flow is Flow.PROFILE and row.status is JobStatus.DONE and row.repository_id is not None:
        name = quote(str(row.payload.get("team", "")), safe="")
        return (("The team's page", f"/teams/{row.repository_id}" + (f"/{name}" if name else "")),)
    return ()


def event_of(progress: Progress) -> str:
    """What the page's script draws."""
    told = asdict(progress)
    names = ("status", "attempt", "step", "sentence", "share", "is_over", "lines")
    shown = {name: told[name] for name in names}
    return f"event: progress\ndata: {json.dumps(shown)}\n\n"
