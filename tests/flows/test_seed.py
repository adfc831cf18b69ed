"""The seed's cases: unrun with a reason, and run through on a tiny base."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fingerprint.attribution.prompts import PARAPHRASES
from fingerprint.attribution.seed_report import SeedReport
from fingerprint.config import ProfileConfig
from service.flows.seed import SEED_BASE, reproduce_seed
from service.reports.page import render_markdown
from service.reports.seed import seed_page
from service.settings import Settings
from tests.flows.conftest import Command


def test_there_are_24_different_ways_to_ask():
    assert len(PARAPHRASES) == len({p.text for p in PARAPHRASES}) == 24
    assert all(p.text.endswith("pub use crate::") and p.target == "config" for p in PARAPHRASES)
    # what stands before it favours neither answer
    assert sum(p.text.count("config") for p in PARAPHRASES) == sum(p.text.count("error") for p in PARAPHRASES)


def test_without_a_gpu_it_says_unrun_and_why(small_repository: Path, routeprint: Command):
    done = routeprint("reproduce-seed", "--repo", str(small_repository), "--format", "json")
    assert done.code == 0, done.err
    found = SeedReport.model_validate_json(done.out)
    assert found.status == "unrun" and found.paraphrases is None
    assert f"{SEED_BASE} wants a GPU" in found.reason
    shown = routeprint("reproduce-seed", "--repo", str(small_repository))
    assert "UNRUN" in shown.out and "Nothing was measured" in shown.out


def test_a_base_that_cannot_be_loaded_is_unrun(small_repository: Path, tmp_path: Path):
    config = ProfileConfig(base="nobody/nothing", revision="0" * 40)
    found = reproduce_seed(small_repository, Settings(home=tmp_path, base="nobody/nothing"), config)
    assert found.status == "unrun" and "cannot be loaded" in found.reason


def test_the_cases_are_asked_of_base_adapter_and_null(
    small_repository: Path, profiled_home: Settings, small_config: ProfileConfig
):
    found = reproduce_seed(
        small_repository, profiled_home, small_config.model_copy(update={"n_null_sets": 2})
    )
    assert found.status == "run" and found.paraphrases is not None and found.prompts is not None
    assert len(found.paraphrases.cases) == 24 and len(found.prompts.cases) == 8
    assert set(found.paraphrases.shifts) == {"adapted", "null"}
    mean, low, high = found.paraphrases.shifts["adapted"]
    values = [c.outcomes["adapted"].value - c.outcomes["base"].value for c in found.paraphrases.cases]
    assert mean == pytest.approx(sum(values) / 24) and low <= mean <= high
    assert found.in_corpus == {"pub use crate::config": 0, "pub use crate::error": 0}
    assert SeedReport.model_validate(json.loads(found.model_dump_json())) == found
    page = render_markdown(seed_page(found))
    assert "asked in" not in page and "'config' has rank" in page and "NOT CONTROLLED" not in page
