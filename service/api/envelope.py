"""Around every request: an id, a line in the log, the metrics, and an answer even when there is a bug."""

from __future__ import annotations

import re
import secrets
import time

import structlog
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.metrics import Metrics
from service.api.problems import problem
from service.logs import where

LOG = structlog.get_logger("service.api")
HEADER = "X-Request-Id"
_USABLE = re.compile(r"[\w.\-]{8,64}")
_QUIET = {"/healthz", "/readyz", "/metrics"}


class Envelope:
    """Wraps the application; the outermost layer."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request and say what became of it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id, started, status = _request_id(scope), time.perf_counter(), 0
        seconds = 0.0

        async def send_and_look(message: Message) -> None:
            nonlocal status, seconds
            if message["type"] == "http.response.start":
                status, seconds = message["status"], time.perf_counter() - started
                MutableHeaders(scope=message)[HEADER] = request_id
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self._app(scope, receive, send_and_look)
            except Exception as error:  # noqa: BLE001 - a bug must not cost the caller an answer
                LOG.error("request failed", error=type(error).__name__, at=where(error))  # noqa: TRY400 - see where()
                if status == 0:
                    detail = f"a bug; the service's log says more under the request id {request_id}"
                    await problem(500, detail)(scope, receive, send_and_look)
            self._tell(scope, status, seconds)

    def _tell(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "unmatched")
        self._metrics.count_request(scope["method"], route, status, seconds)
        say = LOG.debug if route in _QUIET and status == 200 else LOG.info
        say(
            "request", method=scope["method"], route=route, status=status, ms=round(seconds * 1000, 1),
            token=scope.get("state", {}).get("token"),
        )  # fmt: skip


def _request_id(scope: Scope) -> str:
    """The caller's, so that one id follows a request through a proxy, or one of ours."""
    given = next((value for name, value in scope["headers"] if name == HEADER.lower().encode()), b"")
    text = given.decode("latin-1")
    return text if _USABLE.fullmatch(text) else secrets.token_hex(8)
