"""Digest, parsing and decisions, on GitHub's own published payloads."""

from __future__ import annotations

import dataclasses
import gzip
import json
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.github import WebhookError
from connectors.github.asks import (
    AcceptFinding,
    AnswerMergeGroup,
    CancelPull,
    Ingest,
    IngestPull,
    LabelThread,
    MutePath,
    Nothing,
    Rescore,
    RunCommand,
    ScorePull,
    UpdateInstallation,
    UpdateRepository,
    decide,
)
from connectors.github.commands import Command, Verb, parse_command
from connectors.github.events import Event
from connectors.github.webhooks import (
    DigestError,
    MalformedError,
    Secrets,
    TooLargeError,
    digest_of,
    parse_event,
    read_delivery,
    read_event,
    verify_digest,
)

PAYLOADS = Path(__file__).parents[2] / "contract" / "github" / "payloads.jsonl.gz"
SECRETS = Secrets("new secret", "old secret")


@cache
def published() -> list[tuple[str, dict[str, Any]]]:
    with gzip.open(PAYLOADS, "rt") as lines:
        return [(row["event"], row["payload"]) for row in map(json.loads, lines)]


def deliver(name: str, payload: object, secret: str = SECRETS.current) -> Event:
    body = json.dumps(payload).encode()
    given = {
        "X-GitHub-Event": name,
        "X-GitHub-Delivery": "d-1",
        "X-Hub-Signature-256": digest_of(body, secret),
    }
    return read_delivery(given, body, SECRETS)


# --------------------------------------------------------------------------------------------- digest


def test_the_digest_that_github_publishes():
    # docs.github.com/webhooks/using-webhooks/validating-webhook-deliveries, "Testing the ... validation"
    expected = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    secret, body = "It's a Secret to Everybody", b"Hello, World!"
    assert digest_of(body, secret) == expected
    verify_digest(body, expected, Secrets(secret))


@pytest.mark.parametrize("secret", ["new secret", "old secret"])
def test_both_secrets_hold_while_one_replaces_the_other(secret: str):
    assert deliver("ping", {"zen": "x"}, secret).name == "ping"


@pytest.mark.parametrize(
    "header", ["", "sha256=", "sha256=" + "0" * 64, "sha1=ab", "\udcffä", "sha256=" + "ä" * 64, "😀"]
)
def test_any_other_digest_is_refused(header: str):
    with pytest.raises(DigestError):
        read_delivery({"x-hub-signature-256": header}, b"{}", SECRETS)


def test_one_changed_byte_is_refused():
    body = b'{"a": 1}'
    headers = {"X-Hub-Signature-256": digest_of(body, "new secret")}
    with pytest.raises(DigestError):
        read_delivery(headers, b'{"a": 2}', SECRETS)


@pytest.mark.parametrize("secrets", [("", None), ("good", "")])
def test_an_empty_secret_is_refused_at_the_start(secrets):
    with pytest.raises(WebhookError, match="expected a webhook secret"):
        Secrets(*secrets)


def test_secrets_do_not_show_themselves():
    assert "secret" not in repr(SECRETS).removeprefix("Secrets")


def test_the_digest_is_judged_before_the_body_is_read():
    with pytest.raises(DigestError):
        read_delivery({"X-Hub-Signature-256": "sha256=00"}, b"no json at all", SECRETS)


def test_size_headers_and_json_are_judged():
    body = b"no json"
    signed = {"X-Hub-Signature-256": digest_of(body, "new secret")}
    with pytest.raises(TooLargeError):
        read_delivery(signed, body, SECRETS, max_bytes=3)
    with pytest.raises(MalformedError, match="X-GitHub-Event"):
        read_delivery(signed, body, SECRETS)
    for text in (b"no json", b"[1]", b'"x"', b"\xff\xfe", b"[" * 100_000, b"payload=%7B%7D"):
        with pytest.raises(MalformedError):
            parse_event("push", "d", text)


# -------------------------------------------------------------------------------------------- parsing


def test_all_published_payloads_parse_and_are_decided():
    assert len(published()) == 329
    asks = Counter(
        type(ask).__name__
        for name, payload in published()
        for ask in decide(deliver(name, payload), app_id=29310)
    )
    kinds = Counter(f"{name} {payload.get('action', '')}" for name, payload in published())
    heads = ("opened", "synchronize", "reopened", "ready_for_review")
    assert asks["ScorePull"] == sum(kinds[f"pull_request {action}"] for action in heads) > 5
    assert asks["AnswerMergeGroup"] == kinds["merge_group checks_requested"] == 2
    assert asks["LabelThread"] == 3
    assert asks["UpdateInstallation"] == 7 + 3
    assert sum(asks.values()) >= 329


