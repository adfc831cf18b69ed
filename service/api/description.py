"""The API's own description in OpenAPI."""

from __future__ import annotations

import json
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from service.api.problems import Problem

TITLE, VERSION = "Routeprint", "1"
_ABOUT = """Does this change route through a code model the way this team's code does?

Every endpoint under `/v1` needs a token (`routeprint tokens create`) of one of three roles. **admin** may do
everything. **member** reads repositories, teams' signatures, reviews, jobs, and of people those who agreed.
**self** reads what is kept of one person, their own. Nothing here ranks people or compares them.

Errors are problem details (RFC 9457). Lists come in pages: pass `next` of a page as `cursor`. Answers carry
an ETag; ask with `If-None-Match` and an unchanged one is a 304. Every answer carries `X-Request-Id`, which
the log repeats.
"""
_TAGS = {
    "repositories": "What is read and reviewed.",
    "authors": "Who writes: agents, and of people what they let be seen.",
    "signatures": "How a team's or an author's code routes, version by version.",
    "reviews": "Diffs scored at once, and stored answers to pull requests.",
    "jobs": "Durable work and where it stands.",
    "webhooks": "What GitHub calls.",
    "operation": "Health and metrics.",
}


def describe(app: FastAPI) -> dict[str, Any]:
    """The description of an application's routes."""
    found = get_openapi(
        title=TITLE, version=VERSION, description=_ABOUT, routes=app.routes,
        tags=[{"name": name, "description": about} for name, about in _TAGS.items()],
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
    )  # fmt: skip
    schemas = found.setdefault("components", {}).setdefault("schemas", {})
    schemas["Problem"] = Problem.model_json_schema()
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    for operations in found["paths"].values():
        for operation in operations.values():
            _tell_of_headers(operation)
    found["servers"] = [{"url": "/", "description": "This service"}]
    return found


def _tell_of_headers(operation: dict[str, Any]) -> None:
    """Every answer names its request; reads can be unchanged."""
    for response in operation["responses"].values():
        about = {"description": "The request's id, for the log", "schema": {"type": "string"}}
        response.setdefault("headers", {})["X-Request-Id"] = about


def render_description(app: FastAPI) -> str:
    """The description as it is committed."""
    return json.dumps(describe(app), indent=1, ensure_ascii=False) + "\n"
