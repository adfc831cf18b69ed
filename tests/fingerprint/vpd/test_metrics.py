from __future__ import annotations

import math

import pytest
import torch

from fingerprint.vpd.config import VpdConfig
from fingerprint.vpd.gates import leaky_lower
from fingerprint.vpd.metrics import Examiner, Metrics, SiteMetrics, density_histogram
from fingerprint.vpd.toys import PlantedEdit
from fingerprint.vpd.train import start

CONFIG = VpdConfig.toy().model_copy(update={"n_components": 4, "pgd_steps": (0, 5, 20)})


@pytest.fixture(scope="module")
def toy() -> PlantedEdit:
    return PlantedEdit.plant((2.0, 2.0), d=8)


@pytest.fixture(scope="module")
def examiner(toy) -> Examiner:
    components, gates = start(toy.target, CONFIG)
    return Examiner(toy.target, components, gates, CONFIG, toy.data(16, 64).held_out)


@pytest.fixture(scope="module")
def metrics(examiner) -> Metrics:
    return examiner.measure()


def test_distances_are_those_of_masked_runs(toy, examiner, metrics):
    x = toy.data(16, 64).held_out[0]
    host, D = toy.target.sites["layer"].linear, toy.target.sites["layer"].matrix
    clean = (host(x) + x @ D.T).relu()
    product = examiner.components.product("layer").detach()
    for kind, kept in (("delta off", product), ("zero", 0 * product)):
        expected = float((clean - (host(x) + x @ kept.T).relu()).square().mean())
        assert metrics.distance[kind] == pytest.approx(expected, rel=1e-4)
    assert metrics.task_loss["target"] == pytest.approx(0, abs=1e-10)  # its label is the edited layer itself


def test_alive_l0_and_density_are_those_of_the_gates(toy, examiner, metrics):
    gates = examiner.counted_gates()
    site = metrics.sites["layer"]
    assert site.n_alive == int((gates.mean(0) > 1e-6).sum())
    assert site.l0[1] == pytest.approx(float((gates > 0.1).sum(1).float().mean()))
    assert sorted(site.order) == [0, 1, 2, 3]
    assert list(site.mean_gates) == sorted(site.mean_gates, reverse=True)
    assert site.density[0] == pytest.approx(float((gates[:, site.order[0]] > 0.1).float().mean()))


def test_more_attack_does_not_help_the_decomposition(metrics):
    assert metrics.attack[0] < metrics.attack[5] <= 1.001 * metrics.attack[20]


def test_metrics_repeat_exactly(examiner, metrics):
    assert examiner.measure() == metrics


def test_batches_may_be_cut_differently(toy, examiner, metrics):
    """Means over positions, not over batches."""
    (whole,) = toy.data(16, 64).held_out
    components, gates = start(toy.target, CONFIG)
    parts = Examiner(toy.target, components, gates, CONFIG, whole.split([40, 24]))
    for kind in ("delta off", "gates", "zero", "rounded >0.5"):
        assert parts.measure().distance[kind] == pytest.approx(metrics.distance[kind], rel=1e-5)


def test_recovered_and_unrecovered_on_hand_numbers():
    distance, task = {"gates": 0.1, "zero": 0.4}, {"target": 2.0, "gates": 2.1, "zero": 2.4}
    found = Metrics(1, distance, task, {20: 0.6}, {})
    assert found.recovered() == pytest.approx(0.75)
    assert found.unrecovered("gates") == pytest.approx(0.25)
    assert found.recovered_under_attack(20) == pytest.approx(-0.5)
    nothing = Metrics(1, {"gates": 0.0, "zero": 0.0}, dict.fromkeys(task, 2.0), {20: 0.0}, {})
    assert math.isnan(nothing.recovered()) and math.isnan(nothing.unrecovered("gates"))


def test_densities_are_counted_by_decade():
    site = SiteMetrics(4, 3, (0.0, 0.0, 0.0), (0.0,) * 4, (0, 1, 2, 3), (1.0, 0.05, 0.02, 0.0), 0.0)
    counts, edges = density_histogram(site)
    assert counts.tolist() == [1, 0, 0, 0, 2, 1]
    assert edges[0] == pytest.approx(1e-6) and edges[-1] == 1


def test_gates_are_those_of_the_network(toy, examiner):
    gates = start(toy.target, CONFIG)[1]
    x = toy.data(16, 64).held_out[0]
    assert torch.allclose(examiner.counted_gates(), leaky_lower(gates({"layer": x})))
