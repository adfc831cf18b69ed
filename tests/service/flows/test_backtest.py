"""False alarms over merged changes of real repositories; a stated rule stands in for the model."""

from __future__ import annotations

import subprocess
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from connectors.contribution import FilePatch
from connectors.git.mirror import MirrorDials, open_mirror
from fingerprint.drift.calibrate import clopper_pearson
from fingerprint.report import DriftReport, Verdict
from service.db.migrate import upgrade
from service.db.queries.pulls import keep_pull, may_gate
from service.db.queries.repositories import get_repository, keep_repository, keep_team, number_of
from service.db.queries.signatures import NewSignature, add_version, scope_of_team
from service.db.session import Database, connect
from service.db.states import PullState
from service.flows.backtest import (
    MergedChange,
    MergedHead,
    find_tested,
    local_changes,
    pull_changes,
    remember_backtest,
    run_backtest,
)
from service.flows.review import not_scored
from service.reports.backtest import Backtest, render_backtest
from tests.connectors.conftest import Sandbox
from tests.service.db.databases import KINDS, fresh_settings
from tests.service.reports.test_answer import unusual


def by_rule(patches: tuple[FilePatch, ...]) -> DriftReport:
    """Unusual where a line says so; nothing to score without code."""
    lines = [line for patch in patches for hunk in patch.hunks for line in hunk.added]
    if not lines:
        return not_scored("the diff adds no lines")
    is_odd = any("odd" in line for line in lines)
    return unusual(verdict=Verdict.UNUSUAL if is_odd else Verdict.TYPICAL)


@pytest.fixture
def repository(tmp_path: Path) -> Sandbox:
    root = tmp_path / "repo"
    root.mkdir()
    subprocess.run(["git", "init", "-q", "-b", "main", str(root)], check=True)
    found = Sandbox(root)
    found.commit("Begin", {"a.py": "a = 1\n"})
    found.commit("Plain", {"b.py": "b = 1\n"})
    found.git("checkout", "-q", "-b", "topic")
    found.commit("One", {"c.py": "odd = 1\n"})
    found.commit("Two", {"d.py": "d = 1\n"})
    found.git("checkout", "-q", "main")
    identity = {f"GIT_{w}_{k}": "x" for w in ("AUTHOR", "COMMITTER") for k in ("NAME", "EMAIL")}
    found.git("merge", "-q", "--no-ff", "-m", "Merge", "topic", env=identity)
    found.commit("Words", {"README.md": "words\n"})
    return found


def test_a_merge_is_one_change(repository: Sandbox):
    changes = list(local_changes(repository.root, 10))
    paths = [sorted(patch.path for patch in change.patches) for change in changes]
    assert paths == [["README.md"], ["c.py", "d.py"], ["b.py"]]
    assert [len(c.name) for c in changes] == [12, 12, 12]
    assert len(list(local_changes(repository.root, 2))) == 2


def test_false_alarms_are_counted_with_their_interval(repository: Sandbox):
    seen: list[int] = []
    found = run_backtest(local_changes(repository.root, 10), by_rule, 0.1, seen.append)
    assert (found.n_scored, found.n_flagged, found.n_unscored) == (2, 1, 1)
    assert found.rate == 0.5
    assert (found.low, found.high) == clopper_pearson(1, 2)
    assert found.signature == "ab" * 32
    assert seen == [1, 2, 3]
    assert not found.is_passed


