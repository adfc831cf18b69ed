from __future__ import annotations

import pytest
import torch

from fingerprint.vpd.adversary import PersistentSources, attack
from fingerprint.vpd.config import VpdConfig
from fingerprint.vpd.masks import draw_sources, step_generator
from fingerprint.vpd.objective import Objective
from fingerprint.vpd.toys import PlantedEdit
from fingerprint.vpd.train import start

BETAS = (0.5, 0.99)


def quadratic(sources: torch.Tensor) -> torch.Tensor:
    return (sources - 0.25).square().sum()


def test_an_ascent_goes_uphill_by_adams_step():
    """Adam's first step is the rate times the sign, whatever the gradient's size."""
    sources = PersistentSources(torch.tensor([[0.5, 0.1]]), BETAS)
    sources.ascend(torch.tensor([[1e-6, -30.0]]), 0.01)
    assert sources.values.tolist() == [pytest.approx([0.51, 0.09], abs=1e-5)]


def test_sources_stay_in_the_unit_interval():
    sources = PersistentSources(torch.rand(4, 6, generator=torch.Generator().manual_seed(0)), BETAS)
    before = float(quadratic(sources.values))
    sources.climb(quadratic, (4,), 200, 0.05)
    assert float(quadratic(sources.values)) > before
    assert set(sources.values.flatten().tolist()) <= {0.0, 1.0}


def test_a_smaller_batch_uses_the_leading_slots():
    sources = PersistentSources(torch.full((3, 4, 2), 0.5), BETAS)
    sources.climb(quadratic, (2, 3), 1, 0.1)
    moved = sources.values != 0.5
    assert bool(moved[:2, :3].all()) and not bool(moved[2].any()) and not bool(moved[:, 3].any())
    assert sources.leaf((2, 3)).shape == (2, 3, 2)


def test_a_leaf_is_a_copy():
    sources = PersistentSources(torch.full((1, 2), 0.5), BETAS)
    leaf = sources.leaf((1,))
    assert leaf.is_leaf and leaf.requires_grad
    with torch.no_grad():
        leaf += 1
    assert sources.values.tolist() == [[0.5, 0.5]]


def test_state_goes_on_exactly():
    def climb(sources: PersistentSources, n: int) -> None:
        sources.climb(lambda s: (s**3).sum(), (2,), n, 0.003)

    whole = PersistentSources(torch.full((2, 3), 0.4), BETAS)
    climb(whole, 6)
    first = PersistentSources(torch.full((2, 3), 0.4), BETAS)
    climb(first, 3)
    second = PersistentSources(torch.zeros(2, 3), BETAS)
    second.restore({name: value.clone() for name, value in first.state().items()})
    climb(second, 3)
    assert torch.equal(second.values, whole.values)
    assert second.n_ascents == 6


def test_a_fresh_attack_reaches_the_corner():
    found = attack(lambda s: s - 0.25, torch.tensor([0.2, 0.3]), 20, 0.1)
    assert found.tolist() == [0.0, 1.0]
    assert attack(lambda s: s, torch.tensor([0.2]), 0, 0.1).tolist() == [pytest.approx(0.2)]


def test_an_attack_that_stands_in_a_corner_asks_no_more():
    asked: list[torch.Tensor] = []

    def uphill(sources: torch.Tensor) -> torch.Tensor:
        asked.append(sources)
        return torch.tensor([1.0, -1.0])

    assert attack(uphill, torch.tensor([0.75, 0.1]), 80, 0.1).tolist() == [1.0, 0.0]
    assert len(asked) == 4  # three to the farther corner, and one that changes nothing


def test_the_adversary_raises_the_loss_of_a_frozen_decomposition():
    toy = PlantedEdit.plant((2.0, 2.0, 2.0))
    config = VpdConfig.toy().model_copy(update={"n_components": 8})
    components, gates = start(toy.target, config)
    objective = Objective(toy.target, components, gates, config)
    clean = objective.observe(toy.data(64).batch(0))
    lower = objective.gates(clean).lower.detach()
    generator = step_generator(toy.target.device, 0)
    sources = PersistentSources(draw_sources(components, (64,), generator), BETAS)

    def loss(s: torch.Tensor) -> torch.Tensor:
        return objective.adversarial(clean, lower, s)

    before = float(loss(sources.values).detach())
    sources.climb(loss, (64,), 20, 0.05)
    assert float(loss(sources.values).detach()) > 1.2 * before
    assert float(sources.values.min()) >= 0 and float(sources.values.max()) <= 1
