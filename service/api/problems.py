"""Errors as problem details (RFC 9457), and the limit on a request's size."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.scoring import RefusedError, UnavailableError


def problem(status: int, detail: str, *, retry_after_s: int | None = None) -> Response:
    """A problem details answer of the default type: the status says what kind of problem it is."""
    body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    headers = {} if retry_after_s is None else {"Retry-After": str(retry_after_s)}
    return JSONResponse(body, status, headers, media_type="application/problem+json")


def install(app: FastAPI) -> None:
    """Answer every error of the application with problem details."""

    @app.exception_handler(RequestValidationError)
    def _invalid(_: Request, error: RequestValidationError) -> Response:
        places = (f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']}" for item in error.errors())
        return problem(422, "; ".join(places))

    @app.exception_handler(HTTPException)
    def _http(_: Request, error: HTTPException) -> Response:
        return problem(error.status_code, str(error.detail))

    @app.exception_handler(RefusedError)
    def _refused(_: Request, error: RefusedError) -> Response:
        return problem(422, str(error))

    @app.exception_handler(UnavailableError)
    def _unavailable(_: Request, error: UnavailableError) -> Response:
        return problem(503, str(error), retry_after_s=error.retry_after_s)


class BodyLimit:
    """Refuses a body above ``max_bytes``, by its announced length or as it arrives."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app, self._max_bytes = app, max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on while it is small enough."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        if announced.isdigit() and int(announced) > self._max_bytes:
            await self._refuse(scope, receive, send)
            return
        body, is_small = await self._read(receive)
        if not is_small:
            await self._refuse(scope, receive, send)
            return
        sent = False

        async def replay() -> Message:
            nonlocal sent
            if sent:
                return await receive()
            sent = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self._app(scope, replay, send)

    async def _read(self, receive: Receive) -> tuple[bytes, bool]:
        body = bytearray()
        while True:
            message = await receive()
            body += message.get("body", b"")
            if len(body) > self._max_bytes:
                return b"", False
            if not message.get("more_body", False):
                return bytes(body), True

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        detail = f"the request is larger than {self._max_bytes:,} bytes; send a smaller diff"
        await problem(413, detail)(scope, receive, send)