def test_every_repository_event_names_its_repository():
    for name, payload in published():
        event = read_event(name, "d", payload)
        assert (event.repository is None) == ("repository" not in payload)
        if event.repository is not None:
            assert event.repository.id
            assert "/" in event.repository.full_name


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                "pull_request repository head base sha id user check_run app comment issue changes".split()
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=25,
)


@given(st.sampled_from(sorted({name for name, _ in published()})), st.dictionaries(st.sampled_from(
    "action pull_request repository check_run check_suite comment issue merge_group thread changes sender "
    "installation repositories member".split()), JSON, max_size=8))  # fmt: skip
def test_no_payload_raises(name: str, payload: dict[str, Any]):
    assert decide(read_event(name, "d", payload), app_id=1)


# ------------------------------------------------------------------------------------------- decisions


def example(name: str, action: str = "") -> dict[str, Any]:
    """The newest published payload of an event and action, open to changes."""
    found = [p for event, p in published() if event == name and p.get("action", "") == action]
    return json.loads(json.dumps(found[-1]))


def asked(name: str, payload: dict[str, Any], app_id: int = 7) -> list[object]:
    return list(decide(deliver(name, payload), app_id=app_id))


@pytest.mark.parametrize("action", ["opened", "synchronize", "reopened", "ready_for_review"])
def test_a_new_head_is_scored(action: str):
    payload = example("pull_request", action)
    (ask,) = asked("pull_request", payload)
    assert isinstance(ask, ScorePull)
    assert ask.pull.head_sha == payload["pull_request"]["head"]["sha"]
    assert ask.repository.id == payload["repository"]["id"]


@pytest.mark.parametrize("action", ["labeled", "assigned", "locked", "no-such-action"])
def test_other_actions_are_let_be(action: str):
    (ask,) = asked("pull_request", example("pull_request", "opened") | {"action": action})
    assert isinstance(ask, Nothing)


def test_only_a_change_of_the_base_is_an_edit_to_score():
    payload = example("pull_request", "opened") | {"action": "edited", "changes": {"title": {"from": "x"}}}
    assert isinstance(asked("pull_request", payload)[0], Nothing)
    payload["changes"] = {"base": {"ref": {"from": "develop"}, "sha": {"from": "a" * 40}}}
    assert isinstance(asked("pull_request", payload)[0], ScorePull)


def test_closing_cancels_and_merging_also_teaches():
    payload = example("pull_request", "closed")
    payload["pull_request"]["merged"] = False
    payload["pull_request"]["merged_at"] = None
    assert [type(a) for a in asked("pull_request", payload)] == [CancelPull]
    payload["pull_request"]["merged"] = True
    assert [type(a) for a in asked("pull_request", payload)] == [CancelPull, IngestPull]


def test_a_deleted_fork_still_has_a_head():
    payload = example("pull_request", "opened")
    payload["pull_request"]["head"]["repo"] = None
    (ask,) = asked("pull_request", payload)
    assert isinstance(ask, ScorePull)
    assert ask.pull.head_repository is None


def test_a_push_to_the_default_branch_is_read():
    payload = example("push") | {"ref": "refs/heads/trunk", "deleted": False, "forced": True}
    payload["repository"]["default_branch"] = "trunk"
    (ask,) = asked("push", payload)
    assert isinstance(ask, Ingest)
    assert ask.is_rewritten
    assert isinstance(asked("push", payload | {"ref": "refs/heads/topic"})[0], Nothing)
    assert isinstance(asked("push", payload | {"ref": "refs/tags/trunk"})[0], Nothing)
    assert isinstance(asked("push", payload | {"deleted": True})[0], Nothing)


@pytest.mark.parametrize(
    ("button", "expected"),
    [("rescore", Rescore), ("accept", AcceptFinding), ("mute-path", MutePath), ("other", Nothing)],
)
def test_buttons_of_our_own_check(button: str, expected: type):
    payload = example("check_run", "requested_action")
    payload["requested_action"] = {"identifier": button}
    payload["check_run"]["app"]["id"] = 7
    payload["check_run"]["pull_requests"] = []  # as for a fork
    assert isinstance(asked("check_run", payload)[0], expected)
    assert isinstance(asked("check_run", payload, app_id=8)[0], Nothing)


