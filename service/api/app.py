"""The HTTP interface: verifies, asks for work, and shows what the service knows. Imports no torch."""

from __future__ import annotations

from functools import cache
from typing import Any

import anyio
from fastapi import FastAPI

from service.api import health, jobs, resources, reviews, webhooks
from service.api.description import TITLE, VERSION, describe
from service.api.envelope import Envelope
from service.api.intake import PATH
from service.api.metrics import Metrics
from service.api.parts import Parts
from service.api.problems import BodyLimit, install
from service.db.migrate import newest_version


def routed_app(*, has_webhooks: bool) -> FastAPI:
    """The endpoints, with nothing behind them: enough to be described."""
    app = FastAPI(title=TITLE, version=VERSION, docs_url=None, redoc_url=None)
    for part in (resources, reviews, jobs, health):
        app.include_router(part.router)
    if has_webhooks:
        app.include_router(webhooks.router)

    @cache
    def describe_once() -> dict[str, Any]:
        return describe(app)

    app.openapi = describe_once
    return app


def create_app(parts: Parts) -> FastAPI:
    """Build the application on an upgraded database."""
    app = routed_app(has_webhooks=parts.intake is not None)
    app.state.parts = parts
    app.state.metrics = Metrics(parts.database)
    app.state.schema = newest_version()
    app.state.reviewing = anyio.CapacityLimiter(reviews.MOST_WAITING)
    app.state.following = anyio.CapacityLimiter(jobs.MOST_STREAMS)
    install(app)
    larger = {} if parts.intake is None else {PATH: parts.intake.max_bytes}
    # JSON may need six bytes for one (\\u0000), but diffs are mostly plain text.
    app.add_middleware(BodyLimit, max_bytes=2 * parts.max_diff_bytes + 4096, larger=larger)
    app.add_middleware(Envelope, metrics=app.state.metrics)
    return app
