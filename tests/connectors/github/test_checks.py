"""Check runs and the one comment, against the fake, under every fault."""

from __future__ import annotations

import pytest

from connectors.github import GoneError, UnavailableError
from connectors.github.asks import Button
from connectors.github.checks import (
    Action,
    Annotation,
    CheckOutput,
    Conclusion,
    answer_at_once,
    complete_check,
    read_check,
    release_check,
    start_check,
)
from connectors.github.comments import find_comment, marker_of, upsert_comment
from tests.contract.github.bench import HEAD
from tests.contract.github.world import BOT

REPO = "acme/rocket"
MARKER = marker_of(1, 1)
FAULTS = {
    "502 before": {"status": 502},
    "502 after": {"status": 502, "acts": True},
    "cut before": {"cuts": True},
    "cut after": {"cuts": True, "acts": True},
    "429": {"status": 429},
    "429 with retry-after": {"status": 429, "headers": {"Retry-After": "2"}},
    "403 secondary": {"status": 403, "body": {"message": "You have exceeded a secondary rate limit"}},
    "token expired": {"status": 401},
}
NEUTRAL = CheckOutput(Conclusion.NEUTRAL, "title", "summary", "text")


def notes(n: int) -> tuple[Annotation, ...]:
    return tuple(Annotation(f"src/f{k}.py", k + 1, k + 1, "title", f"message {k}") for k in range(n))


def start(client, external_id: str = "v1"):
    return start_check(client, REPO, HEAD, external_id, title="Scoring", details_url="https://rp.example/r/1")


# ----------------------------------------------------------------------------------------------- checks


def test_a_check_is_opened_and_finished(bench):
    client = bench.client()
    run = start(client)
    record = bench.world.check_runs[run.id]
    assert (run.status, run.conclusion, record["external_id"]) == ("in_progress", "", "v1")
    actions = (Action(Button.ACCEPT, "Accept as intended", "It is meant to differ"),)
    output = CheckOutput(Conclusion.NEUTRAL, "t", "s", "x", notes(3), actions)
    done = complete_check(client, REPO, run.id, output)
    assert done.is_completed
    assert (record["conclusion"], record["output"]["text"]) == ("neutral", "x")
    assert record["actions"][0]["identifier"] == "accept"
    assert [a["message"] for a in bench.world.annotations[run.id]] == ["message 0", "message 1", "message 2"]


