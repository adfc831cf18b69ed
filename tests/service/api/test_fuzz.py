"""Our own description turned against our own API: no answer is a bug, and every answer is as described."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
import sqlalchemy as sa
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS, load_all_checks

from connectors.github.webhooks import digest_of
from service.api.app import create_app, routed_app
from service.api.description import describe
from service.api.intake import Intake
from service.api.limits import Buckets
from service.api.parts import Parts
from service.api.scoring import ScoringProcess
from service.db.migrate import upgrade
from service.db.queries.tokens import create_token
from service.db.session import connect
from service.db.states import JobStatus, Role
from service.db.tables import Job
from service.settings import Settings
from tests.service.api.conftest import SECRETS
from tests.service.api.rows import fill
from tests.service.api.workers import score_nothing

UNSUITABLE = {
    "negative_data_rejection": "what does not fit can get lost on the way: a null parameter is not sent",
    "positive_data_acceptance": "a cursor that has the right form need not be one of ours, and is refused",
    "unsupported_method": "the framework answers 405 to the verbs that a path has not, HEAD among them",
}
load_all_checks()
CHOSEN = [check for check in CHECKS.get_all() if check.__name__ not in UNSUITABLE]
COMMON: dict[str, Any] = {
    "deadline": None, "derandomize": True, "phases": [Phase.explicit, Phase.generate], "database": None,
    "suppress_health_check": list(HealthCheck),
}  # fmt: skip


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, dict[str, str]]]:
    database = connect(Settings(home=tmp_path_factory.mktemp("fuzz")))
    upgrade(database)
    with database.writing() as session:
        fill(session)
        session.execute(sa.update(Job).values(status=JobStatus.DONE))  # so that every stream has an end
        _, secret = create_token(session, "fuzz", Role.ADMIN)
    scoring = ScoringProcess(score_nothing, (), start_timeout_s=60)
    scoring.start()
    intake = Intake(database, SECRETS, lambda *_: None, 7)
    endless = Buckets(per_minute=1e9, burst=10**9)
    parts = Parts(database, 10_000, scoring, ["shop"], intake, lambda *_: None, buckets=endless)
    yield create_app(parts), {"Authorization": f"Bearer {secret}"}
    scoring.stop()
    database.close()


@pytest.fixture(scope="module")
def description(served: tuple[Any, dict[str, str]]) -> Any:
    return schemathesis.openapi.from_asgi("/openapi.json", served[0])


OPERATIONS = [
    (path, verb) for path, verbs in describe(routed_app(has_webhooks=True))["paths"].items() for verb in verbs
]


def fuzz(description: Any, served: tuple[Any, dict[str, str]], path: str, verb: str, n: int) -> None:
    """Send n requests that fit the description and n that do not; look at every answer."""
    operation = description[path][verb.upper()]
    for mode in GenerationMode:

        @given(case=operation.as_strategy(generation_mode=mode))
        @settings(max_examples=n, **COMMON)
        def send(case: Any) -> None:
            case.call_and_validate(headers=served[1], checks=CHOSEN)

        # an operation that takes nothing has no request that does not fit
        with contextlib.suppress(Unsatisfiable):
            send()


@pytest.mark.parametrize(("path", "verb"), OPERATIONS)
def test_no_request_finds_a_bug(
    description: Any, served: tuple[Any, dict[str, str]], path: str, verb: str
) -> None:
    fuzz(description, served, path, verb, 5)


@pytest.mark.slow
@pytest.mark.parametrize(("path", "verb"), OPERATIONS)
def test_no_request_finds_a_bug_among_many(
    description: Any, served: tuple[Any, dict[str, str]], path: str, verb: str
) -> None:
    fuzz(description, served, path, verb, 60)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
PARTS = [
    "action",
    "installation",
    "repository",
    "pull_request",
    "check_run",
    "comment",
    "issue",
    "ref",
    "member",
]


@given(
    st.sampled_from(["push", "pull_request", "check_run", "installation", "issue_comment", "member"]),
    st.dictionaries(st.sampled_from(PARTS), JSON),
)
@settings(max_examples=60, **COMMON)
def test_no_payload_finds_a_bug(served: tuple[Any, dict[str, str]], event: str, payload: object) -> None:
    body = json.dumps(payload).encode()
    headers = {
        "X-GitHub-Event": event, "X-GitHub-Delivery": digest_of(body, "x")[:40],
        "X-Hub-Signature-256": digest_of(body, SECRETS.current),
    }  # fmt: skip
    response = TestClient(served[0]).post("/webhooks/github", content=body, headers=headers)
    assert response.status_code == 202, response.text
