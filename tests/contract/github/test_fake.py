"""The fake itself: it covers the description, and the judge catches what GitHub would."""

from __future__ import annotations

import json

import pytest

from tests.contract.github import routes  # noqa: F401 - registers the operations
from tests.contract.github.contract import Answer, Sent, check_answer, check_request, operations
from tests.contract.github.fake import ROUTES

RUNS = "/repos/o/r/check-runs"


def test_the_fake_serves_exactly_what_is_described():
    assert set(ROUTES) == set(operations())


def run_body(**output: object) -> bytes:
    body = {"name": "routeprint", "head_sha": "a" * 40, "status": "completed", "conclusion": "neutral"}
    return json.dumps(body | {"output": {"title": "t", "summary": "s"} | output}).encode()


NOTE = {"path": "a", "start_line": 1, "end_line": 1, "annotation_level": "notice", "message": "m"}


@pytest.mark.parametrize(
    "output",
    [{"summary": "x" * 65_536}, {"annotations": [NOTE] * 51}, {"annotations": [{**NOTE, "path": 1}]}],
)
def test_a_bad_request_is_caught(output):
    assert check_request(Sent("post", RUNS, body=run_body(**output))) is not None


def test_a_good_request_passes():
    assert check_request(Sent("post", RUNS, body=run_body(annotations=[NOTE] * 50))) is None


def test_a_bad_answer_is_caught():
    sent = Sent("get", "/repos/o/r/issues/comments/1")
    assert check_answer(sent, Answer(200, b'{"id": "not a number"}')) is not None