@pytest.mark.parametrize("n", [0, 1, 50, 51, 100, 120])
def test_annotations_go_in_batches_of_fifty(bench, n):
    client = bench.client()
    run = start(client)
    complete_check(client, REPO, run.id, CheckOutput(Conclusion.NEUTRAL, "t", "s", annotations=notes(n)))
    assert [a["message"] for a in bench.world.annotations[run.id]] == [f"message {k}" for k in range(n)]
    assert len(bench.requests("PATCH")) == max(1, -(-n // 50))
    assert bench.world.check_runs[run.id]["status"] == "completed"


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_at_the_start_makes_one_run(bench, fault):
    client = bench.client()
    bench.world.fail("POST", "check-runs$", **FAULTS[fault])
    run = start(client)
    assert list(bench.world.check_runs) == [run.id]


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_fault_at_the_end_repeats_no_annotation(bench, fault, which):
    client = bench.client()
    run = start(client)
    for _ in range(which):
        bench.world.fail("PATCH", "check-runs", delay_s=0.001)  # lets earlier batches through
    bench.world.fail("PATCH", "check-runs", **FAULTS[fault])
    output = CheckOutput(Conclusion.NEUTRAL, "t", "s", annotations=notes(120))
    assert complete_check(client, REPO, run.id, output).is_completed
    assert [a["message"] for a in bench.world.annotations[run.id]] == [f"message {k}" for k in range(120)]


@pytest.mark.parametrize("acts", [True, False])
@pytest.mark.parametrize("which", [0, 1, 2])
def test_whoever_died_in_between_is_followed_by_one_who_goes_on(bench, acts, which):
    client = bench.client()
    run = start(client)
    for _ in range(which):
        bench.world.fail("PATCH", "check-runs", delay_s=0.001)
    bench.world.fail("PATCH", "check-runs", 502, acts=acts)
    bench.world.fail("*", "check-runs", 503, times=20)
    output = CheckOutput(Conclusion.NEUTRAL, "t", "s", annotations=notes(120))
    with pytest.raises(UnavailableError):
        complete_check(client, REPO, run.id, output)
    bench.world.faults.clear()
    again = start(client)
    assert again.id == run.id
    assert complete_check(client, REPO, run.id, output).is_completed
    assert [a["message"] for a in bench.world.annotations[run.id]] == [f"message {k}" for k in range(120)]
    n_writes = len(bench.requests("PATCH"))
    complete_check(client, REPO, run.id, output)
    assert len(bench.requests("PATCH")) == n_writes  # all was done


def test_a_score_anew_is_a_new_run(bench):
    client = bench.client()
    first, second = start(client, "v1"), start(client, "v2")
    assert first.id != second.id
    assert start(client, "v1").id == first.id


def test_the_watchdog_ends_only_what_is_open(bench):
    client = bench.client()
    left, done = start(client, "left"), start(client, "done")
    complete_check(client, REPO, done.id, CheckOutput(Conclusion.FAILURE, "t", "s"))
    assert release_check(client, REPO, left.id, NEUTRAL)
    assert not release_check(client, REPO, done.id, NEUTRAL)
    assert bench.world.check_runs[left.id]["conclusion"] == "neutral"
    assert bench.world.check_runs[done.id]["conclusion"] == "failure"
    assert read_check(client, REPO, left.id).is_completed


def test_a_merge_queue_gets_its_answer(bench):
    run = answer_at_once(bench.client(), REPO, "c" * 40, "queue", NEUTRAL)
    record = bench.world.check_runs[run.id]
    assert (record["head_sha"], record["status"], record["name"]) == ("c" * 40, "completed", "routeprint")


def test_a_run_that_is_gone_is_said(bench):
    with pytest.raises(GoneError):
        complete_check(bench.client(), REPO, 12345, NEUTRAL)


# ---------------------------------------------------------------------------------------------- comment


def write(bench, client, body: str, known: int | None = None) -> int:
    bot = bench.world.users[BOT]
    return upsert_comment(client, REPO, 1, body, marker=MARKER, bot=bot, known=known)


def bodies(bench) -> list[str]:
    return [c["body"] for c in bench.world.comments.values()]


def test_one_comment_is_edited_in_place(bench):
    client = bench.client()
    first = write(bench, client, "one")
    assert write(bench, client, "two", known=first) == first
    assert write(bench, client, "three") == first  # forgotten, but found
    assert bodies(bench) == [f"{MARKER}\nthree"]


def test_a_deleted_comment_is_written_again(bench):
    client = bench.client()
    first = write(bench, client, "one")
    del bench.world.comments[first]
    second = write(bench, client, "two", known=first)
    assert second != first
    assert bodies(bench) == [f"{MARKER}\ntwo"]


def test_a_lost_id_is_found_again(bench):
    client = bench.client()
    first = write(bench, client, "one")
    assert write(bench, client, "two", known=424242) == first


def test_somebody_elses_marker_is_not_ours(bench):
    repo = bench.repo()
    client = bench.client(repo)
    forged = bench.world.comment(repo, 1, "eve", f"{MARKER}\nforged")
    quoted = bench.world.comment(repo, 1, BOT, f"> {MARKER}\nquoted")
    other = bench.world.comment(repo, 1, BOT, marker_of(1, 2) + "\nother")
    ours = write(bench, client, "ours")
    assert ours not in {forged["id"], quoted["id"], other["id"]}
    assert (forged["body"], quoted["body"]) == (f"{MARKER}\nforged", f"> {MARKER}\nquoted")


def test_a_race_leaves_one(bench):
    repo = bench.repo()
    client = bench.client(repo)
    first = bench.world.comment(repo, 1, BOT, f"{MARKER}\na")
    bench.world.comment(repo, 1, BOT, f"{MARKER}\nb")
    bench.world.comment(repo, 1, "ada", "a person's")
    found = find_comment(client, REPO, 1, marker=MARKER, bot=bench.world.users[BOT])
    assert found is not None
    assert found["id"] == first["id"]
    assert bodies(bench) == [f"{MARKER}\na", "a person's"]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_makes_one_comment(bench, fault):
    client = bench.client()
    bench.world.fail("POST", "comments$", **FAULTS[fault])
    first = write(bench, client, "one")
    bench.world.fail("PATCH", "comments", **FAULTS[fault])
    assert write(bench, client, "two", known=first) == first
    assert bodies(bench) == [f"{MARKER}\ntwo"]


def test_a_cut_between_creating_and_remembering(bench):
    """The worker dies after GitHub has the comment and before the id is stored."""
    client = bench.client()
    bench.world.fail("POST", "comments$", cuts=True, acts=True)
    bench.world.fail("GET", "comments$", 503, times=99)
    with pytest.raises(UnavailableError):
        write(bench, client, "one")
    bench.world.faults.clear()
    bench.world.fail("POST", "comments$", cuts=True, acts=True)
    write(bench, client, "one")
    assert bodies(bench) == [f"{MARKER}\none"]


def test_a_renamed_repository_keeps_its_comment(bench):
    repo = bench.repo()
    client = bench.client(repo)
    first = write(bench, client, "one")
    bench.world.repos["acme/moon"] = bench.world.repos.pop(REPO)
    repo.name = "moon"
    bench.world.renamed[REPO] = "acme/moon"
    assert write(bench, client, "two", known=first) == first
    assert write(bench, client, "three") == first
