"""From a DriftReport to check and comment on the fake, in three stages and under every fault."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, timedelta

import pytest

from connectors.diff import parse_diff
from connectors.github import GitHubError, UnavailableError
from connectors.github.asks import AcceptFinding, RunCommand
from connectors.github.checks import Conclusion
from connectors.github.commands import Command, Verb
from connectors.github.events import Account, RepositoryRef
from connectors.github.pulls import StaleHeadError, read_pull_state
from fingerprint.report import DriftReport, Verdict
from service.flows.publish import (
    MOVED_ON,
    NO_BACKTEST,
    Decisions,
    Published,
    ReadConfig,
    Review,
    answer_draft,
    answer_merge_group,
    begin_review,
    choose_patches,
    drop_review,
    is_allowed,
    publish_review,
    read_config,
    release_overdue,
)
from service.repository_config import RepositoryConfig, Stage, parse_config
from tests.contract.github.bench import BASE, HEAD, Bench, connected
from tests.contract.github.world import BOT
from tests.service.reports.test_answer import evidence, hostile, not_scored, unusual
from tests.service.reports.test_pull_request import huge

REPO = "acme/rocket"
OPEN = Decisions(is_gate_open=True)


@pytest.fixture
def bench() -> Iterator[Bench]:
    with connected() as found:
        yield found


def typical() -> DriftReport:
    return unusual(verdict=Verdict.TYPICAL, evidence=evidence(0.6))


def stage(name: str) -> ReadConfig:
    return ReadConfig(RepositoryConfig(stage=Stage(name)), "d")


def a_review(bench: Bench, **known) -> Review:
    bench.repo()
    return Review(read_pull_state(bench.client(), REPO, 1), "verdict-1", "https://rp.example/r/1", **known)


def publish(
    bench: Bench, report: DriftReport, review: Review, found: ReadConfig, decisions: Decisions = OPEN
) -> Published:
    return publish_review(bench.client(), report, review, found, decisions, bot=bench.world.users[BOT])


def shown(bench: Bench) -> dict:
    (run,) = bench.world.check_runs.values()
    return run


def bodies(bench: Bench) -> list[str]:
    return [comment["body"] for comment in bench.world.comments.values()]


# ---------------------------------------------------------------------------------------------- stages


@pytest.mark.parametrize(
    ("name", "report", "conclusion", "n_comments"),
    [
        ("observe", unusual(), "neutral", 0),
        ("observe", typical(), "neutral", 0),
        ("comment", unusual(), "neutral", 1),
        ("comment", typical(), "neutral", 0),
        ("comment", not_scored(), "neutral", 0),
        ("gate", unusual(), "failure", 1),
        ("gate", typical(), "success", 0),
        ("gate", not_scored(), "neutral", 0),
    ],
)
def test_three_stages(bench: Bench, name, report, conclusion, n_comments):
    done = publish(bench, report, a_review(bench), stage(name))
    assert (shown(bench)["conclusion"], done.conclusion) == (conclusion, Conclusion(conclusion))
    assert shown(bench)["external_id"] == "verdict-1"
    assert len(bodies(bench)) == n_comments
    assert (done.comment is None) == (n_comments == 0)


def test_a_gate_without_a_back_test_does_not_fail(bench: Bench):
    publish(bench, unusual(), a_review(bench), stage("gate"), Decisions(is_gate_open=False))
    assert shown(bench)["conclusion"] == "neutral"
    assert "no back-test" in shown(bench)["output"]["summary"]
    assert NO_BACKTEST


def test_a_comment_follows_the_state(bench: Bench):
    review = a_review(bench)
    first = publish(bench, unusual(), review, stage("comment"))
    assert "Unusual" in bodies(bench)[0]
    second = publish(
        bench, typical(), replace(review, external_id="v2", comment=first.comment), stage("comment")
    )
    assert second.comment == first.comment
    assert bodies(bench)[0].count("\n") == 2  # marker and one line
    assert len(bench.world.check_runs) == 2  # a score anew is a new run


def test_a_forgotten_comment_is_found_when_the_state_changes(bench: Bench):
    review = a_review(bench)
    publish(bench, unusual(), review, stage("comment"))
    publish(bench, typical(), replace(review, external_id="v2"), stage("comment"))
    assert len(bodies(bench)) == 1
    assert "Typical" in bodies(bench)[0]


def test_accepting_takes_the_failure_away(bench: Bench):
    review = a_review(bench)
    publish(bench, unusual(), review, stage("gate"), replace(OPEN, is_accepted=True))
    assert shown(bench)["conclusion"] == "neutral"
    assert shown(bench)["output"]["title"].startswith("Accepted as intended")
    assert len(shown(bench)["actions"]) == 1


def test_an_explanation_is_written_when_it_is_asked_for(bench: Bench):
    publish(bench, typical(), a_review(bench), stage("comment"), replace(OPEN, is_explained=True))
    assert "app/ok.py" in bodies(bench)[0]


@pytest.mark.parametrize("make", [hostile, huge])
def test_hostile_and_huge_answers_fit_githubs_description(bench: Bench, make):
    wide = ReadConfig(RepositoryConfig(stage=Stage.COMMENT, hunks=20, annotations=50), "d")
    publish(bench, make(), a_review(bench), wide, replace(OPEN, is_explained=True))
    assert shown(bench)["status"] == "completed"
    assert len(bodies(bench)) == 1


def test_publishing_again_changes_nothing(bench: Bench):
    review = a_review(bench)
    first = publish(bench, unusual(), review, stage("comment"))
    known = replace(review, check_run=first.check_run, comment=first.comment)
    for again in (review, known):
        assert publish(bench, unusual(), again, stage("comment")) == first
    assert len(bench.world.check_runs) == len(bench.world.comments) == 1
    assert len(bench.world.annotations[first.check_run]) == 1


# ----------------------------------------------------------------------------------------- stale, faults


@pytest.mark.parametrize("change", [{"head_sha": "d" * 40}, {"state": "closed"}, {"base_ref": "release"}])
def test_a_stale_head_gets_no_verdict(bench: Bench, change):
    review = a_review(bench)
    begin_review(bench.client(), review)
    for name, value in change.items():
        setattr(bench.repo().pulls[1], name, value)
    with pytest.raises(StaleHeadError):
        publish(bench, unusual(), review, stage("gate"))
    assert shown(bench)["conclusion"] == "neutral"
    assert shown(bench)["output"]["title"] == f"NOT SCORED: {MOVED_ON}"
    assert bodies(bench) == []


FAULTS = {
    "502 before": {"status": 502},
    "502 after": {"status": 502, "acts": True},
    "cut before": {"cuts": True},
    "cut after": {"cuts": True, "acts": True},
    "429": {"status": 429, "headers": {"Retry-After": "2"}},
    "403 secondary": {"status": 403, "body": {"message": "You have exceeded a secondary rate limit"}},
    "token expired": {"status": 401},
}
STEPS = {"open": ("POST", "check-runs$"), "finish": ("PATCH", "check-runs"), "comment": ("POST", "comments$"),
         "head": ("GET", "pulls/1$"), "look": ("GET", "comments$")}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("step", STEPS)
def test_every_fault_at_every_step_ends_in_one_check_and_one_comment(bench: Bench, fault, step):
    review = a_review(bench)
    bench.world.fail(*STEPS[step], **FAULTS[fault])
    publish(bench, unusual(), review, stage("gate"))
    assert shown(bench)["conclusion"] == "failure"
    assert len(bodies(bench)) == 1
    assert len(bench.world.annotations[shown(bench)["id"]]) == 1


@pytest.mark.parametrize("acts", [True, False])
@pytest.mark.parametrize("step", STEPS)
def test_a_worker_that_dies_at_a_step_is_followed_by_another(bench: Bench, acts, step):
    review = a_review(bench)
    bench.world.fail(*STEPS[step], status=503, acts=acts)
    bench.world.fail("*", "", 503, times=30)
    with pytest.raises(GitHubError):
        publish(bench, unusual(), review, stage("gate"))
    bench.world.faults.clear()
    publish(bench, unusual(), review, stage("gate"))  # with nothing remembered
    assert shown(bench)["conclusion"] == "failure"
    assert len(bodies(bench)) == 1
    assert len(bench.world.annotations[shown(bench)["id"]]) == 1


def test_a_renamed_repository_is_written_to_under_its_new_name(bench: Bench):
    repo = bench.repo()
    review = a_review(bench)
    bench.world.repos["acme/moon"] = bench.world.repos.pop(REPO)
    repo.name = "moon"
    bench.world.renamed[REPO] = "acme/moon"
    publish(bench, unusual(), review, stage("gate"))
    assert shown(bench)["conclusion"] == "failure"
    assert len(bodies(bench)) == 1


# ------------------------------------------------------------------------------------- without a score


def test_the_watchdog_ends_what_hangs(bench: Bench):
    client = bench.client()
    run = begin_review(client, a_review(bench))
    assert run.started_at is not None
    soon, late = run.started_at + timedelta(seconds=59), run.started_at + timedelta(seconds=61)
    assert not release_overdue(client, REPO, run.id, limit_s=60, now=soon)
    assert release_overdue(client, REPO, run.id, limit_s=60, now=late)
    assert shown(bench)["conclusion"] == "neutral"
    assert shown(bench)["output"]["title"].startswith("NOT SCORED: scoring did not finish in time")
    assert not release_overdue(client, REPO, run.id, limit_s=60, now=late)
    assert run.started_at.tzinfo is UTC or run.started_at.utcoffset() == timedelta(0)


def test_cancelled_work_drafts_and_merge_queues_end_neutral(bench: Bench):
    client = bench.client()
    review = a_review(bench)
    run = begin_review(client, review)
    assert drop_review(client, REPO, run.id, "the pull request was closed")
    answer_draft(client, replace(review, external_id="draft"))
    answer_merge_group(client, REPO, "c" * 40)
    runs = list(bench.world.check_runs.values())
    assert [r["conclusion"] for r in runs] == ["neutral"] * 3
    assert all(r["output"]["title"].startswith("NOT SCORED: ") for r in runs)
    assert runs[2]["head_sha"] == "c" * 40


# ---------------------------------------------------------------------------------------- before scoring


def config_of(bench: Bench, files: dict) -> ReadConfig:
    bench.repo().files = files
    return read_config(bench.client(), read_pull_state(bench.client(), REPO, 1))


def test_the_configuration_comes_from_the_base_alone(bench: Bench):
    name = ".routeprint.yml"
    found = config_of(bench, {(BASE, name): "stage: gate\n", (HEAD, name): "stage: observe\n"})
    assert found.config.stage is Stage.GATE
    other = config_of(bench, {(HEAD, name): "stage: gate\n"})
    assert other.config == RepositoryConfig()
    assert found.digest != other.digest


def test_a_broken_configuration_is_said_and_defaults_stand_in(bench: Bench):
    found = config_of(bench, {(BASE, ".routeprint.yml"): "stage: loud\n"})
    assert found.config == RepositoryConfig()
    assert "expected 'observe', 'comment' or 'gate'" in found.warning
    publish(bench, typical(), a_review(bench), found)
    assert "defaults stand in" in shown(bench)["output"]["summary"]


def test_an_outage_is_not_taken_for_a_missing_file(bench: Bench):
    bench.repo()
    state = read_pull_state(bench.client(), REPO, 1)
    bench.world.fail("GET", "contents", 503, times=9)
    with pytest.raises(UnavailableError):
        read_config(bench.client(), state)


def test_paths_that_are_not_scored_are_counted():
    diff = "".join(
        f"--- a/{path}\n+++ b/{path}\n@@ -1 +1,2 @@\n x\n+y\n"
        for path in ("src/a.py", "legacy/b.py", "tools/c.py")
    )
    config = parse_config("paths: ['src/*', 'legacy/*']\nignore: [{path: 'legacy/*', reason: frozen}]\n")
    kept, dropped = choose_patches(parse_diff(diff), config, date(2026, 1, 5))
    assert [patch.path for patch in kept] == ["src/a.py"]
    assert dropped == {"muted: frozen": 1, "outside the configured paths": 1}


@pytest.mark.parametrize(
    ("permission", "expected"), [("admin", True), ("write", True), ("read", False), ("none", False)]
)
def test_commands_are_for_people_who_may_write(bench: Bench, permission, expected):
    repo = bench.repo(people={"ada": permission})
    ask = RunCommand(RepositoryRef(repo.id, REPO), 1, 5, Command(Verb.ACCEPT), Account(7, "ada"))
    assert is_allowed(bench.client(repo), ask) is expected
    stranger = replace(ask, by=Account(8, "eve/../ada"))
    assert not is_allowed(bench.client(repo), stranger)
    button = AcceptFinding(ask.repository, HEAD, "v1", ask.by)
    assert is_allowed(bench.client(repo), button) is expected
