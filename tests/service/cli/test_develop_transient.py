"""The tables of transient structure, and the command on the smallest task."""

from __future__ import annotations

import json

from typer.testing import CliRunner

from service.cli.main import app


def test_the_reference_task_runs_is_found_again_and_is_told(tmp_path):
    line = [
        "develop",
        "transient",
        "--tasks",
        "3",
        "--tasks",
        "0",
        "--steps",
        "12",
        "--no-llc",
        "--home",
        str(tmp_path),
    ]
    first = CliRunner().invoke(app, line)
    assert first.exit_code == 0, first.output
    for words in ("M = 3", "M = ∞", "dMMSE", "walks, flipped", "t_crit"):
        assert words in first.output
    assert len(list((tmp_path / "artifacts" / "transient").iterdir())) == 2
    again = CliRunner().invoke(app, [*line, "--format", "json"])
    report = json.loads(again.stdout)
    assert [run["name"] for run in report["runs"]] == ["M = 3", "M = ∞"]
    assert set(report["runs"][1]["references"]) == {"ridge"}
