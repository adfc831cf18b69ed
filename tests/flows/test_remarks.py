"""`routeprint remarks` on a real profile, and where there is nothing to evaluate with."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import pytest

from service.artifacts import ArtifactStore
from service.db.migrate import upgrade
from service.db.queries.repositories import keep_repository, number_of
from service.db.queries.signatures import NewSignature, add_version, scope_of_team
from service.db.session import connect
from service.settings import Settings
from tests.contract.github.bench import connected
from tests.flows.conftest import Command
from tests.flows.remark_scene import REPO, followed_folder, remarked_rows


@pytest.fixture
def evaluated(profiled_home: Settings, small_repository: Path, tmp_path: Path) -> Settings:
    """The profiled home with the rows of remarked pull requests."""
    profile = ArtifactStore(profiled_home.home).record(small_repository).pointer("profile")
    assert profile is not None
    with closing(connect(profiled_home)) as database, connected() as bench:
        upgrade(database)
        remarked_rows(bench, database, tmp_path, profile)
    return profiled_home


def test_without_remarks_the_need_is_said(
    small_repository: Path, profiled_home: Settings, routeprint: Command
):
    said = routeprint("remarks", "--repo", str(small_repository))
    assert (said.code, said.err) == (0, "")
    assert "Nothing can be said: there are no remarks." in said.out
    assert "a history whose merged branches hold commits named after a review" in said.out
    assert not list(profiled_home.home.glob("routeprint.db*")), "a command about a folder makes no database"
    with closing(connect(profiled_home)) as database:
        upgrade(database)
        with database.writing() as session:
            keep_repository(session, github_id=9, full_name="acme/empty")
    empty = routeprint("remarks", "--repo", "acme/empty").out
    assert "a repository on GitHub whose merged pull requests were ingested" in empty
    facts = json.loads(routeprint("remarks", "--repo", "acme/empty", "--format", "json").out)
    assert (facts["reason"], facts["n_remarks"], facts["rankings"]) == ("there are no remarks", 0, {})
    assert routeprint("remarks", "--repo", "acme/unknown").code == 2


def test_drift_and_its_controls_on_a_real_profile(evaluated: Settings, routeprint: Command):
    told = routeprint("remarks", "--repo", REPO, "--format", "json")
    assert told.code == 0, told.err
    facts = json.loads(told.out)
    assert (facts["reason"], facts["n_remarks"], facts["n_lost"], facts["n_outside"]) == ("", 14, 1, 2)
    assert list(facts["rankings"]) == ["routing drift", "n-grams", "base's surprise", "size"]
    for one in facts["rankings"].values():
        assert 0 <= one["interval"]["low"] <= one["interval"]["value"] <= one["interval"]["high"] <= 1
        assert (one["n_remarked"], one["n_changes"]) == (11, 5)
    assert list(facts["drift_minus"]) == ["n-grams", "base's surprise", "size"]
    assert all(-1 <= one["interval"]["value"] <= 1 for one in facts["drift_minus"].values())
    assert facts["rankings"]["n-grams"]["interval"]["value"] > 0.9, (
        "the odd files share no word with the team's"
    )
    shown = routeprint("remarks", "--repo", REPO).out
    assert "Remarked hunks above the others of their diff" in shown
    assert "Drift's AUROC less each control's, on the same pairs" in shown
    assert "14 remarks on 5 pull requests: 1 on commits that are lost, 2 on no scored hunk." in shown
    assert not {"eve", "Jane", "nit"} & set(shown.replace(",", " ").split())
    few = routeprint("remarks", "--repo", REPO, "--last", "2").out
    assert "Nothing can be said: there are too few remarks." in few
    assert "there are 4." in few
    assert "commits that are lost" not in few, "none was looked at"


def test_a_folder_is_asked_for_what_was_rewritten_after_reviews(
    profiled_home: Settings, small_repository: Path, tmp_path: Path, routeprint: Command
):
    root = followed_folder(tmp_path / "shop").root
    assert routeprint("remarks", "--repo", str(root)).code == 2, "there is enough, and no profile yet"
    profile = ArtifactStore(profiled_home.home).record(small_repository).pointer("profile")
    assert profile is not None
    with closing(connect(profiled_home)) as database:
        upgrade(database)
        with database.writing() as session:
            number = number_of(keep_repository(session, str(root), path=str(root)))
            add_version(session, NewSignature(number, scope_of_team(""), profile, "a", "b", "c", "", 300, {}))
    shown = routeprint("remarks", "--repo", str(root)).out
    assert "Rewritten hunks above the others of their diff" in shown
    assert "of 10 rewritten hunks and 15 others in 5 pull requests" in shown
    assert "A remark here is a run of lines that a commit rewrote" in " ".join(shown.split())
    facts = json.loads(
        routeprint("remarks", "--repo", str(root), "--after", "2001-01-01", "--format", "json").out
    )
    assert facts["rankings"]["n-grams"]["interval"]["value"] > 0.9
    assert "there are no remarks" in routeprint("remarks", "--repo", str(root), "--after", "2100-01-01").out


def test_a_team_or_a_day_that_cannot_be_kept_to_is_refused(
    evaluated: Settings, small_repository: Path, routeprint: Command
):
    told = routeprint("remarks", "--repo", REPO, "--after", "2020-01-01")
    assert told.code == 2
    assert "--after is for a folder's history" in " ".join(told.err.split())
    told = routeprint("remarks", "--repo", str(small_repository), "--team", "web")
    assert told.code == 2
    assert "no team is kept" in " ".join(told.err.split())
