"""GitHub's webhooks at the endpoint: every published payload, twice and shuffled; forgeries; failures."""

from __future__ import annotations

import gzip
import json
import random
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

from connectors.github import WebhookError
from connectors.github.webhooks import Secrets, digest_of
from service.api.app import create_app
from service.api.intake import Intake
from service.api.parts import Parts
from service.db.queries.deliveries import begin_delivery, end_delivery, find_delivery
from service.db.session import Database
from service.db.states import DeliveryStatus
from service.db.tables import Delivery
from tests.service.api.conftest import SECRETS

PAYLOADS = Path(__file__).parents[2] / "contract" / "github" / "payloads.jsonl.gz"
PUSH = {
    "ref": "refs/heads/main", "after": "b" * 40, "installation": {"id": 3},
    "repository": {"id": 11, "full_name": "acme/shop", "default_branch": "main"},
}  # fmt: skip


def send(
    client: TestClient, payload: object, guid: str = "1", event: str = "push", secret: str = SECRETS.current
):
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    headers = {
        "X-GitHub-Event": event, "X-GitHub-Delivery": guid, "X-Hub-Signature-256": digest_of(body, secret),
        "Content-Type": "application/json",
    }  # fmt: skip
    return client.post("/webhooks/github", content=body, headers=headers)


def count_rows(database: Database) -> int:
    with database.reading() as session:
        return session.execute(sa.select(sa.func.count()).select_from(Delivery)).scalar_one()


def test_a_delivery_is_written_down_and_asked_for_once(
    client: TestClient, database: Database, queued: list[int]
) -> None:
    first, again = send(client, PUSH), send(client, PUSH, secret="old secret")
    assert (first.status_code, first.json()) == (202, {"outcome": "queued", "delivery": "1"})
    assert (again.status_code, again.json()["outcome"]) == (202, "duplicate")
    with database.reading() as session:
        row = find_delivery(session, "1", "push")
    assert row is not None and queued == [row.id]
    assert (row.installation_id, row.repository_github_id, row.status) == (3, 11, DeliveryStatus.RECEIVED)
    assert row.body == json.dumps(PUSH).encode()
    assert send(client, PUSH, guid="2").json()["outcome"] == "queued"


def test_only_what_failed_is_worked_on_again(
    client: TestClient, database: Database, queued: list[int]
) -> None:
    send(client, PUSH)
    number = queued[0]
    with database.writing() as session:
        assert begin_delivery(session, number) is not None
    assert send(client, PUSH).json()["outcome"] == "duplicate"
    with database.writing() as session:
        end_delivery(session, number, error="no network")
    assert send(client, PUSH).json()["outcome"] == "queued"
    assert queued == [number, number]
    with database.writing() as session:
        assert begin_delivery(session, number) is not None
        end_delivery(session, number)
        assert begin_delivery(session, number) is None
    assert send(client, PUSH).json()["outcome"] == "duplicate"
    with database.reading() as session:
        row = session.get_one(Delivery, number)
        assert (row.body, row.attempts, row.status) == (None, 2, DeliveryStatus.DONE)


def test_a_delivery_that_cannot_be_queued_is_not_kept(database: Database) -> None:
    def fail(_session: object, _number: int) -> None:
        raise ZeroDivisionError

    parts = Parts(database, 1000, intake=Intake(database, Secrets("new secret"), fail))
    with TestClient(create_app(parts)) as client:
        assert send(client, PUSH).status_code == 500
    assert count_rows(database) == 0  # so GitHub's own record says failed, and it can be sent again


def test_the_same_delivery_at_once_is_asked_for_once(client: TestClient, queued: list[int]) -> None:
    outcomes: list[str] = []
    threads = [
        threading.Thread(target=lambda: outcomes.append(send(client, PUSH).json()["outcome"]))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["duplicate"] * 7 + ["queued"]
    assert len(queued) == 1


@pytest.mark.parametrize(
    ("change", "status", "words"),
    [
        ({"X-Hub-Signature-256": "sha256=" + "0" * 64}, 401, "X-Hub-Signature-256"),
        ({"X-Hub-Signature-256": "sha256=ümlaut".encode().decode("latin-1")}, 401, "secret"),
        ({"X-GitHub-Event": ""}, 400, "X-GitHub-Event"),
        ({"X-GitHub-Delivery": "x" * 101}, 400, "100 characters"),
    ],
)
def test_what_cannot_be_trusted_or_read_is_refused(
    client: TestClient, database: Database, change: dict[str, str], status: int, words: str
) -> None:
    body = json.dumps(PUSH).encode()
    headers = {
        "X-GitHub-Event": "push", "X-GitHub-Delivery": "1",
        "X-Hub-Signature-256": digest_of(body, "new secret"), **change,
    }  # fmt: skip
    raw = {name: value.encode("latin-1") for name, value in headers.items()}
    response = client.post("/webhooks/github", content=body, headers=raw)  # pyright: ignore[reportArgumentType]
    assert (response.status_code, response.headers["content-type"]) == (status, "application/problem+json")
    assert words in response.json()["detail"]
    assert count_rows(database) == 0


def test_the_digest_is_checked_before_parsing_and_the_size_before_the_digest(parts: Parts) -> None:
    assert parts.intake is not None
    small = Intake(parts.database, parts.intake.secrets, parts.intake.enqueue, max_bytes=500)
    with TestClient(create_app(Parts(parts.database, 1000, intake=small))) as client:
        assert send(client, b"{not json").status_code == 400
        assert send(client, b"{not json", secret="forged").status_code == 401
        assert send(client, b"x" * 501, secret="forged").status_code == 413


def test_a_webhook_may_be_larger_than_a_diff(client: TestClient) -> None:
    assert send(client, {**PUSH, "commits": ["x" * 100_000]}).status_code == 202


def test_odd_values_do_not_cost_a_delivery(client: TestClient) -> None:
    odd = {
        **PUSH,
        "action": "a\0b" * 99,
        "installation": {"id": 2**80},
        "repository": {**PUSH["repository"], "id": -1},
    }
    assert send(client, odd).json()["outcome"] == "queued"


def test_without_a_secret_nothing_starts() -> None:
    with pytest.raises(WebhookError, match="ROUTEPRINT_GITHUB_WEBHOOK_SECRET"):
        Secrets("")


def test_every_published_payload_is_taken_once_in_any_order(
    client: TestClient, database: Database, queued: list[int]
) -> None:
    with gzip.open(PAYLOADS, "rt") as lines:
        published = [json.loads(line) for line in lines]
    numbered = [(str(number), row["event"], row["payload"]) for number, row in enumerate(published)]
    twice = numbered + numbered[::3]
    random.Random(0).shuffle(twice)
    outcomes = [send(client, payload, guid, event) for guid, event, payload in twice]
    assert {response.status_code for response in outcomes} == {202}
    n_queued = sum(response.json()["outcome"] == "queued" for response in outcomes)
    assert len(queued) == len(set(queued)) == n_queued == count_rows(database) > 20
    ignored = {
        response.json()["delivery"] for response in outcomes if response.json()["outcome"] == "ignored"
    }
    assert len(ignored) == len(published) - n_queued
