"""Jobs: where durable work stands, as a list, one by one, and as events while it moves."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, HTTPException, Path, Query, Request
from fastapi.responses import Response, StreamingResponse

from service import ServiceError
from service.api.access import ADMINS, MEMBERS, Caller, parts_of
from service.api.answers import JobAnswer, JobDetails
from service.api.paging import Cursor, Limit, Page, RepositoryFilter, answer, cut, make_cursor, read_cursor
from service.api.problems import problem_responses
from service.api.streams import follow
from service.db.queries.listings import find_job_named, last_lines, list_jobs_before
from service.db.queries.people import audit
from service.db.session import Database
from service.db.states import Flow, JobStatus

router = APIRouter(prefix="/v1", tags=["jobs"], responses=problem_responses(401, 403, 422, 429, 503))
JobId = Annotated[
    str, Path(min_length=1, max_length=200, pattern=r"^[!-~]+$", description="The job's id, whole.")
]


@router.get("/jobs", response_model=Page[JobAnswer])
def list_of_jobs(
    request: Request,
    caller: MEMBERS,
    repository: RepositoryFilter = None,
    status: Annotated[JobStatus | None, Query(description="Only in this state.")] = None,
    flow: Annotated[Flow | None, Query(description="Only of this kind.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """List jobs, newest first."""
    before = _read_place(cursor)
    with parts_of(request).database.reading() as session:
        rows = list_jobs_before(
            session, repository_id=repository, status=status, flow=flow, before=before, limit=limit + 1
        )
    items = [JobAnswer.of(*row, with_people=caller.viewer.sees_everyone) for row in rows]
    cursors = [make_cursor(item.created_at.isoformat(), item.id) for item in items]
    return answer(request, cut(items, limit, cursors))


def _read_place(cursor: str | None) -> tuple[datetime, str] | None:
    if cursor is None:
        return None
    moment, last = read_cursor(cursor, str, str)
    try:
        read = datetime.fromisoformat(moment)
        return read.astimezone(None if read.tzinfo is None else read.tzinfo), last
    except (ValueError, OverflowError):
        raise HTTPException(422, "cursor: expected `next` of the page before, unchanged") from None


@router.get("/jobs/{id}", response_model=JobDetails, responses=problem_responses(404))
def one_job(request: Request, caller: MEMBERS, id: JobId) -> Response:  # noqa: A002 - the path's own name
    """Show a job, how far it is, and for administrators the end of its log."""
    return answer(request, _read(parts_of(request).database, caller, id))


def _read(database: Database, caller: Caller, job_id: str) -> JobDetails:
    with database.reading() as session:
        found = find_job_named(session, job_id)
        if found is None:
            raise HTTPException(404, f"there is no job {job_id}")
        sees_everyone = caller.viewer.sees_everyone
        lines = last_lines(session, job_id) if sees_everyone else []
        return JobDetails.of(JobAnswer.of(*found, with_people=sees_everyone), lines)


@router.post("/jobs/{id}/cancel", response_model=JobDetails, responses=problem_responses(404, 409))
def cancel_job(request: Request, caller: ADMINS, id: JobId) -> Response:  # noqa: A002 - the path's own name
    """Call a job off; one that runs stops at its next step."""
    parts = parts_of(request)
    before = _read(parts.database, caller, id)
    if parts.cancel is None or before.job.status.is_final:
        why = "this process cancels no jobs" if parts.cancel is None else f"it has ended: {before.job.status}"
        raise HTTPException(409, f"{id} cannot be cancelled: {why}")
    with parts.database.writing() as session:
        audit(session, caller.name, "job.cancel", f"job {id}")
    try:
        parts.cancel(id, f"cancelled by {caller.name}")
    except ServiceError as error:  # it ended meanwhile
        raise HTTPException(409, str(error)) from error
    return answer(request, _read(parts.database, caller, id))


@router.get(
    "/jobs/{id}/events",
    response_class=StreamingResponse,
    responses={
        200: {"description": "Events named `job`, each with a Job as its data",
              "content": {"text/event-stream": {"schema": {"type": "string"}}}},
        **problem_responses(404),
    },
)  # fmt: skip
async def follow_job(request: Request, caller: MEMBERS, id: JobId) -> StreamingResponse:  # noqa: A002 - the path's own name
    """Follow a job: an event at once, one whenever it moves, the last when it ends.

    A stream ends after ten minutes; an EventSource connects again by itself.
    """
    database = parts_of(request).database
    return await follow(
        lambda: _read(database, caller, id).job, is_over=lambda job: job.status.is_final, show=_event,
        streams=request.app.state.following,
    )  # fmt: skip


def _event(job: JobAnswer) -> str:
    return f"event: job\ndata: {job.model_dump_json()}\n\n"
