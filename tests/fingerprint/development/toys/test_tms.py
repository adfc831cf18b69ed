"""k-gons of the toy model of superposition: exact losses, Hessians, learning coefficients, SGD's plateaus."""

from __future__ import annotations

import pytest
import torch

from fingerprint.development.toys.tms import (
    KNOWN,
    SAMPLING,
    classify,
    expected_loss,
    k_gon,
    measure_k_gon,
    stationary_points,
    switch_size,
    train_tms,
)


def by_counting(W: torch.Tensor, b: torch.Tensor, n: int = 20_001) -> float:
    u = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    total = 0.0
    for i in range(6):
        x = torch.zeros(n, 6, dtype=torch.float64)
        x[:, i] = u
        total += float((x - (x @ W.T @ W + b).relu()).square().sum(1).mean()) / 6
    return total


@pytest.mark.parametrize("seed", range(4))
def test_the_exact_loss_is_the_sum_over_a_fine_grid(seed: int):
    generator = torch.Generator().manual_seed(seed)
    W, b = (torch.randn(shape, generator=generator, dtype=torch.float64) * 0.7 for shape in ((2, 6), (6,)))
    assert float(expected_loss(W, b)) == pytest.approx(by_counting(W, b), abs=2e-8)
    W[:, 2] = 0
    assert float(expected_loss(W, b)) == pytest.approx(by_counting(W, b), abs=2e-8)


def test_the_stationary_k_gons():
    found = {point.name: point for point in stationary_points()}
    assert {name: point.loss for name, point in found.items()} == pytest.approx(
        {name: loss for name, (loss, _) in KNOWN.items()}, abs=1e-6
    )
    assert {name: point.coefficient for name, point in found.items()} == {
        name: coefficient for name, (_, coefficient) in KNOWN.items()
    }
    assert all(point.gradient_norm < 1e-6 for point in found.values())
    assert float(found["5-gon"].W.norm(dim=0)[0]) == pytest.approx(1.1705, abs=1e-3)
    assert float(found["6-gon"].b[0]) == pytest.approx(-0.6181, abs=1e-3)


def test_the_posterior_turns_from_five_to_six_near_450_samples():
    points = {point.name: point for point in stationary_points()}
    assert switch_size(points["5-gon"], points["6-gon"]) == pytest.approx(450, rel=0.05)


def test_points_are_classified_by_their_columns():
    for point in stationary_points():
        turn = torch.tensor([[0.6, -0.8], [0.8, 0.6]], dtype=torch.float64)
        order = torch.randperm(6, generator=torch.Generator().manual_seed(1))
        assert classify((turn @ point.W)[:, order], point.b[order], point.loss)[0] == point.name
        assert classify(point.W * 1.2, point.b, float(expected_loss(point.W * 1.2, point.b)))[0] == ""
    W, b = k_gon(4, 1.0, 0.0, 0.0)
    assert classify(W, b, float(expected_loss(W, b))) == ("4-gon", 4)


@pytest.mark.slow
def test_the_learning_coefficients_in_order():
    found = {point.name: measure_k_gon(point) for point in stationary_points()}
    for name, (_, wanted) in KNOWN.items():
        assert found[name].value == pytest.approx(wanted, abs=0.4)
        assert not found[name].is_refused
    assert found["5-gon"].value + 2 * found["5-gon"].se < min(found["5-gon+"].value, found["6-gon"].value)


@pytest.mark.slow
def test_sgd_rests_on_plateaus_of_falling_loss():
    run = train_tms(0)
    assert len(run.plateaus) >= 2
    assert run.plateaus[0] == "2-gon" and run.plateaus[-1] in KNOWN
    assert run.losses[-1] == pytest.approx(KNOWN[run.plateaus[-1]][0], rel=0.02)


def test_a_short_run_samples_a_copy_as_one(monkeypatch: pytest.MonkeyPatch):
    cfg = SAMPLING.model_copy(update={"n_chains": 1, "n_draws": 30, "burn_in": 300, "steps_between": 2})
    point = stationary_points()[2]
    found = measure_k_gon(point, cfg, copies=8)
    assert found.n_params == 18 and len(found.by_chain) == 8
    assert 0 < found.value < 9