def test_a_rerun_of_run_or_suite_is_a_rescore():
    for name in ("check_run", "check_suite"):
        payload = example(name, "rerequested")
        payload[name]["app"]["id"] = 7
        (ask,) = asked(name, payload)
        assert isinstance(ask, Rescore)
        assert ask.head_sha == payload[name]["head_sha"]
        assert isinstance(asked(name, payload, app_id=8)[0], Nothing)


def test_a_merge_queue_is_answered():
    (ask,) = asked("merge_group", example("merge_group", "checks_requested"))
    assert isinstance(ask, AnswerMergeGroup)
    assert len(ask.head_sha) == 40


def comment(body: str, *, is_pull: bool = True, kind: str = "User") -> dict[str, Any]:
    payload = example("issue_comment", "created")
    payload["comment"]["body"] = body
    payload["comment"]["user"]["type"] = kind
    payload["issue"]["pull_request"] = {"url": "x"} if is_pull else None
    return payload


def test_a_command_is_heard_once_and_from_people():
    (ask,) = asked("issue_comment", comment("/routeprint score"))
    assert isinstance(ask, RunCommand)
    assert ask.command == Command(Verb.SCORE)
    assert isinstance(asked("issue_comment", comment("/routeprint score", is_pull=False))[0], Nothing)
    assert isinstance(asked("issue_comment", comment("/routeprint score", kind="Bot"))[0], Nothing)
    assert isinstance(asked("issue_comment", comment("/routeprint score") | {"action": "edited"})[0], Nothing)


@pytest.mark.parametrize(
    ("body", "verb"),
    [
        ("/routeprint score", "score"),
        ("please\n/routeprint explain\nthanks", "explain"),
        ("/routeprint   accept", "accept"),
        ("/routeprint\tignore not ours", "ignore"),
        ("> /routeprint score", None),
        ("```\n/routeprint score\n```", None),
        ("~~~\n```\n/routeprint score\n~~~", None),
        ("```\nx\n```\n/routeprint score", "score"),
        (" /routeprint score", None),
        ("`/routeprint score`", None),
        ("/routeprint scorex", None),
        ("/routeprint deploy", None),
        ("/routeprint", None),
        ("/routeprint --threshold=0 score", None),
    ],
)
def test_commands(body: str, verb: str | None):
    found = parse_command(body)
    assert (None if found is None else found.verb.value) == verb


def test_a_reason_and_an_end():
    found = parse_command("/routeprint ignore until=2026-03-01 vendored from upstream " + "x" * 500)
    assert found is not None
    assert found.until is not None
    assert found.until.isoformat() == "2026-03-01"
    assert found.reason.startswith("vendored from upstream")
    assert len(found.reason) == 200
    bad = parse_command("/routeprint ignore until=2026-13-01")
    assert bad == Command(Verb.IGNORE)


def test_threads_installations_and_repositories():
    (thread,) = asked("pull_request_review_thread", example("pull_request_review_thread", "resolved"))
    assert isinstance(thread, LabelThread)
    assert thread.is_resolved
    assert thread.thread.path
    payload = example("pull_request_review_thread", "resolved")
    first = payload["thread"]["comments"][0]
    first |= {"line": None, "original_line": 8, "original_commit_id": "c" * 40, "side": "RIGHT"}
    found: list[tuple[int, str]] = []
    for more in ({}, {"side": "LEFT"}, {"line": 5, "original_line": None, "side": "RIGHT"}):
        first |= more
        (ask,) = asked("pull_request_review_thread", payload)
        assert isinstance(ask, LabelThread)
        found.append((ask.thread.line, ask.thread.commit_sha))
    assert found == [(8, "c" * 40), (0, "c" * 40), (5, "")]
    (installed,) = asked("installation", example("installation", "created"))
    assert isinstance(installed, UpdateInstallation)
    assert installed.added
    (renamed,) = asked("repository", example("repository", "renamed"))
    assert isinstance(renamed, UpdateRepository)
    assert renamed.previous_name == "Octocoders/Hello-World"
    (moved,) = asked("repository", example("repository", "transferred"))
    assert isinstance(moved, UpdateRepository)
    assert moved.previous_name == "octocat/" + moved.repository.full_name.split("/")[1]


def test_nouns_are_frozen():
    event = deliver("ping", {})
    with pytest.raises(dataclasses.FrozenInstanceError):
        event.name = "push"  # pyright: ignore[reportAttributeAccessIssue]
