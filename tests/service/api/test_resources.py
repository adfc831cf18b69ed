"""What lists and single things look like: pages, unchanged answers, jobs that move, health and metrics."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable

import anyio
import pytest
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families

from service import ServiceError
from service.api import jobs, streams
from service.api.access import EVERYBODY
from service.api.app import create_app
from service.api.parts import Parts
from service.db.queries.jobs import cancel_jobs
from service.db.queries.repositories import keep_repository
from service.db.session import Database
from service.db.states import JobStatus, Role
from service.db.tables import Job
from tests.service.api.rows import Rows
from tests.service.api.test_webhooks import PUSH, send

Token = Callable[..., dict[str, str]]


def walk(client: TestClient, path: str, headers: dict[str, str], limit: int) -> list[list[int | str]]:
    """The ids on every page."""
    pages, cursor = [], ""
    while True:
        page = client.get(f"{path}?limit={limit}{cursor}", headers=headers).json()
        pages.append([item["id"] for item in page["items"]])
        if page["next"] is None:
            return pages
        cursor = f"&cursor={page['next']}"


def test_pages_hold_everything_once_while_rows_are_added(
    client: TestClient, database: Database, rows: Rows, token: Token
) -> None:
    headers = token(Role.ADMIN)
    assert walk(client, "/v1/authors", headers, 4) == [[1, 2, 3, 4], [5, 6]]
    assert walk(client, "/v1/authors", headers, 3) == [[1, 2, 3], [4, 5, 6]]
    assert walk(client, "/v1/reviews", headers, 2) == [[3, 2], [1]]
    assert walk(client, "/v1/signatures", headers, 100) == [[3, 2, 1]]
    assert walk(client, "/v1/jobs", headers, 1) == [["rp-1.1"], ["profile-1"]]
    first = client.get("/v1/repositories?limit=1", headers=headers).json()
    with database.writing() as session:
        keep_repository(session, "acme/aaa", github_id=13)
    rest = client.get(f"/v1/repositories?cursor={first['next']}", headers=headers).json()
    names = [item["full_name"] for page in (first, rest) for item in page["items"]]
    assert names == ["acme/shop", "acme/tools", "acme/aaa"]
    assert first["items"][0]["teams"] == [{"name": "", "paths": [], "with_agents": False}]


def test_a_cursor_that_is_not_ours_is_refused(client: TestClient, token: Token) -> None:
    """Not base64, not JSON, other types, too few or many parts, below zero, no moment."""
    headers = token(Role.MEMBER)
    for cursor in ("", "x", "bm9uZQ", "WyJhIl0", "WzEsMl0", "Wy0xXQ", "WzFlOTldOw", "W10", "WyJhIiwiYiJd"):
        for path in ("repositories", "reviews", "jobs"):
            response = client.get(f"/v1/{path}", params={"cursor": cursor}, headers=headers)
            assert (response.status_code, response.json()["title"]) == (422, "Unprocessable Content"), cursor


def test_a_parameter_with_a_slip_in_its_name_is_refused(client: TestClient, token: Token) -> None:
    response = client.get("/v1/jobs?statsu=done", headers=token(Role.MEMBER))
    assert response.status_code == 422
    assert "no parameter 'statsu' here; there are cursor, flow, limit" in response.json()["detail"]


def test_an_unchanged_answer_is_not_sent_again(
    client: TestClient, database: Database, rows: Rows, token: Token
) -> None:
    headers = token(Role.MEMBER)
    for path in (f"/v1/reviews/{rows.review}", "/v1/repositories", "/v1/jobs/rp-1.1"):
        first = client.get(path, headers=headers)
        again = client.get(path, headers={**headers, "If-None-Match": f'"other", W/{first.headers["etag"]}'})
        assert (again.status_code, again.content) == (304, b"")
    with database.writing() as session:
        session.get_one(Job, "rp-1.1").step = "score"
    assert client.get(path, headers={**headers, "If-None-Match": first.headers["etag"]}).status_code == 200


def test_reviews_can_be_found_and_say_what_made_them(client: TestClient, rows: Rows, token: Token) -> None:
    headers = token(Role.MEMBER)
    found = client.get("/v1/reviews?verdict=unusual", headers=headers).json()["items"]
    assert [(one["number"], one["repository"], one["provenance"]) for one in found] == [
        (2, "acme/shop", {"base": "starter"})
    ]
    assert "requested_by" not in found[0]  # a person's login
    assert client.get("/v1/reviews?number=9", headers=headers).json() == {"items": [], "next": None}
    assert client.get("/v1/reviews/99", headers=headers).status_code == 404
    assert client.get(f"/v1/repositories/{rows.shop}", headers=headers).json()["stage"] == "observe"


def test_an_administrator_calls_a_job_off_and_it_is_written_down(
    parts: Parts, database: Database, rows: Rows, token: Token
) -> None:
    def cancel(job_id: str, why: str) -> None:
        with database.writing() as session:
            if not cancel_jobs(session, [job_id], why):
                raise ServiceError("it has ended")

    headers = token(Role.ADMIN)
    with TestClient(create_app(dataclasses.replace(parts, cancel=cancel))) as client:
        done = client.post("/v1/jobs/rp-1.1/cancel", headers=headers)
        assert (done.status_code, done.json()["job"]["status"]) == (200, "cancelled")
        assert done.json()["log"][-1]["text"] == "cancelled by token 1 (test admin)"
        assert client.post("/v1/jobs/rp-1.1/cancel", headers=headers).status_code == 409
        assert client.post("/v1/jobs/nothing/cancel", headers=headers).status_code == 404
    with TestClient(create_app(parts)) as client:
        assert client.post("/v1/jobs/rp-1.1/cancel", headers=headers).status_code == 409


def test_a_job_is_followed_to_its_end(
    client: TestClient, database: Database, rows: Rows, token: Token, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "_POLL_S", 0.02)

    def move(status: JobStatus) -> None:
        with database.writing() as session:
            session.get_one(Job, "rp-1.1").status = status

    async def follow() -> list[str]:
        seen: list[str] = []
        response = await streams.follow(
            lambda: jobs._read(database, EVERYBODY, "rp-1.1").job, is_over=lambda job: job.status.is_final,
            show=jobs._event, streams=anyio.CapacityLimiter(1),
        )  # fmt: skip
        async for event in response.body_iterator:
            name, data = str(event).split("\n", 1)
            assert name == "event: job"
            seen.append(json.loads(data.removeprefix("data: "))["status"])
            move(JobStatus.RUNNING if len(seen) == 1 else JobStatus.DONE)
        return seen

    assert anyio.run(follow) == ["queued", "running", "done"]
    response = client.get("/v1/jobs/rp-1.1/events", headers=token(Role.MEMBER))
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.text.count("event: job") == 1 and '"status":"done"' in response.text
    assert client.get("/v1/jobs/nothing/events", headers=token(Role.MEMBER)).status_code == 404


def test_metrics_count_without_naming_anybody(client: TestClient, rows: Rows, token: Token) -> None:
    headers = token(Role.MEMBER)
    send(client, PUSH)
    send(client, {}, guid="2", event="made_up")
    client.get(f"/v1/authors/{rows.ann}", headers=headers)
    client.get("/acme/shop/human:ann", headers=headers)
    text = client.get("/metrics", headers=headers).text
    values = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert values["routeprint_webhooks_total", "push", "queued"] == 1
    assert values["routeprint_webhooks_total", "other", "ignored"] == 1
    assert values["routeprint_requests_total", "GET", "/v1/authors/{id}", "200"] == 1
    assert values["routeprint_requests_total", "GET", "unmatched", "404"] == 1
    assert values["routeprint_request_seconds_count", "POST", "/webhooks/github"] == 2
    assert values["routeprint_queue_depth", "review"] == 1
    assert values["routeprint_jobs", "profile", "failed"] == 1
    assert values["routeprint_reviews", "not-scored"] == 1
    assert values["routeprint_deliveries", "received"] == 1
    assert not any(word in text for word in ("ann", "acme", "shop", "Claude"))


def test_ready_means_the_schema_of_this_version(parts: Parts) -> None:
    app = create_app(parts)
    client = TestClient(app)
    assert client.get("/readyz").json() == {"status": "ready"}
    app.state.schema = "0099"
    response = client.get("/readyz")
    assert response.status_code == 503
    assert "routeprint db upgrade" in response.json()["detail"]


def test_a_database_that_is_away_is_not_a_bug(client: TestClient, database: Database, token: Token) -> None:
    headers = token(Role.MEMBER)
    database.close()
    url = database.engine.url
    object.__setattr__(database, "engine", _nowhere(url))
    response = client.get("/v1/jobs", headers=headers)
    assert (response.status_code, response.headers["retry-after"]) == (503, "5")
    assert str(url.database) not in response.text


def _nowhere(url):
    import sqlalchemy as sa

    if url.get_backend_name() == "sqlite":
        return sa.create_engine("sqlite:////nowhere/at/all.db")
    return sa.create_engine(url.set(port=1), connect_args={"connect_timeout": 1})
