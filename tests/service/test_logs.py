"""Nothing secret and no code gets into a log line, whichever way it comes."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from service.logs import clean_text, configure_logs, redact_event

SECRETS = {
    "ours": "rp_" + "Ab-_" * 10 + "xyz",
    "GitHub's": "ghs_12345_eyJhbGciOi.eyJpc3Mi.c2ln",
    "a header": "Bearer abc.def-ghi",
    "a key": "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----",
    "a password": "postgresql://routeprint:hunter2@db.example/routeprint",
}
HIDDEN = {"rp_Ab", "eyJhbGciOi", "abc.def", "MIIE", "hunter2"}


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    stream = io.StringIO()
    configure_logs("json", "info", stream)
    yield stream
    root.handlers[:] = before
    root.setLevel(level)
    logging.getLogger("dbos").handlers.clear()
    structlog.reset_defaults()


def test_the_job_engine_logs_as_everything_else(lines: io.StringIO) -> None:
    from dbos._logger import dbos_logger, init_logger

    init_logger()
    try:
        int("password = 'hunter2'")
    except ValueError:
        dbos_logger.exception("a workflow failed")
    (told,) = read(lines)
    assert (told["event"], told["error"]) == ("a workflow failed", "ValueError")
    assert "hunter2" not in lines.getvalue()


def read(stream: io.StringIO) -> list[dict]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_json_with_the_request_it_belongs_to(lines: io.StringIO) -> None:
    with structlog.contextvars.bound_contextvars(request_id="r-1"):
        structlog.get_logger("service.x").info("done", n=3)
        logging.getLogger("library").warning("slow: %d", 7)
        logging.getLogger("library").info("a %s", {"b": 1})
    logging.getLogger("uvicorn.access").info("GET /v1/authors?token=x")
    ours, theirs, quiet = read(lines)
    assert (ours["event"], ours["n"], ours["level"], ours["request_id"]) == ("done", 3, "info", "r-1")
    assert (theirs["event"], theirs["logger"], theirs["request_id"]) == ("slow: 7", "library", "r-1")
    assert quiet["event"] == "a {'b': 1}"
    assert ours["timestamp"].endswith("Z")


@pytest.mark.parametrize("secret", SECRETS.values(), ids=SECRETS)
def test_credentials_are_taken_out_wherever_they_stand(lines: io.StringIO, secret: str) -> None:
    logger = structlog.get_logger("x")
    logger.info(f"calling with {secret} now", url=secret, nested={"deep": [secret]}, raw=secret.encode())
    logging.getLogger("library").warning("failed for %s", secret)
    assert not [word for word in HIDDEN if word in lines.getvalue()]
    assert len(read(lines)) == 2


def test_fields_named_for_secrets_and_for_code_are_not_shown(lines: io.StringIO) -> None:
    structlog.get_logger("x").info(
        "asked", Authorization="x1", webhook_secret="x2",
        headers={"X-Hub-Signature-256": "x3", "Cookie": "x4"}, diff="+ import os",
        body=b"secret code", payload="y" * 9, token=7, tokens_per_second=2.5,
    )  # fmt: skip
    text = lines.getvalue()
    assert not [word for word in ("x1", "x2", "x3", "x4", "import os", "secret code", "yyy") if word in text]
    (event,) = read(lines)
    assert event["diff"] == "(11 not shown)"
    assert (event["token"], event["tokens_per_second"]) == (7, 2.5)


def test_an_error_tells_its_place_and_not_what_it_was_given(lines: io.StringIO) -> None:
    def parse(text: str) -> int:
        return int(text)

    try:
        parse("def launch_code(): ...")
    except ValueError:
        logging.getLogger("library").exception("unexpected")
        structlog.get_logger("x").exception("unexpected")
    assert "launch_code" not in lines.getvalue()
    for event in read(lines):
        assert event["error"] == "ValueError"
        assert event["at"][-1].endswith(" parse")


@given(st.text(), st.text())
def test_a_credential_is_found_in_any_text(before: str, after: str) -> None:
    secret = SECRETS["ours"]
    assert secret not in clean_text(f"{before} {secret} {after}")


@given(
    st.recursive(
        st.none() | st.text() | st.binary() | st.floats(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_any_value_can_be_logged(value: object) -> None:
    json.dumps(redact_event(None, "info", {"event": "x", "value": value}))
