"""The main job end to end: history in, profile, answers for diffs by command line and HTTP."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import httpx2 as httpx
import pytest

from fingerprint.config import ProfileConfig
from fingerprint.report import DriftReport, Verdict
from service.artifacts import ArtifactStore
from service.flows.bench import Stage
from service.flows.ingest import ingest, load_ingested
from service.flows.profile import load_summary, profile
from service.reports.profile_summary import ProfileSummary
from service.settings import Settings
from tests.flows.conftest import Command, runner

DIFF = """--- a/src/alpha_0.py
+++ b/src/alpha_0.py
@@ -1,3 +1,12 @@
 import os
+import sys
+
+
+class Frobnicator(object):
+    __slots__ = ["left", "right"]
+
+    def __call__(self, *arguments, **keywords):
+        print("frobnicating", arguments, keywords, file=sys.stderr)
+        raise NotImplementedError("never mind; %s" % (self.left,))


"""


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory, small_config: ProfileConfig) -> Settings:
    return Settings(home=tmp_path_factory.mktemp("home"), base=small_config.base, processes=1)


@pytest.fixture(scope="module")
def stages_of_first_run(
    small_repository: Path, settings: Settings, small_config: ProfileConfig
) -> list[Stage]:
    """Ingest, a profile that is interrupted once, and the profile."""
    ingest(small_repository, settings)
    seen: list[Stage] = []

    def interrupt(stage: Stage) -> None:
        if stage.name.startswith("null"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        profile(small_repository, settings, small_config, report=interrupt)
    profile(small_repository, settings, small_config, report=seen.append)
    return seen


@pytest.fixture
def command(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Command:
    return runner(settings, monkeypatch, capfd)


def test_a_killed_run_goes_on_where_it_stopped(stages_of_first_run: list[Stage]):
    stored = {stage.name for stage in stages_of_first_run if stage.is_stored}
    assert {"team", "human:ann-other", "human:bob-some"} <= stored
    assert not any(name.startswith("null") for name in stored)


@pytest.mark.slow
def test_a_second_process_trains_the_same_nulls(
    small_repository: Path, tmp_path: Path, small_config: ProfileConfig
):
    summaries: list[ProfileSummary] = []
    found: list[set[str]] = []
    for processes in (1, 2):
        settings = Settings(home=tmp_path / str(processes), base=small_config.base, processes=processes)
        seen: list[Stage] = []
        ingest(small_repository, settings)
        summaries.append(profile(small_repository, settings, small_config, report=seen.append))
        found.append({stage.name for stage in seen if stage.is_stored and stage.name.startswith("null")})
    assert summaries[0] == summaries[1]
    assert found[0] == set()
    assert "null team" in found[1]


@pytest.mark.usefixtures("stages_of_first_run")
def test_a_second_run_only_looks_up(small_repository: Path, settings: Settings, small_config: ProfileConfig):
    seen: list[Stage] = []
    summary = profile(small_repository, settings, small_config, report=seen.append)
    steps = [stage for stage in seen if stage.total is not None]
    assert steps
    assert all(stage.is_stored for stage in steps)
    assert summary == load_summary(small_repository, settings)
    assert [row.name for row in summary.authors] == ["Ann Other", "Bob Some"]
    assert all(row.author_loss is not None and row.null_gains for row in summary.authors)
    assert summary.team_loss < summary.base_loss
    assert summary.null_team_loss is not None and summary.team_loss < summary.null_team_loss
    assert not any((settings.home / "checkpoints").glob("*"))


@pytest.mark.usefixtures("stages_of_first_run")
def test_command_line_and_http_give_the_same_answer(
    small_repository: Path, settings: Settings, command: Command
):
    scored = command("score", "--repo", str(small_repository), "--diff", "-", "--format", "json", diff=DIFF)
    assert scored.code == 0, scored.err
    report = DriftReport.model_validate_json(scored.out)
    assert report.verdict is not Verdict.NOT_SCORED
    assert report.evidence is not None
    assert report.hunks[0].path == "src/alpha_0.py"
    shown = command("explain", "--repo", str(small_repository), "--diff", "-", diff=DIFF)
    assert "completeness" in shown.out
    assert "provenance" in shown.out
    gate = command("score", "--repo", str(small_repository), "--diff", "-", "--fail-on", "drift", diff=DIFF)
    assert gate.code == (1 if report.verdict is Verdict.UNUSUAL else 0)
    assert _over_http(small_repository, settings) == scored.out


def _over_http(repository: Path, settings: Settings) -> str:
    """The answer of a running `routeprint serve`."""
    environment = {**os.environ, "ROUTEPRINT_HOME": str(settings.home), "ROUTEPRINT_THREADS": "1"}
    routeprint = [sys.executable, "-m", "service.cli.main"]
    made = subprocess.run(
        [*routeprint, "tokens", "create", "test"], env=environment, capture_output=True, text=True, check=True
    )
    client = httpx.Client(headers={"Authorization": f"Bearer {made.stdout.strip()}"}, timeout=60)
    line = [*routeprint, "serve", "--repo", str(repository), "--port", "0"]
    with subprocess.Popen(line, env=environment, stderr=subprocess.PIPE, text=True) as server:
        try:
            assert server.stderr is not None
            address = next(text for text in server.stderr if "http://" in text)
            base = "http://" + address.split("http://")[1].split()[0]
            for _ in range(600):
                if client.get(base + "/readyz").status_code == 200:
                    break
                time.sleep(0.1)
            body = {"repository": repository.name, "diff": DIFF}
            response = client.post(base + "/v1/reviews", json=body)
            assert response.status_code == 200, response.text
            empty = client.post(base + "/v1/reviews", json=body | {"diff": ""})
            assert empty.json()["verdict"] == "not-scored"
            bad = client.post(base + "/v1/reviews", json=body | {"diff": "no diff\n"})
            assert bad.status_code == 422
            return response.text
        finally:
            client.close()
            server.terminate()
            server.wait(20)


@pytest.mark.usefixtures("stages_of_first_run")
def test_other_commands(small_repository: Path, command: Command):
    where = ["--repo", str(small_repository)]
    told = json.loads(command("report", *where, "--author", "ann", "--format", "json").out)
    assert [row["name"] for row in told["authors"]] == ["Ann Other"]
    table = json.loads(
        command("shift", *where, "--prompt", "def load_", "--author", "ann", "--format", "json").out
    )
    assert table["columns"] == ["base", "team", "human:ann-other"]
    small = "--- a/m.py\n+++ b/m.py\n@@ -1 +1,2 @@\n a\n+b = 1\n"
    unscored = command("score", *where, "--diff", "-", "--fail-on", "not-scored", diff=small)
    assert unscored.code == 3
    assert "NOT SCORED: too little text" in unscored.out
    assert command("score", *where, "--range", "HEAD~3..HEAD").code == 0
    assert "empty" in command("score", *where, "--staged").out
    cost = command("profile", *where, "--dry-run")
    assert cost.code == 0
    assert "more tokens needed" in cost.out  # the default least sizes are far above this repository
    assert "nothing was trained" in cost.out


def test_usage_errors_are_sentences(tmp_path: Path, command: Command):
    for arguments, words in (
        (["score", "--repo", str(tmp_path)], "name one diff"),
        (["score", "--repo", str(tmp_path / "no"), "--staged"], "does not exist"),
        (["ingest", "--repo", str(tmp_path)], "git"),
        (["report", "--repo", str(tmp_path)], "no profile"),
        (["score", "--repo", str(tmp_path), "--diff", str(tmp_path / "none")], "cannot be read"),
        (["score", "--repo", str(tmp_path), "--bogus"], "bogus"),
    ):
        done = command(*arguments)
        assert done.code == 2, done.err
        assert words in done.err
        assert "Traceback" not in done.err


def test_forgetting_deletes(
    small_repository: Path, settings: Settings, command: Command, stages_of_first_run: list[Stage]
):
    """Runs last: it takes the profile away."""
    assert stages_of_first_run
    assert load_ingested(small_repository, settings).authors
    done = command("forget", "--repo", str(small_repository), "--yes")
    assert done.code == 0, done.err
    assert ArtifactStore(settings.home).records() == ()
    kept = [p for p in (settings.home / "artifacts").rglob("*") if p.is_file() and "routes" not in p.parts]
    assert kept == []
