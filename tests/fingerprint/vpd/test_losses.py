from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import distributed, multiprocessing, nn

from fingerprint.vpd.components import Components, Edit, Site
from fingerprint.vpd.losses import (
    anneal,
    faithfulness_loss,
    frequency_loss,
    importance_loss,
    kl_divergence,
    l_p,
    smooth_l0,
    squared_error,
)
from fingerprint.vpd.workers import average_gradients, mean_over_workers

GATES = torch.tensor([[0.0, 0.5], [1.0, 0.5]])


def test_smooth_l0_on_hand_numbers():
    # .25 / (.25 + .25) = .5, 1 / (1 + .25) = .8
    assert smooth_l0(GATES, 0.5).tolist() == [[0.0, 0.5], [0.800000011920929, 0.5]]
    # (0 + .5 + .8 + .5) / 2 positions
    assert float(importance_loss(smooth_l0(GATES, 0.5))) == pytest.approx(0.9)


def test_l_p_on_hand_numbers():
    # 0 + .5^2 + 1 + .5^2 = 1.5, over 2 positions
    assert float(importance_loss(l_p(GATES, 2.0))) == pytest.approx(0.75)
    # the constant inside keeps the gradient at 0 finite
    leaf = torch.zeros(1, requires_grad=True)
    l_p(leaf, 0.4).sum().backward()
    assert leaf.grad is not None and bool(leaf.grad.isfinite().all())


def test_gradients_of_smooth_l0_are_bounded():
    leaf = torch.linspace(0, 1, 1001, requires_grad=True)
    smooth_l0(leaf, 0.01).sum().backward()
    # the largest slope of x^2 / (x^2 + c^2) is 3 sqrt(3) / (8 c)
    assert leaf.grad is not None and float(leaf.grad.max()) <= 3 * math.sqrt(3) / 8 / 0.01 + 1e-3


def test_frequency_on_hand_numbers():
    # a' = 6: .5 log2(1 + 3) + 1 log2(1 + 6)
    assert float(frequency_loss(torch.tensor([0.5, 1.0]), 6.0)) == pytest.approx(1 + math.log2(7))
    assert float(frequency_loss(torch.zeros(3), 6.0)) == 0


def test_losses_do_not_know_the_batch_size():
    """The same gates twice are the same loss: what the paper's count over the batch would not give."""
    penalties = smooth_l0(torch.rand(64, 5, generator=torch.Generator().manual_seed(0)), 0.1)
    twice = penalties.repeat(2, 1)
    assert float(importance_loss(penalties)) == pytest.approx(float(importance_loss(twice)))
    once, again = (float(frequency_loss(p.mean(0), 100.0)) for p in (penalties, twice))
    assert once == pytest.approx(again)


def test_pooling_the_halves_of_a_batch_gives_the_loss_of_the_whole():
    rare = torch.rand(64, 5, generator=torch.Generator().manual_seed(0)) - 0.9
    penalties = smooth_l0(rare.clamp(min=0), 0.1)
    first, second = penalties.split(32)
    pooled = (first.mean(0) + second.mean(0)) / 2
    assert float(frequency_loss(pooled, 100.0)) == pytest.approx(
        float(frequency_loss(penalties.mean(0), 100.0))
    )
    apart = (frequency_loss(first.mean(0), 100.0) + frequency_loss(second.mean(0), 100.0)) / 2
    assert float(apart) != pytest.approx(float(frequency_loss(pooled, 100.0)), rel=1e-2)


def test_two_workers_have_the_loss_and_gradient_of_one(tmp_path: Path):
    whole = _logits()
    loss = _sparsity(whole)
    loss.backward()
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_work, args=(rank, tmp_path)) for rank in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0]
    for rank in range(2):
        found = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        assert float(found["loss"]) == pytest.approx(float(loss.detach()), rel=1e-6)
        assert whole.grad is not None and torch.allclose(found["gradient"], whole.grad, atol=1e-7)


def _logits() -> nn.Parameter:
    return nn.Parameter(torch.linspace(-1, 1, 6))


def _sparsity(bias: nn.Parameter, rows: slice = slice(0, 8)) -> torch.Tensor:
    """Frequency of gates that share a parameter over all positions."""
    z = torch.rand(8, 6, generator=torch.Generator().manual_seed(0))[rows] + bias
    return frequency_loss(mean_over_workers(smooth_l0(z.clamp(min=0), 0.3).mean(0)), 50.0)


def _work(rank: int, directory: Path) -> None:
    distributed.init_process_group(
        "gloo", init_method=f"file://{directory / 'meet'}", rank=rank, world_size=2
    )
    bias = _logits()
    loss = _sparsity(bias, slice(4 * rank, 4 * rank + 4))
    loss.backward()
    average_gradients([bias])
    torch.save({"loss": loss.detach(), "gradient": bias.grad}, directory / f"{rank}.pt")
    distributed.destroy_process_group()


def components_of(matrix: torch.Tensor, V: torch.Tensor, U: torch.Tensor) -> Components:
    host = nn.Linear(matrix.shape[1], matrix.shape[0], bias=False).requires_grad_(False)
    host.weight.copy_(matrix)
    return Components({"a": Site(host)}, {"a": V}, {"a": U})


def test_faithfulness_on_hand_numbers():
    # M = [[2, 0], [0, 1]], one component removes the 2: |Delta|^2 = 1 of |M|^2 = 5, 4 entries
    found = components_of(
        torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.tensor([[2.0], [0.0]]), torch.tensor([[1.0, 0.0]])
    )
    assert float(faithfulness_loss(found, relative=True).detach()) == pytest.approx(0.2)
    assert float(faithfulness_loss(found, relative=False).detach()) == pytest.approx(0.25)


def test_faithfulness_of_a_zero_edit_is_finite():
    host = nn.Linear(2, 2, bias=False)
    site = Site(host, Edit(torch.zeros(2, 1), torch.ones(1, 2)))
    found = Components({"a": site}, {"a": torch.ones(2, 1)}, {"a": torch.ones(1, 2)})
    assert float(faithfulness_loss(found, relative=True).detach()) == pytest.approx(4.0)


def test_kl_is_from_the_target_and_in_fp32():
    target = torch.tensor([[0.0, math.log(3.0)]]).bfloat16().float()
    flat = torch.zeros(1, 2)
    # KL((1/4, 3/4) || (1/2, 1/2)) = .25 ln .5 + .75 ln 1.5
    assert float(kl_divergence(target, flat)) == pytest.approx(
        0.25 * math.log(0.5) + 0.75 * math.log(1.5), abs=1e-3
    )
    assert kl_divergence(target.bfloat16(), flat.bfloat16()).dtype == torch.float32
    assert float(kl_divergence(target, target)) == 0


def test_squared_error_is_a_mean_over_outputs():
    assert squared_error(torch.zeros(1, 2), torch.tensor([[1.0, 3.0]])).tolist() == [5.0]


def test_annealing_ends_early_and_holds():
    values = [anneal((1.0, 0.0), step, 11, 0.5) for step in range(11)]
    assert values[0] == 1
    assert values[2] == pytest.approx(0.6)
    assert values[5:] == [0.0] * 6
    assert anneal((2.0, 0.4), 10, 11) == pytest.approx(0.4)
