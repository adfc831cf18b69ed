"""An author's training recorded: the profile's own, with its states and data order, and a kill in between."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from fingerprint.lm.fit import kept_steps
from service.flows.bench import Stage
from service.flows.development.record import (
    NotRecordedError,
    Recording,
    author_of,
    load_nulls,
    load_recording,
    record_author,
    record_nulls,
)
from service.flows.opened import OpenedProfile
from tests.flows.conftest import Command

ANN = "human:ann-other"


@pytest.fixture(scope="module")
def recording(opened: OpenedProfile) -> Recording:
    """Recorded with one interruption, which must not show."""
    with pytest.raises(NotRecordedError, match="routeprint develop record"):
        load_recording(opened, ANN)

    def stop(stage: Stage) -> None:
        if stage.name.startswith("development") and stage.done == 2:
            raise KeyboardInterrupt

    def reporting(report) -> OpenedProfile:
        return replace(opened, bench=replace(opened.bench, report=report))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fingerprint.adapters.train.CHECKPOINT_SECONDS", 0.0)
        with pytest.raises(KeyboardInterrupt):
            record_author(reporting(stop), ANN, 4)
    seen: list[float] = []
    found = record_author(reporting(lambda stage: seen.append(stage.done)), ANN, 4)
    assert min(seen) > 1 or found.facts["steps"] <= 2
    return found


def test_the_recorded_training_is_the_profiles_own(opened: OpenedProfile, recording: Recording):
    assert recording.facts["distance_to_adapter"] == 0
    assert recording.facts["adapter"] == opened.adapter(ANN).digest
    series = recording.series(opened.bench.routed)
    steps = recording.facts["steps"]
    assert series.steps == tuple(recording.facts["kept"]) == kept_steps(steps, 4)
    before = opened.bench.routed.weights()
    states = [{site: b.clone() for site, b in c.load().weights().items()} for c in series]
    opened.bench.routed.set_weights(before)
    assert not any(b.any() for b in states[0].values())
    site = opened.bench.routed.sites[0]
    assert len({float(state[site].abs().sum()) for state in states}) == len(states)
    if recording.facts["training"]["best_step"] == steps:
        own = opened.adapter(ANN).state
        assert all(torch.allclose(b, own[name], atol=1e-8) for name, b in states[-1].items())
    assert [c.tokens_seen for c in series] == [
        sum(entry["tokens"] for entry in recording.order[:step]) for step in series.steps
    ]


def test_the_data_order_names_the_authors_own_commits(opened: OpenedProfile, recording: Recording):
    own = {p.group for p in opened.plan.slices.train if p.author == ANN}
    assert len(recording.order) == recording.facts["steps"]
    assert all(entry["commits"] and set(entry["commits"]) <= own for entry in recording.order)
    assert recording.commits_by(0) == ()
    assert set(recording.commits_by(len(recording.order))) <= own
    assert recording.commits_by(1) == tuple(recording.order[0]["commits"])


def test_a_second_run_only_looks_up(opened: OpenedProfile, recording: Recording):
    assert record_author(opened, ANN, 4).digest == load_recording(opened, ANN).digest == recording.digest
    assert record_author(opened, ANN, 3).digest != recording.digest
    assert author_of(opened, "ann@example.org") == ANN
    assert author_of(opened, None) in opened.authors


def test_a_shuffled_author_is_recorded_as_its_null_adapter_was_trained(opened: OpenedProfile):
    assert load_nulls(opened) == ()
    with pytest.raises(NotRecordedError, match="null-sets"):
        record_nulls(opened, 100, 3)
    (null,) = record_nulls(opened, 1, 3)
    assert null.author == opened.null_names[0] and null.facts["distance_to_adapter"] == 0
    assert null.facts["adapter"] == opened.nulls[null.author].digest
    dealt = {p.group for p in opened.trained_on(null.author)}
    authors = {p.author for p in opened.plan.slices.train if p.group in dealt}
    assert set(null.commits_by(len(null.order))) <= dealt and len(authors) > 1
    assert [one.digest for one in load_nulls(opened)] == [null.digest] and load_nulls(opened, 0) == ()


def test_the_command_tells_the_same(routeprint: Command, small_repository: Path, recording: Recording):
    done = routeprint(
        "develop", "record", ANN, "--repo", str(small_repository), "--keep", "4", "--format", "json"
    )
    assert done.code == 0, done.err
    answer = json.loads(done.out)
    assert answer["digest"] == recording.digest and Path(answer["place"]).is_dir()
    assert answer["nulls"] == []
    text = routeprint("develop", "record", "ann", "--repo", str(small_repository), "--keep", "4")
    assert text.code == 0 and "commits read" in text.out and "best recorded state is the" in text.out
