"""The HTTP interface: verifies, asks for work, and shows what the service knows. Imports no torch."""

from __future__ import annotations

import secrets
from functools import cache
from typing import Any

import anyio
from fastapi import FastAPI, Request
from fastapi.responses import Response

from service.api import health, jobs, own_pages, pages, resources, reviews, served, webhooks
from service.api.browser import SignInError
from service.api.description import TITLE, VERSION, describe
from service.api.envelope import Envelope
from service.api.intake import PATH
from service.api.metrics import Metrics
from service.api.parts import Parts
from service.api.problems import BodyLimit, install
from service.api.streams import MOST_STREAMS
from service.db.migrate import newest_version


def routed_app(*, has_webhooks: bool, has_pages: bool = False) -> FastAPI:
    """The endpoints, with nothing behind them: enough to be described."""
    app = FastAPI(title=TITLE, version=VERSION, docs_url=None, redoc_url=None)
    for part in (resources, reviews, jobs, health):
        app.include_router(part.router)
    if has_webhooks:
        app.include_router(webhooks.router)
    if has_pages:
        app.include_router(pages.router)
        app.include_router(own_pages.router)
        app.include_router(served.router)

    @cache
    def describe_once() -> dict[str, Any]:
        return describe(app)

    app.openapi = describe_once
    return app


def _install_errors(app: FastAPI, *, has_pages: bool) -> None:
    """Problem details for programs, and for people pages where there are any."""
    if not has_pages:
        install(app)
        return

    def shown(request: Request, status: int, detail: str) -> Response | None:
        return served.show_error(status, detail) if served.wants_page(request) else None

    install(app, shown)

    @app.exception_handler(SignInError)
    def _sign_in(_: Request, error: SignInError) -> Response:
        return served.ask_to_sign_in(error)


def create_app(parts: Parts) -> FastAPI:
    """Build the application on an upgraded database."""
    app = routed_app(has_webhooks=parts.intake is not None, has_pages=parts.store is not None)
    app.state.parts = parts
    app.state.metrics = Metrics(parts.database)
    app.state.schema = newest_version()
    app.state.reviewing = anyio.CapacityLimiter(reviews.MOST_WAITING)
    app.state.following = anyio.CapacityLimiter(MOST_STREAMS)
    app.state.form_secret = secrets.token_urlsafe(32)
    _install_errors(app, has_pages=parts.store is not None)
    larger = {} if parts.intake is None else {PATH: parts.intake.max_bytes}
    # JSON may need six bytes for one (\\u0000), but diffs are mostly plain text.
    app.add_middleware(BodyLimit, max_bytes=2 * parts.max_diff_bytes + 4096, larger=larger)
    app.add_middleware(Envelope, metrics=app.state.metrics)
    return app
