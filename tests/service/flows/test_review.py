"""What a diff offers to score, and why it sometimes offers nothing: decided without a model."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from connectors import ConnectorError
from fingerprint.report import Verdict
from service.flows.review import read_diff, review_patches
from service.settings import Settings

CODE = "--- a/m.py\n+++ b/m.py\n@@ -1,1 +1,3 @@\n import os\n+value = compute(1)\n+other = value + 2\n"
CASES = {
    "": "empty",
    "--- a/m.py\n+++ b/m.py\n@@ -1,2 +1,1 @@\n a\n-b\n": "only deletes lines",
    "diff --git a/a.py b/b.py\nsimilarity index 100%\nrename from a.py\nrename to b.py\n": "only renames",
    "diff --git a/a.png b/a.png\nindex 1..2 100644\nBinary files a/a.png and b/a.png differ\n": "",
    "--- a/README.qqq\n+++ b/README.qqq\n@@ -1 +1,2 @@\n a\n+words\n": "left out: 1 (not code)",
    "--- a/poetry.lock\n+++ b/poetry.lock\n@@ -1 +1,2 @@\n a\n+b\n": "left out: 1 (lockfile)",
    "--- a/m.py\n+++ b/m.py\n@@ -1 +1,2 @@\n a\n+   \n": "",
}


@pytest.mark.parametrize(("text", "reason"), CASES.items())
def test_nothing_to_score_has_a_reason(text: str, reason: str):
    reading = read_diff(text)
    assert reading.passages == ()
    assert reading.reason
    assert reason in reading.reason


def test_added_lines_are_counted():
    reading = read_diff(CODE + "--- a/x.lock\n+++ b/x.lock\n@@ -1 +1,2 @@\n a\n+b\n")
    assert (reading.n_lines, reading.dropped, reading.reason) == (2, {"lockfile": 1}, "")


def test_no_diff_is_an_error():
    with pytest.raises(ConnectorError):
        read_diff("hello\nworld\n")


def test_without_a_profile_nothing_is_scored(tmp_path: Path):
    from connectors.diff import parse_diff

    report = review_patches(tmp_path, parse_diff(CODE), Settings(home=tmp_path / "home"))
    assert report.verdict is Verdict.NOT_SCORED
    assert "routeprint profile" in report.reason
    assert report.evidence is None


def test_reading_a_diff_needs_no_torch():
    code = (
        "import sys; from service.flows.review import read_diff; read_diff(''); print('torch' in sys.modules)"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "False"
