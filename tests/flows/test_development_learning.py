"""Learning coefficients along a folder of bases and a recorded training: measured, killed, found, shown."""

from __future__ import annotations

import io
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file, save_file

from fingerprint.development.checkpoints import folder_series
from fingerprint.development.config import SamplerConfig
from fingerprint.development.plots import plot_learning_coefficients
from service.cli.develop_tables import render_learning
from service.flows.bench import Stage
from service.flows.development.learning import Learned, LearningPlan, measure_adapter, measure_base
from service.flows.development.record import Recording, record_author, record_nulls
from service.flows.opened import OpenedProfile
from service.settings import Settings
from tests.flows.conftest import Command

BOB = "human:bob-some"
SAMPLER = SamplerConfig(n_chains=2, n_draws=10, burn_in=2, gradient_batches=4, curvature_rounds=3)
PLAN = LearningPlan(SAMPLER, (100.0,), 3, 4, 32, 2)


@pytest.fixture(scope="module")
def bases(tiny_base_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny base at three steps: its norms' weights grow."""
    folder = tmp_path_factory.mktemp("bases")
    for step in (0, 1, 9):
        place = folder / f"step-{step:04}"
        shutil.copytree(tiny_base_dir, place)
        weights = load_file(place / "model.safetensors")
        weights["model.norm.weight"] += step / 9
        save_file(weights, place / "model.safetensors", metadata={"format": "pt"})
    return folder


def settings_in(place: Path) -> Settings:
    return Settings(home=place, processes=1)


def test_a_folder_of_bases_is_measured_once_and_resumes(bases: Path, tmp_path: Path):
    def stop(stage: Stage) -> None:
        if stage.done > 1.5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure_base(folder_series(bases), settings_in(tmp_path), PLAN, stop)
    seen: list[Stage] = []
    found = measure_base(folder_series(bases), settings_in(tmp_path), PLAN, seen.append)
    assert min(stage.done for stage in seen[:-1]) > 1
    assert [point.step for point in found.points] == [0, 1, 9]
    assert all(point.found and point.text == "standard library" for point in found.points)
    assert len({point.found.loss for point in found.points if point.found}) == 3
    seen.clear()
    assert measure_base(folder_series(bases), settings_in(tmp_path), PLAN, seen.append).points == found.points
    assert [stage.is_stored for stage in seen] == [True]
    other = measure_base(
        folder_series(bases), settings_in(tmp_path), replace(PLAN, n_checkpoints=2), lambda _: None
    )
    assert [point.step for point in other.points] == [0, 9] and other.digest != found.digest


@pytest.fixture(scope="module")
def recording(opened: OpenedProfile) -> Recording:
    return record_author(opened, BOB, 3)


def measured(opened: OpenedProfile, recording: Recording, plan: LearningPlan) -> Learned:
    return measure_adapter(opened, recording, plan)


def test_a_recorded_training_is_measured_on_the_authors_text(opened: OpenedProfile, recording: Recording):
    found = measured(opened, recording, PLAN)
    assert [p.step for p in found.points] == recording.facts["kept"]
    assert {p.text for p in found.points} == {"author"}
    n_params = sum(b.numel() for b in opened.bench.routed.parameters.values())
    assert [p.found.n_params if p.found else None for p in found.points] == [n_params] * len(found.points)
    assert all(torch.count_nonzero(b) == 0 for b in opened.bench.routed.parameters.values())
    assert f"learning-coefficients/{found.digest}" in opened.bench.record.artifacts  # type: ignore[union-attr]


def test_parts_are_measured_on_the_author_and_the_team(opened: OpenedProfile, recording: Recording):
    plan = replace(PLAN, split="block", n_checkpoints=2)
    found = measured(opened, recording, plan)
    assert {(p.part, p.text) for p in found.points} == {
        (part, text) for part in ("block 0", "block 1") for text in ("author", "team")
    }


def test_shuffled_authors_stand_beside_each_on_what_it_was_trained_on(
    opened: OpenedProfile, recording: Recording, tmp_path: Path
):
    nulls = record_nulls(opened, 1, 3)
    found = measure_adapter(opened, recording, replace(PLAN, n_checkpoints=2), nulls)
    assert [len(null) for null in found.nulls] == [len(found.points)] == [2]
    (null,) = found.nulls
    assert null[0].found and found.points[0].found
    assert null[0].found.loss != found.points[0].found.loss  # another text, at the same base
    shown = io.StringIO()
    for part in render_learning(found.points, found.nulls):
        Console(file=shown, width=220).print(part)
    assert f"{null[1].found.value:.2f} ±" in shown.getvalue() if null[1].found else True
    assert "nothing is clipped" not in shown.getvalue() and "dealt at random" in shown.getvalue()
    plot_learning_coefficients(found.points, tmp_path / "llc.svg", "bob", found.nulls)
    assert "shuffled" in (tmp_path / "llc.svg").read_text()


def test_the_command_shows_a_table_a_plot_and_json(
    routeprint: Command, bases: Path, recording: Recording, small_repository: Path, tmp_path: Path
):
    options = [
        "--checkpoints",
        "base",
        "--folder",
        str(bases),
        "--most",
        "2",
        "--draws",
        "10",
        "--gamma",
        "50",
        "--between",
        "1",
    ]
    plot = tmp_path / "llc.svg"
    done = routeprint("develop", "llc", *options, "--windows", "3", "--plot", str(plot))
    assert done.code == 0, done.err
    assert "local learning coefficients" in done.out and "Above d/2" in done.out
    assert plot.read_text().rstrip().endswith("</svg>")
    machine = routeprint("develop", "llc", *options, "--windows", "3", "--format", "json")
    points = json.loads(machine.out)["points"]
    assert [point["step"] for point in points] == [0, 9] and points[0]["found"]["gamma"] == 50
    refused = routeprint("develop", "llc", "--checkpoints", "base")
    assert refused.code == 2 and "--folder" in refused.err
    nobody = routeprint("develop", "llc", "zoe", "--repo", str(small_repository))
    assert nobody.code == 2 and "zoe" in nobody.err
