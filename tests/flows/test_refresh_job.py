"""Between two profiles: new commits are read, judged, and calibrate; nothing is trained."""

from __future__ import annotations

import random
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from fingerprint.config import ProfileConfig
from service.artifacts import ArtifactStore
from service.flows.ingest import ingest
from service.flows.kept_pages import find_team, version_of
from service.flows.profile import find_profile, load_profile, load_summary, profile
from service.flows.profile_pages import keep_profile_pages
from service.flows.refresh import NewHistoryError, refresh
from service.jobs.local import recalibrate
from service.jobs.work import RepositoryTask
from service.settings import Settings
from tests.flows.conftest import PEOPLE, Command, function, runner

N_NEWER = 8


@dataclass(frozen=True)
class Shop:
    """A profiled clone of the small repository that may be committed to."""

    path: Path
    settings: Settings

    def git(self, *words: str, author: str = "Ann Other <ann@example.org>") -> None:
        name, _, email = author.rstrip(">").partition(" <")
        who = ["-c", f"user.name={name}", "-c", f"user.email={email}"]
        subprocess.run(["git", "-C", str(self.path), *who, *words], check=True, capture_output=True)

    def commit(self, count: int) -> None:
        """So many commits of two functions each."""
        rng = random.Random(count)
        for number in range(count):
            author = list(PEOPLE)[number % 2]
            place = self.path / "src" / f"newer_{number}.py"
            place.write_text("import os\n\n\n" + function(author, rng) + function(author, rng))
            self.git("add", "--all", author=author)
            self.git("commit", "-q", "-m", "work", author=author)


@pytest.fixture
def shop(
    tmp_path: Path, profiled_home: Settings, small_repository: Path, small_config: ProfileConfig
) -> Shop:
    shutil.copytree(profiled_home.home, tmp_path / "home")
    settings = profiled_home.model_copy(update={"home": tmp_path / "home"})
    path = tmp_path / "shop"
    subprocess.run(["git", "clone", "-q", str(small_repository), str(path)], check=True)
    ingest(path, settings)
    profile(path, settings, small_config.model_copy(update={"n_null_sets": 2}))
    return Shop(path, settings)


def test_newer_commits_calibrate_and_nothing_is_trained(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    routeprint: Command = runner(shop.settings, monkeypatch, capfd)
    before, summary = load_profile(shop.path, shop.settings), load_summary(shop.path, shop.settings)
    adapters = sorted((shop.settings.home / "artifacts" / "adapter").iterdir())
    shop.commit(N_NEWER)
    done = routeprint("refresh", "--repo", str(shop.path))
    assert done.code == 0, done.err
    assert f"{N_NEWER} commits since" in done.out
    assert sorted((shop.settings.home / "artifacts" / "adapter").iterdir()) == adapters
    after = load_profile(shop.path, shop.settings)
    assert after.digest != before.digest
    stream = after.signature.facts["stream"]
    assert [entry["slice"] for entry in stream].count("later") == N_NEWER
    assert after.signature.readings["calibration_all"][-1] == stream[-1]["score"]
    assert len(after.signature.null["calibration_all"]) > len(before.signature.null["calibration_all"])
    newer = load_summary(shop.path, shop.settings)
    assert newer.n_held_out == summary.n_held_out + N_NEWER
    assert newer.n_calibration == len(after.signature.readings["calibration_all"])
    # the scored answer is made with the new calibration
    diff = subprocess.run(
        ["git", "-C", str(shop.path), "show", "HEAD~1"], check=True, capture_output=True, text=True
    ).stdout
    scored = routeprint("score", "--repo", str(shop.path), "--diff", "-", diff=diff)
    assert scored.code == 0 and f"last {newer.n_calibration} " in " ".join(scored.out.split())


def test_nothing_new_keeps_the_profile(shop: Shop) -> None:
    first = refresh(shop.path, shop.settings)
    assert (first.n_commits, first.n_taken_in > 0) == (0, True), "held-out commits join, once"
    again = refresh(shop.path, shop.settings)
    assert (again.profile, again.n_taken_in) == (first.profile, 0)
    assert find_profile(shop.path, shop.settings)[0] == first.profile


def test_a_recalibration_makes_the_team_s_page_again(shop: Shop) -> None:
    digest, _ = find_profile(shop.path, shop.settings)
    assert keep_profile_pages(shop.path, shop.settings, digest, "", ()) == ()
    record = ArtifactStore(shop.settings.home).record(shop.path)
    before = find_team(record, "")
    assert before is not None
    shop.commit(N_NEWER)
    ingest(shop.path, shop.settings)
    task = RepositoryTask("job", 1, "acme/shop", shop.path)
    rolled = recalibrate(task, digest, lambda _: None, shop.settings)
    after = find_team(record, "")
    assert after is not None and after.summary.repository == "acme/shop"
    newest = subprocess.run(
        ["git", "-C", str(shop.path), "rev-list", f"-{N_NEWER}", "HEAD"],
        check=True, capture_output=True, text=True,
    ).stdout.split()  # fmt: skip
    assert {p.commit for p in after.stream} - {p.commit for p in before.stream} == set(newest)
    assert after.summary.n_calibration > before.summary.n_calibration
    kept = version_of(record, "team", "")
    assert recalibrate(task, rolled.profile, lambda _: None, shop.settings).profile == rolled.profile
    assert version_of(record, "team", "") == kept, "nothing was new"


def test_a_rewritten_history_asks_for_a_new_profile(shop: Shop) -> None:
    digest, _ = find_profile(shop.path, shop.settings)
    shop.git("reset", "-q", "--hard", "HEAD~5")
    shop.commit(2)
    ingest(shop.path, shop.settings)
    with pytest.raises(NewHistoryError, match="Run `routeprint profile`"):
        refresh(shop.path, shop.settings)
    assert ArtifactStore(shop.settings.home).record(shop.path).pointer("profile") == digest
