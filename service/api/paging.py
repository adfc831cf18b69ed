"""Pages, their cursors, and answers that say "unchanged"."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from typing import Annotated, Any, Generic, TypeVar

from fastapi import HTTPException, Path, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field

Item = TypeVar("Item", bound=BaseModel)
LARGEST_ID = 2**63 - 1
_TEXT = r"^[^\x00]*$"  # PostgreSQL keeps no NUL in text

Limit = Annotated[int, Query(ge=1, le=100, description="Items on a page.", examples=[50])]
Cursor = Annotated[
    str | None, Query(max_length=500, description="`next` of the page before; nothing for the first page.")
]
Id = Annotated[int, Path(ge=1, le=LARGEST_ID, description="The number that lists show.", examples=[1])]
Name = Annotated[str | None, Query(max_length=300, pattern=_TEXT)]
RepositoryFilter = Annotated[
    int | None, Query(ge=1, le=LARGEST_ID, description="Only of this repository, by its number.")
]


class Page(BaseModel, Generic[Item]):
    """A part of a list."""

    items: list[Item]
    next: Annotated[
        str | None,
        Field(description="Cursor of the page that follows; null on the last one.", examples=["WzUwXQ"]),
    ] = None


def make_cursor(*place: int | str) -> str:
    """A cursor that begins after a place: opaque to callers, so that it can change."""
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode().rstrip("=")


def read_cursor(cursor: str, *kinds: type[int | str]) -> list[Any]:
    """The place in a cursor.

    Raises:
        HTTPException: (422) it is not one of ours.
    """
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        place = json.loads(text)
    except (binascii.Error, ValueError, RecursionError):
        place = None
    if not isinstance(place, list) or [type(part) for part in place] != list(kinds):
        raise HTTPException(422, "cursor: expected `next` of the page before, unchanged")
    if not all(0 <= part <= LARGEST_ID if isinstance(part, int) else part.isprintable() for part in place):
        raise HTTPException(422, "cursor: expected `next` of the page before, unchanged")
    return place


def read_id(cursor: str | None) -> int | None:
    """The place of a list that is ordered by number; None on the first page."""
    return None if cursor is None else read_cursor(cursor, int)[0]


def cut(items: list[Item], limit: int, cursors: list[str]) -> Page[Item]:
    """A page of at most ``limit`` items out of ``limit + 1``: the one too many says that more follow."""
    return Page(items=items[:limit], next=cursors[limit - 1] if len(items) > limit else None)


def answer(request: Request, value: BaseModel) -> Response:
    """JSON with an ETag; 304 when the caller has it already."""
    body = value.model_dump_json().encode()
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {"ETag": etag, "Cache-Control": "private, no-cache"}
    known = request.headers.get("if-none-match", "")
    if etag in {tag.strip().removeprefix("W/") for tag in known.split(",")}:
        return Response(status_code=304, headers=headers)
    return Response(body, media_type="application/json", headers=headers)
