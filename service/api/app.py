"""The HTTP interface: takes a diff, asks the scoring process, returns its answer unchanged."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated

from fastapi import FastAPI, HTTPException
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from fingerprint.report import DriftReport
from service.api.problems import BodyLimit, install, problem
from service.api.scoring import Request, ScoringProcess


class ReviewRequest(BaseModel):
    """A diff to compare with a team's code."""

    model_config = ConfigDict(extra="forbid")

    repository: Annotated[str, Field(description="Name of a repository registered with `routeprint serve`.")]
    diff: Annotated[str, Field(description="Unified diff, as `git diff` prints it.")]


def create_app(scoring: ScoringProcess, repositories: Collection[str], *, max_diff_bytes: int) -> FastAPI:
    """Build the application.

    Args:
        scoring: started by the caller.
        repositories: names that a review may be asked for.
        max_diff_bytes: largest diff, in bytes of UTF-8.
    """
    app = FastAPI(title="Routeprint", version="1", docs_url=None, redoc_url=None)
    # JSON may need six bytes for one (\\u0000), but diffs are mostly plain text.
    app.add_middleware(BodyLimit, max_bytes=2 * max_diff_bytes + 4096)
    install(app)

    @app.get("/healthz")
    def healthz() -> dict[str, str]:
        """Alive: the API answers."""
        return {"status": "alive"}

    @app.get("/readyz", response_model=None)
    def readyz() -> Response | dict[str, str]:
        """Ready: the scoring process has loaded its profiles."""
        if scoring.is_ready:
            return {"status": "ready"}
        return problem(503, "the scoring process is starting", retry_after_s=5)

    @app.post("/v1/reviews", response_model=DriftReport)
    def review(body: ReviewRequest) -> Response:
        """Score a diff; the JSON is what ``routeprint score --format json`` prints."""
        if body.repository not in repositories:
            known = ", ".join(sorted(repositories))
            raise HTTPException(404, f"no repository {body.repository!r} here; registered: {known}")
        try:
            size = len(body.diff.encode())
        except UnicodeEncodeError:
            raise HTTPException(422, "the diff holds lone surrogates; send valid UTF-8") from None
        if size > max_diff_bytes:
            raise HTTPException(413, f"the diff has {size:,} bytes, at most {max_diff_bytes:,} are read")
        return Response(scoring.review(Request(body.repository, body.diff)), media_type="application/json")

    return app
