"""Pairs and influence as commands: stored, found again, resumed, and forgotten with the repository."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
import torch
from rich.console import Console

from fingerprint.development.checkpoints import Checkpoint, CheckpointSeries
from fingerprint.development.config import SamplerConfig
from fingerprint.development.influence_config import InfluenceConfig
from fingerprint.development.pairs.make import PairConfig
from fingerprint.development.pairs.prove import Outcome, run_tests
from fingerprint.development.pairs.store import PairSet
from fingerprint.development.pairs.task import load_bank
from fingerprint.development.plots import plot_influence
from fingerprint.lm.load import load_base
from service.cli.develop_influence_tables import render_influence
from service.flows.bench import Stage
from service.flows.development.influence import KIND, author_influence, base_influence
from service.flows.development.pairs import StoredPairs, remembered, store_pairs
from service.flows.development.record import record_nulls
from service.flows.opened import OpenedProfile
from tests.fingerprint.development.test_samples import few_pairs
from tests.flows.conftest import Command

ANN = "human:ann-other"
FEW = tuple(task for task in load_bank() if task.name in {"clamp", "overlap"})
SAMPLER = SamplerConfig(
    n_chains=2, n_draws=6, burn_in=1, gradient_batches=2, curvature_rounds=2, n_beta=20.0, gamma=1e4
)
CONFIG = InfluenceConfig(
    sampler=SAMPLER,
    n_sequences=8,
    sequence_tokens=512,
    n_train=8,
    batch_rows=1,
    n_shuffles=20,
    most_checkpoints=2,
)


def test_verdicts_are_remembered_past_a_torn_line(tmp_path):
    path, runs = tmp_path / "verdicts.jsonl", []

    def run(code: str, tests: str, seconds: float) -> Outcome:
        runs.append(code)
        return run_tests(code, tests, seconds)

    first = remembered(run, path)("x = 1", "assert x == 1", 1.0)
    with path.open("a") as stream:
        stream.write('["torn')
    path.write_text(path.read_text() + "\n")
    assert remembered(run, path)("x = 1", "assert x == 1", 1.0) == first
    assert runs == ["x = 1"]


def test_pairs_are_stored_once(tmp_path):
    seen: list[Stage] = []
    config = PairConfig(per_task=1, trials=2)
    made = store_pairs(tmp_path, FEW, config)
    found = store_pairs(tmp_path, FEW, config, seen.append)
    assert found == made
    assert [stage.is_stored for stage in seen] == [True]
    assert not list((tmp_path / "checkpoints").iterdir())


def test_a_base_is_read_checkpoint_by_checkpoint_and_resumed(tiny_base_dir: Path, tmp_path: Path):
    pairs = StoredPairs("own", tmp_path, PairSet(tuple(few_pairs(5)), (), (), "own"), 5)
    load = lambda: load_base(str(tiny_base_dir))  # noqa: E731
    series = CheckpointSeries("tiny", (Checkpoint(1, 10, load), Checkpoint(2, None, load)))

    def stop(stage: Stage) -> None:
        if stage.name.endswith("step 2") and stage.done > 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        base_influence(series, pairs, tmp_path, CONFIG, stop)
    seen: list[Stage] = []
    found = base_influence(series, pairs, tmp_path, CONFIG, seen.append)
    assert seen[0].is_stored
    assert min(stage.done for stage in seen if stage.name.endswith("step 2") and not stage.is_stored) > 7 or (
        seen[-1].done == 1
    )
    assert [stage.step for stage in found.stages] == [1, 2]
    assert not list((tmp_path / "checkpoints").iterdir())
    found.write_matrices(tmp_path / "m.npz")
    assert json.loads(json.dumps(found.to_json()))["form"] == "pairs"


def test_an_authors_commits_are_read_along_the_training(opened: OpenedProfile):
    config = CONFIG.model_copy(update={"sequence_tokens": 128, "n_sequences": 64})
    before = opened.bench.routed.weights()
    found = author_influence(opened, ANN, config, lambda _: None)
    assert found.samples.form == "author"
    assert found.stages[0].step == 0
    assert len(found.stages) + len(found.facts["refused"]) == 2
    assert opened.bench.record is not None
    assert sum(item.startswith(f"{KIND}/") for item in opened.bench.record.artifacts) == 2
    assert all(torch.equal(b, before[site]) for site, b in opened.bench.routed.weights().items())


def test_shuffled_authors_stand_beside_an_authors_influence(opened: OpenedProfile, tmp_path: Path):
    config = CONFIG.model_copy(update={"sequence_tokens": 128, "n_sequences": 64})
    nulls = record_nulls(opened, 1, 3)
    found = author_influence(opened, ANN, config, lambda _: None, nulls)
    (null,) = found.nulls
    others = {name for name, group in zip(found.samples.names, found.samples.group, strict=True) if group}
    theirs = {name for name, group in zip(null.samples.names, null.samples.group, strict=True) if group}
    assert others == theirs and set(null.samples.names) != set(found.samples.names)
    shown = io.StringIO()
    for part in render_influence(found):
        Console(file=shown, width=220).print(part)
    assert "shuffled 1" in shown.getvalue()
    assert json.loads(json.dumps(found.to_json()))["shuffled_authors"][0]["series"] == "shuffled 1"
    plot_influence(found.stages, tmp_path / "x.svg", "ann", [null.stages])


def test_the_commands_say_what_they_did(routeprint: Command, tmp_path: Path, tiny_base_dir: Path):
    done = routeprint("develop", "influence", "ann", "--folder", str(tiny_base_dir))
    assert done.code == 2
    assert "give one" in done.err
    done = routeprint("develop", "influence", "--folder", str(tmp_path))
    assert done.code == 2
    assert "No checkpoint in" in done.err
    done = routeprint("develop", "mutants", "--mbpp", str(tmp_path / "none.jsonl"))
    assert done.code == 2
    assert "JSONL" in done.err
