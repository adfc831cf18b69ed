"""Remarked hunks of real pull requests, as GitHub tells of them; a stated rule stands in for the model."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from connectors.contribution import FilePatch
from fingerprint.evaluation.remarks import RemarkRanking
from fingerprint.report import DriftReport, HunkDrift, Verdict
from service.db.migrate import upgrade
from service.db.queries.pulls import list_remarked
from service.db.queries.repositories import get_repository, keep_team
from service.db.queries.signatures import NewSignature, add_version
from service.db.session import connect
from service.flows import backtest
from service.flows.remarks import (
    DRIFT,
    SIZE,
    Remarks,
    RemarksFound,
    find_followed,
    find_remarks,
    reading_hunks,
    run_remarks,
)
from service.flows.review import not_scored, read_patches
from tests.contract.github.bench import connected
from tests.flows.remark_scene import N_PULLS, followed_folder, remarked_rows
from tests.service.db.databases import KINDS, fresh_settings


def by_rule(patches: tuple[FilePatch, ...]) -> DriftReport:
    """A token a line; what says odd drifts, and the first hunk a little."""
    passages = read_patches(patches).passages
    if not passages:
        return not_scored("the diff adds no lines")
    hunks = tuple(
        HunkDrift(path=one.path, header="", first_line=one.first_line, n_tokens=n_tokens, percentile=0.5,
                  log_ratio=-n_tokens * ("odd" in one.marked))
        for one in passages
        for n_tokens in [one.marked.count("\n")]
    )  # fmt: skip
    return DriftReport(verdict=Verdict.TYPICAL, hunks=hunks)


read = reading_hunks(by_rule)


def kept(kind: str, tmp_path: Path) -> tuple[Remarks, Remarks, backtest.Tested, backtest.Tested]:
    """The remarks, those of the last pull request, and what the whole and a team of one file score with."""
    with fresh_settings(kind, tmp_path) as settings, closing(connect(settings)) as database:
        upgrade(database)
        with connected() as bench:
            number = remarked_rows(bench, database, tmp_path, "the profile")
        with database.writing() as session:
            row = get_repository(session, number)
            whole = backtest.find_tested(session, row, "", 10)
            keep_team(session, number, "web", ["src/*_1.py"])
            add_version(session, NewSignature(number, "team:web", "p", "a", "b", "c", "", 9, {}))
            web = backtest.find_tested(session, row, "web", 10)
            ((last, _),) = list_remarked(session, number, 1)
            assert last.number == N_PULLS
            all_of_them, newest = (find_remarks(session, number, count) for count in (200, 1))
    assert whole is not None
    assert web is not None
    return all_of_them, newest, whole, web


@pytest.mark.parametrize("kind", KINDS)
def test_remarked_hunks_rank_above_the_others_of_their_diff(kind: str, tmp_path: Path):
    remarks, newest, whole, web = kept(kind, tmp_path)
    assert (remarks.n_remarks, remarks.n_pulls, remarks.may_suffice) == (14, N_PULLS, True)
    assert (newest.n_remarks, newest.n_pulls, newest.may_suffice) == (2, 1, False)
    seen: list[int] = []
    found = run_remarks(whole, remarks, read, seen.append)
    assert (found.n_pulls, found.n_commits, found.n_remarks) == (N_PULLS, 8, 14)
    assert (found.n_lost, found.n_outside, found.n_unscored, found.reason) == (1, 2, 0, "")
    assert len(seen) == 7
    # 5 hunks of five shown changes, 5 of the first and 6 of the second at their ends; the second's
    # late file was there before it was remarked on and is an echo
    assert (found.n_hunks, found.n_remarked) == (5 * 5 + 5 + 6, 11)
    drift = found.rankings[DRIFT]
    assert isinstance(drift, RemarkRanking)
    assert (drift.interval.value, drift.interval.low, drift.n_changes) == (1.0, 1.0, N_PULLS)
    assert (drift.n_remarked, drift.n_hunks, drift.n_pairs) == (11, 31, 5 * 2 * 3 + 5)
    assert drift.p_value < 0.001
    assert list(found.rankings) == [DRIFT, SIZE], "figures that the scorer does not give are left out"
    size = found.rankings[SIZE]
    assert isinstance(size, RemarkRanking)
    size_read = max(size.interval.value, 1 - size.interval.value)
    assert list(found.contrasts) == [SIZE]
    assert found.contrasts[SIZE].interval.value == pytest.approx(1.0 - size_read)
    theirs = run_remarks(web, remarks, read)
    assert (theirs.n_hunks, theirs.n_remarked, theirs.n_outside) == (10, 2, 11)
    assert "2 remarked hunks in 1 changes" in theirs.reason
    assert not theirs.contrasts


def test_what_is_not_scored_is_said(tmp_path: Path):
    remarks, _, whole, _ = kept("sqlite", tmp_path)
    found = run_remarks(whole, remarks, reading_hunks(lambda _: not_scored("too little text")))
    assert (found.n_unscored, found.n_outside, found.n_lost, found.n_hunks) == (7, 13, 1, 0)
    assert "0 remarked hunks" in found.reason
    assert run_remarks(replace(whole, pulls=()), Remarks(), read).reason == "there are no remarks"
    assert RemarksFound.without_scoring(remarks).reason == "there are too few remarks"


def test_a_folders_history_tells_what_was_rewritten_after_a_review(tmp_path: Path):
    root = followed_folder(tmp_path / "shop").root
    remarks = find_followed(root, 10)
    assert (remarks.n_pulls, remarks.n_remarks, remarks.is_followed) == (N_PULLS, 2 * N_PULLS, True)
    found = run_remarks(backtest.Tested("", root, remarks.heads, "", {}), remarks, read)
    assert (found.n_hunks, found.n_remarked, found.n_lost, found.n_outside) == (
        5 * N_PULLS,
        2 * N_PULLS,
        0,
        0,
    )
    assert found.is_followed
    drift = found.rankings[DRIFT]
    assert isinstance(drift, RemarkRanking)
    assert drift.interval.value == 1.0
