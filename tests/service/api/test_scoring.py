"""The scoring process is watched and replaced."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.api.scoring import RefusedError, Request, ScoringProcess, UnavailableError
from tests.service.api.workers import fail_to_start, obey


@pytest.fixture
def scoring(tmp_path: Path) -> Iterator[ScoringProcess]:
    process = ScoringProcess(obey, (tmp_path,), timeout_s=1.0, start_timeout_s=30, queue_timeout_s=10)
    process.start()
    yield process
    process.stop()


def test_dead_and_slow_processes_are_replaced(scoring: ScoringProcess, tmp_path: Path) -> None:
    assert scoring.review(Request("r", "hello")) == '{"said": "hello"}'
    for word, reason in (("die", "died"), ("sleep", "within 1 seconds")):
        with pytest.raises(UnavailableError, match=reason):
            scoring.review(Request("r", word))
        assert scoring.review(Request("r", "again")) == '{"said": "again"}'
    assert len(list(tmp_path.iterdir())) == 3


def test_refusals_and_failures_leave_it_running(scoring: ScoringProcess, tmp_path: Path) -> None:
    with pytest.raises(RefusedError):
        scoring.review(Request("r", "refuse"))
    with pytest.raises(UnavailableError):
        scoring.review(Request("r", "fail"))
    assert scoring.is_ready
    assert len(list(tmp_path.iterdir())) == 1


def test_a_start_that_fails_says_why() -> None:
    process = ScoringProcess(fail_to_start, (), start_timeout_s=30)
    with pytest.raises(UnavailableError, match="has no profile"):
        process.start()
    assert not process.is_ready


def test_stop_ends_it(scoring: ScoringProcess) -> None:
    scoring.stop()
    with pytest.raises(UnavailableError, match="stopping"):
        scoring.review(Request("r", "x"))


def test_importing_the_api_leaves_torch_out() -> None:
    code = "import sys, service.api.app, service.reports.terminal; print(*({'torch'} & set(sys.modules)))"
    started = time.monotonic()
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "", f"torch was imported, after {time.monotonic() - started:.1f} s"
