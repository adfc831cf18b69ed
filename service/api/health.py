"""Whether the process is alive and ready, and its metrics."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse, Response
from pydantic import BaseModel, Field

from service.api.access import MEMBERS, parts_of
from service.api.metrics import CONTENT_TYPE
from service.api.problems import problem, problem_responses
from service.db.migrate import read_version

router = APIRouter(tags=["operation"])


class Health(BaseModel):
    """A process that can answer."""

    status: Literal["alive", "ready"] = Field(examples=["ready"])


@router.get("/healthz")
def healthz() -> Health:
    """Alive: the API answers. Restart the process when it does not."""
    return Health(status="alive")


@router.get("/readyz", response_model=Health, responses=problem_responses(503))
def readyz(request: Request) -> Response | Health:
    """Ready: the database has the schema of this version, and the scoring process has its profiles."""
    parts = parts_of(request)
    if read_version(parts.database) != request.app.state.schema:
        return problem(503, "the database has another schema; run `routeprint db upgrade`", retry_after_s=30)
    if parts.scoring is not None and not parts.scoring.is_ready:
        return problem(503, "the scoring process is starting", retry_after_s=5)
    return Health(status="ready")


@router.get(
    "/metrics",
    response_class=PlainTextResponse,
    responses={200: {"description": "Prometheus' text format"}, **problem_responses(401, 403, 429, 503)},
)
def metrics(request: Request, _: MEMBERS) -> Response:
    """Counts for Prometheus; its scrape configuration takes the token as `authorization`."""
    return Response(request.app.state.metrics.render(), media_type=CONTENT_TYPE)
