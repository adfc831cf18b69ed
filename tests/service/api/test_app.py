"""The HTTP interface over a real socket, with a scoring process that obeys."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2 as httpx
import pytest
import uvicorn

from service.api.app import create_app
from service.api.parts import Parts
from service.api.scoring import ScoringProcess
from service.db.migrate import upgrade
from service.db.session import connect
from service.settings import Settings
from tests.service.api.workers import obey


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    marks: Path = tmp_path_factory.mktemp("marks")
    scoring = ScoringProcess(obey, (marks,), timeout_s=10, start_timeout_s=30)
    scoring.start()
    database = connect(Settings(home=marks))
    upgrade(database)
    app = create_app(Parts(database, 1000, scoring, ["shop"], needs_tokens=False))
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20) as client:
        yield client
    server.should_exit = True
    thread.join()
    scoring.stop()
    database.close()


def review(client: httpx.Client, diff: str, repository: str = "shop") -> httpx.Response:
    return client.post("/v1/reviews", json={"repository": repository, "diff": diff})


def test_the_answer_is_passed_on_unchanged(client: httpx.Client) -> None:
    response = review(client, "hello")
    assert (response.status_code, response.text) == (200, '{"said": "hello"}')
    assert client.get("/healthz").json() == {"status": "alive"}
    assert client.get("/readyz").json() == {"status": "ready"}


def test_without_tokens_only_this_machine_is_answered(client: httpx.Client) -> None:
    """A page in a browser can make a name of its own point here, but not change the Host it sends."""
    response = client.get("/v1/jobs", headers={"Host": "evil.example"})
    assert (response.status_code, response.json()["status"]) == (403, 403)
    assert client.get("/v1/jobs", headers={"Host": "localhost:8710"}).status_code == 200


def test_every_answer_names_its_request(client: httpx.Client) -> None:
    given = client.get("/nothing", headers={"X-Request-Id": "from-a-proxy.1"})
    assert given.headers["x-request-id"] == "from-a-proxy.1"
    odd = client.get("/nothing", headers={"X-Request-Id": "two words"})
    assert len(odd.headers["x-request-id"]) == 16


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({"repository": "shop", "diff": "x" * 1001}, 413, "1,001 bytes"),
        ({"repository": "shop", "diff": "x" * 9000}, 413, "larger than"),
        ({"repository": "other", "diff": "x"}, 404, "registered: shop"),
        ({"repository": "shop"}, 422, "body.diff"),
        ({"repository": "shop", "diff": 3}, 422, "string"),
        ({"repository": "shop", "diff": "refuse"}, 422, "refuse"),
        ({"repository": "shop", "diff": "fail"}, 503, "fail"),
    ],
)
def test_errors_are_problem_details(client: httpx.Client, body: dict, status: int, words: str) -> None:
    response = client.post("/v1/reviews", json=body)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["status"] == status
    assert words in response.json()["detail"]


def test_a_body_without_length_is_limited_too(client: httpx.Client) -> None:
    response = client.post("/v1/reviews", content=(b"x" * 500 for _ in range(100)))
    assert response.status_code == 413


def test_not_json_and_no_such_page(client: httpx.Client) -> None:
    assert client.post("/v1/reviews", content=b"{").status_code == 422
    assert client.get("/nothing").json()["title"] == "Not Found"
    lone = client.post("/v1/reviews", content=b'{"repository": "shop", "diff": "\\ud800"}')
    assert lone.status_code == 422


def test_unavailable_says_when_to_ask_again(client: httpx.Client) -> None:
    response = review(client, "die")
    assert response.status_code == 503
    assert int(response.headers["retry-after"]) > 0
    assert review(client, "hello").status_code == 200
