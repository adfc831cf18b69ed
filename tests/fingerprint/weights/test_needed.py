"""Three weak singular terms carry all that a planted model does; its thirteen strong ones carry nothing."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fingerprint.weights.needed import GateConfig, answers_of, divergence_with, find_needed, strongest

D, WEAK = 16, 3


@pytest.fixture(scope="module")
def planted() -> tuple[nn.Sequential, torch.Tensor]:
    """(model, inputs): inputs excite only the last three right singular vectors of the first matrix."""
    generator = torch.Generator().manual_seed(0)

    def orthogonal() -> torch.Tensor:
        return torch.linalg.qr(torch.randn(D, D, generator=generator))[0]

    left, right = orthogonal(), orthogonal()
    strengths = torch.cat([torch.linspace(8, 4, D - WEAK), torch.linspace(2, 1, WEAK)])
    first, last = nn.Linear(D, D, bias=False), nn.Linear(D, 5, bias=False)
    model = nn.Sequential(first, nn.Tanh(), last)
    with torch.no_grad():
        first.weight.copy_((left * strengths) @ right.T)
        last.weight.copy_(2 * torch.randn(5, D, generator=generator))
    inputs = torch.randn(200, WEAK, generator=generator) @ right[:, -WEAK:].T
    return model, inputs


def test_a_behaviour_needs_the_weak_directions_that_its_inputs_use(planted) -> None:
    model, inputs = planted
    before = model[0].weight.detach().clone()
    answer = answers_of(model, lambda logits: logits, inputs)
    matrices = {"0.weight": model[0].weight.detach()}
    found = find_needed(answer, matrices)
    assert found.kept["0.weight"].tolist() == [False] * (D - WEAK) + [True] * WEAK
    assert found.n_kept == WEAK
    assert found.divergence < 1e-6
    assert divergence_with(answer, matrices, strongest(found.kept)) > 0.3
    assert torch.equal(model[0].weight, before)


def test_other_inputs_need_other_directions_of_the_same_matrix(planted) -> None:
    model, _ = planted
    inputs = torch.randn(200, D, generator=torch.Generator().manual_seed(1)) * 0.3
    matrices = {"0.weight": model[0].weight.detach()}
    answer = answers_of(model, lambda logits: logits, inputs)
    found = find_needed(answer, matrices, GateConfig(price=0.01))
    assert found.kept["0.weight"][: D - WEAK].all()
    assert found.gates["0.weight"][-1] < found.gates["0.weight"][: D - WEAK].min()