def test_merged_pulls_are_read_from_their_heads(repository: Sandbox, tmp_path: Path):
    head, merge = repository.git("rev-parse", "topic"), repository.git("rev-parse", "main~1")
    repository.git("update-ref", "refs/pull/7/head", head)
    mirror = open_mirror(tmp_path / "m.git", MirrorDials(("file",)))
    mirror.fetch(f"file://{repository.root}")
    known, lost, told = MergedHead(7, head, merge), MergedHead(8, "f" * 40, merge), list[MergedHead]()
    (change,) = pull_changes(mirror, [lost, known], told.append)
    assert (change.name, change.commit, told) == ("#7", head, [lost])
    assert sorted(patch.path for patch in change.patches) == ["c.py", "d.py"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_repository_on_github_is_tested_with_what_reviews_score(
    kind: str, repository: Sandbox, tmp_path: Path
):
    repository.commit("Mute", {".routeprint.yml": "ignore:\n  - {path: d.py, reason: of old}\n"})
    head, merge = repository.git("rev-parse", "topic"), repository.git("rev-parse", "main~2")
    repository.git("update-ref", "refs/pull/7/head", head)
    mirror = open_mirror(tmp_path / "m.git", MirrorDials(("file",)))
    mirror.fetch(f"file://{repository.root}")
    mirror.follow("main")
    with fresh_settings(kind, tmp_path) as settings, closing(connect(settings)) as database:
        upgrade(database)
        number = learnt(database, "the profile")
        with database.writing() as session:
            row = get_repository(session, number)
            row.path = str(mirror.path)
            assert find_tested(session, row, "web", 10) is None
            for pull, state in ((7, PullState.MERGED), (8, PullState.OPEN), (9, PullState.MERGED)):
                keep_pull(session, number, pull, head_sha=head, state=state, merge_commit_sha=merge,
                          merged_at=datetime(2026, 1, pull, tzinfo=UTC))  # fmt: skip
            tested = find_tested(session, row, "", 10)
            keep_team(session, number, "web", ["c.py", "d.py"])
            add_version(session, NewSignature(number, "team:web", "p", "a", "b", "c", "", 9, {}))
            of_web, of_whole = (find_tested(session, row, team, 10) for team in ("web", ""))
    assert tested is not None and of_web is not None and of_whole is not None
    assert (tested.profile, [pull.number for pull in tested.pulls]) == ("the profile", [9, 7])
    for one in (tested, of_web):
        first, _ = one.changes(10)
        assert (first.name, [patch.path for patch in first.patches]) == ("#9", ["c.py"])
    assert list(of_whole.changes(10)) == [], "the other team's"


@pytest.mark.parametrize(
    ("n_odd", "n", "is_passed"),
    [(0, 200, True), (11, 200, True), (13, 200, False), (0, 20, False), (0, 0, False)],
)
def test_the_gate_opens_only_when_the_whole_interval_lies_below(n_odd: int, n: int, is_passed: bool):
    from connectors.diff import parse_diff

    diff = "--- a/a.py\n+++ b/a.py\n@@ -1 +1,2 @@\n x\n+{}\n"
    odd, plain = parse_diff(diff.format("odd")), parse_diff(diff.format("plain"))
    changes = [MergedChange(f"#{k}", odd if k < n_odd else plain) for k in range(n)]
    found = run_backtest(changes, by_rule, 0.1)
    assert found.is_passed is is_passed
    said = render_backtest(found)
    assert ("may be switched on" in said) is is_passed


def test_what_is_said():
    found = Backtest(200, 30, 5, 0.1, 0.2, 0.1, tuple(f"#{k}" for k in range(30)), "s")
    said = render_backtest(found)
    assert "30 of 200 merged changes flagged: false-alarm rate 15.0 %, 95 % interval 10.0 to 20.0 %." in said
    assert "stays off: the interval reaches above 10 %" in said
    assert said.endswith("#19 and 10 more.\n")
    assert "No merged change could be scored" in render_backtest(Backtest(0, 0, 3, 0.0, 1.0, 0.1, (), ""))


@pytest.mark.parametrize("kind", KINDS)
def test_the_gate_opens_by_the_back_test_of_its_own_signature(kind: str, tmp_path: Path):
    with fresh_settings(kind, tmp_path) as settings, closing(connect(settings)) as database:
        upgrade(database)
        repository = learnt(database, "the profile")
        quiet = Backtest(200, 4, 5, 0.005, 0.05, 0.1, ("#1",), "s")
        assert remember_backtest(database, "another profile", quiet, 0.05) == 0
        assert not is_open(database, repository)
        assert remember_backtest(database, "the profile", quiet, 0.05) == 1
        assert is_open(database, repository)
        loud = Backtest(200, 30, 5, 0.1, 0.2, 0.1, (), "s")
        assert remember_backtest(database, "the profile", loud, 0.05) == 1
        assert not is_open(database, repository)  # the last one counts


def learnt(database: Database, profile: str) -> int:
    """A repository whose whole team is scored with a profile."""
    with database.writing() as session:
        number = number_of(keep_repository(session, github_id=7, full_name="acme/rocket"))
        add_version(
            session,
            NewSignature(number, scope_of_team(""), profile, "artifact", "base", "config", "c" * 40, 300, {}),
        )
    return number


def is_open(database: Database, repository: int) -> bool:
    with database.reading() as session:
        return may_gate(session, repository, "", 1, 0.1)
