"""Matched pairs of a profiled repository, by flow and by command."""

from __future__ import annotations

import json
from pathlib import Path

from tests.flows.conftest import Command


def test_pairs_are_reported_with_their_controls(small_repository: Path, routeprint: Command):
    """Two hands that write one thing each: every hunk has a partner, and n-grams tell the hands."""
    where = ["pairs", "--repo", str(small_repository), "--likeness", "0.3", "--most", "30"]
    done = routeprint(*where, "--format", "json")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert found["n_found"]["two authors"] > 5
    assert set(found["authors"]) == {"human:ann-other / human:bob-some"}
    told = {(row["pairs"], row["reading"]): row for row in found["sides"]}
    assert told["two authors", "n-grams"]["told"] > 0.9
    assert told["two authors", "directions of training"]["n_pairs"] == found["n_found"]["two authors"]
    assert all(0 < row["told_p"] <= 1 for row in found["sides"])
    assert {row["adapters"] for row in found["leans"]} == {
        "authors",
        "shuffled authors, set 0",
        "shuffled authors, set 1",
    }
    shown = routeprint(*where, "--examples", "1")
    assert "whose hunk is whose" in shown.out and "src/" in shown.out
