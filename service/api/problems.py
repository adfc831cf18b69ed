"""Errors as problem details (RFC 9457), and the limit on a request's size."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service import ServiceError
from service.api.scoring import RefusedError, UnavailableError
from service.db.failures import NOT_NOW

MEDIA_TYPE = "application/problem+json"
_TITLES = {413: "Content Too Large", 422: "Unprocessable Content"}  # Python before 3.13 has older names
_MEANINGS = {
    400: "The request cannot be read",
    401: "No token, or one that is not valid",
    403: "The token's role does not allow this",
    404: "There is no such thing, or this token may not see it",
    409: "Its state does not allow this any more",
    413: "The request is too large",
    422: "The request is understood and wrong",
    429: "Too many requests with this token",
    500: "A bug; the answer names the request for the log",
    503: "Not now; Retry-After says when to ask again",
}


class Problem(BaseModel):
    """An error, as RFC 9457 describes problem details."""

    type: str = Field(description="Always about:blank: the status says what kind of problem it is.")
    title: str = Field(description="The status in words.")
    status: int = Field(description="The HTTP status.")
    detail: str = Field(description="What was expected, what was seen and what to do.")


def title_of(status: int) -> str:
    """A status in RFC 9110's words, whatever the version of Python."""
    return _TITLES.get(status) or HTTPStatus(status).phrase


def problem(
    status: int, detail: str, *, retry_after_s: int | None = None, headers: Mapping[str, str] | None = None
) -> Response:
    """A problem details answer of the default type: the status says what kind of problem it is."""
    body = {"type": "about:blank", "title": title_of(status), "status": status, "detail": detail}
    sent = dict(headers or {})
    if retry_after_s is not None:
        sent["Retry-After"] = str(retry_after_s)
    return JSONResponse(body, status, sent, media_type=MEDIA_TYPE)


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What an endpoint's description says of its errors."""
    return {status: describe_problem(status) for status in statuses}


def describe_problem(status: int) -> dict[str, Any]:
    """One error answer in OpenAPI's terms, with an example."""
    title = title_of(status)
    example = {"type": "about:blank", "title": title, "status": status, "detail": f"{_MEANINGS[status]}."}
    schema = {"$ref": "#/components/schemas/Problem"}
    described = {
        "description": _MEANINGS[status],
        "content": {MEDIA_TYPE: {"schema": schema, "example": example}},
    }
    if status in {429, 503}:
        described["headers"] = {
            "Retry-After": {"description": "Seconds to wait", "schema": {"type": "integer"}}
        }
    return described


Shown = Callable[[Request, int, str], Response | None]
"""How an error looks to a person, None where no person asked: then it is told to a program."""


def install(app: FastAPI, shown: Shown = lambda *_: None) -> None:
    """Answer every error of the application: with problem details, or as ``shown``."""

    @app.exception_handler(RequestValidationError)
    def _invalid(request: Request, error: RequestValidationError) -> Response:
        places = (f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']}" for item in error.errors())
        told = "; ".join(places)
        return shown(request, 422, told) or problem(422, told)

    @app.exception_handler(HTTPException)
    def _http(request: Request, error: HTTPException) -> Response:
        page = shown(request, error.status_code, str(error.detail))
        if page is None:
            return problem(error.status_code, str(error.detail), headers=error.headers)
        page.headers.update(error.headers or {})
        return page

    @app.exception_handler(RefusedError)
    def _refused(_: Request, error: RefusedError) -> Response:
        return problem(422, str(error))

    @app.exception_handler(UnavailableError)
    def _unavailable(_: Request, error: UnavailableError) -> Response:
        return problem(503, str(error), retry_after_s=error.retry_after_s)

    @app.exception_handler(ServiceError)
    def _service(request: Request, error: ServiceError) -> Response:
        return shown(request, 422, str(error)) or problem(422, str(error))

    def _not_now(request: Request, error: Exception) -> Response:
        del error  # a driver's message names hosts and statements
        told = "the database does not answer; try again"
        return shown(request, 503, told) or problem(503, told, retry_after_s=5)

    for kind in NOT_NOW:
        app.add_exception_handler(kind, _not_now)


class BodyLimit:
    """Refuses a body that is too large, by its announced length or as it arrives.

    Args:
        max_bytes: for every path but those in ``larger``.
    """

    def __init__(self, app: ASGIApp, max_bytes: int, larger: Mapping[str, int] | None = None) -> None:
        self._app, self._max_bytes, self._larger = app, max_bytes, larger or {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on while it is small enough."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        max_bytes = self._larger.get(scope["path"], self._max_bytes)
        announced = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        if announced.isdigit() and int(announced) > max_bytes:
            await self._refuse(max_bytes, scope, receive, send)
            return
        body, is_small = await self._read(max_bytes, receive)
        if not is_small:
            await self._refuse(max_bytes, scope, receive, send)
            return
        sent = False

        async def replay() -> Message:
            nonlocal sent
            if sent:
                return await receive()
            sent = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self._app(scope, replay, send)

    async def _read(self, max_bytes: int, receive: Receive) -> tuple[bytes, bool]:
        body = bytearray()
        while True:
            message = await receive()
            body += message.get("body", b"")
            if len(body) > max_bytes:
                return b"", False
            if not message.get("more_body", False):
                return bytes(body), True

    async def _refuse(self, max_bytes: int, scope: Scope, receive: Receive, send: Send) -> None:
        detail = f"the request is larger than {max_bytes:,} bytes; send a smaller one"
        await problem(413, detail)(scope, receive, send)
