"""Reviews: a diff scored at once, and the stored answers to pull requests."""

from __future__ import annotations

from typing import Annotated

import anyio
import anyio.to_thread
from fastapi import APIRouter, Body, HTTPException, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from fingerprint.report import DriftReport, Verdict
from service.api.access import MEMBERS, parts_of
from service.api.answers import ReviewAnswer
from service.api.paging import (
    LARGEST_ID,
    Cursor,
    Id,
    Limit,
    Page,
    RepositoryFilter,
    answer,
    cut,
    make_cursor,
    read_id,
)
from service.api.problems import problem_responses
from service.api.scoring import Request as ScoringRequest
from service.api.scoring import UnavailableError
from service.db.queries.listings import find_review_named, list_reviews_before
from service.db.states import ReviewStatus

MOST_WAITING = 16
"""Diffs that wait for the scoring process, in threads of their own so webhooks go on; more are refused."""
_DIFF = """diff --git a/cart.py b/cart.py
--- a/cart.py
+++ b/cart.py
@@ -1,2 +1,3 @@
 def total(items):
+    amounts = [item.price for item in items]
     return sum(item.price for item in items)
"""
router = APIRouter(prefix="/v1", tags=["reviews"], responses=problem_responses(401, 403, 422, 429, 503))


class ReviewRequest(BaseModel):
    """A diff to compare with a team's code."""

    model_config = ConfigDict(extra="forbid")

    repository: Annotated[
        str, Field(description="Name of a repository registered with `routeprint serve`.", examples=["shop"])
    ]
    diff: Annotated[str, Field(description="Unified diff, as `git diff` prints it.", examples=[_DIFF])]


@router.post("/reviews", response_model=DriftReport, responses=problem_responses(400, 404, 413))
async def score_diff(request: Request, _: MEMBERS, body: Annotated[ReviewRequest, Body()]) -> Response:
    """Score a diff at once; the JSON is what `routeprint score --format json` prints. Nothing is stored."""
    parts = parts_of(request)
    if parts.scoring is None:
        raise HTTPException(404, "this process scores no diffs; reviews of pull requests are made by workers")
    if body.repository not in parts.repositories:
        known = ", ".join(sorted(parts.repositories))
        raise HTTPException(404, f"no repository {body.repository!r} here; registered: {known}")
    _check_size(body.diff, parts.max_diff_bytes)
    limiter: anyio.CapacityLimiter = request.app.state.reviewing
    if limiter.available_tokens < 1:
        raise UnavailableError(f"{MOST_WAITING} diffs are waiting already; try again soon", 10)
    question = ScoringRequest(body.repository, body.diff)
    text = await anyio.to_thread.run_sync(parts.scoring.review, question, limiter=limiter)
    return Response(text, media_type="application/json")


def _check_size(diff: str, max_bytes: int) -> None:
    try:
        size = len(diff.encode())
    except UnicodeEncodeError:
        raise HTTPException(422, "the diff holds lone surrogates; send valid UTF-8") from None
    if size > max_bytes:
        raise HTTPException(413, f"the diff has {size:,} bytes, at most {max_bytes:,} are read")


@router.get("/reviews", response_model=Page[ReviewAnswer])
def list_of_reviews(
    request: Request,
    _: MEMBERS,
    repository: RepositoryFilter = None,
    number: Annotated[
        int | None, Query(ge=0, le=LARGEST_ID, description="Only of this pull request.")
    ] = None,
    status: Annotated[ReviewStatus | None, Query(description="Only in this state.")] = None,
    verdict: Annotated[Verdict | None, Query(description="Only with this verdict.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """List stored reviews, newest first."""
    with parts_of(request).database.reading() as session:
        rows = list_reviews_before(
            session, repository_id=repository, number=number, status=status, verdict=verdict,
            before=read_id(cursor), limit=limit + 1,
        )  # fmt: skip
    items = [ReviewAnswer.of(*row) for row in rows]
    return answer(request, cut(items, limit, [make_cursor(item.id) for item in items]))


@router.get("/reviews/{id}", response_model=ReviewAnswer, responses=problem_responses(404))
def one_review(request: Request, _: MEMBERS, id: Id) -> Response:  # noqa: A002 - the path's own name
    """Show a stored review, its verdict and what made it."""
    with parts_of(request).database.reading() as session:
        found = find_review_named(session, id)
    if found is None:
        raise HTTPException(404, f"there is no review {id}")
    return answer(request, ReviewAnswer.of(*found))
