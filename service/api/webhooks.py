"""The endpoint of GitHub's webhooks."""

from __future__ import annotations

from fastapi import APIRouter, HTTPException, Request

from connectors.github.webhooks import DigestError, MalformedError, TooLargeError
from service.api.access import parts_of
from service.api.intake import PATH, Receipt
from service.api.problems import problem_responses

router = APIRouter(tags=["webhooks"])
_HEADERS = {
    "X-GitHub-Event": ("The kind of event.", "pull_request"),
    "X-GitHub-Delivery": ("GitHub's id of the delivery.", "72d3162e-cc78-11e3-81ab-4c9367dc0958"),
    "X-Hub-Signature-256": (
        "`sha256=` and the HMAC of the body with the app's secret.",
        "sha256=757107ea...",
    ),
}
_DESCRIPTION = {
    "parameters": [
        {"in": "header", "name": name, "description": about, "required": True,
         "schema": {"type": "string"}, "example": example}
        for name, (about, example) in _HEADERS.items()
    ],
    "requestBody": {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}},
}  # fmt: skip


@router.post(
    PATH, status_code=202, responses=problem_responses(400, 401, 413, 503), openapi_extra=_DESCRIPTION
)
async def receive_github_webhook(request: Request) -> Receipt:
    """Take a GitHub webhook.

    The digest is checked over the raw bytes before anything is parsed. Events and actions that nothing
    follows from are accepted and ignored; a redelivery is worked on only if the first delivery failed.
    """
    intake = parts_of(request).intake
    assert intake is not None, "the endpoint is there with the app"
    body = await request.body()
    try:
        event, outcome = await intake.take(request.headers, body)
    except DigestError as error:
        raise HTTPException(401, str(error)) from error
    except TooLargeError as error:
        raise HTTPException(413, str(error)) from error
    except MalformedError as error:
        raise HTTPException(400, str(error)) from error
    request.app.state.metrics.count_delivery(event.name, outcome)
    return Receipt(outcome=outcome, delivery=event.delivery)
