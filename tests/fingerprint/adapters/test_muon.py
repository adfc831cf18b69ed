"""Muon over many matrices at once: torch's own is the oracle."""

import pytest
import torch

from fingerprint.adapters.muon import MOMENTUM, muon_updates

SHAPES = [torch.Size(shape) for shape in ((24, 8), (40, 8), (24, 8), (6, 10))]


def flat(matrices):
    return torch.cat([matrix.flatten() for matrix in matrices])


def test_steps_are_those_of_torch_for_every_training_at_once():
    generator = torch.Generator().manual_seed(0)
    n, rate = 3, 0.01
    own = torch.zeros(n, sum(shape.numel() for shape in SHAPES))
    momenta = torch.zeros_like(own)
    theirs = [[torch.nn.Parameter(torch.zeros(shape)) for shape in SHAPES] for _ in range(n)]
    options = {"lr": rate, "weight_decay": 0.0, "momentum": MOMENTUM, "adjust_lr_fn": "match_rms_adamw"}
    optimisers = [torch.optim.Muon(matrices, **options) for matrices in theirs]
    for _ in range(6):
        gradients = torch.randn(own.shape, generator=generator)
        own -= rate * muon_updates(gradients, momenta, SHAPES)
        for row, matrices, optimiser in zip(gradients, theirs, optimisers, strict=True):
            parts = row.split([shape.numel() for shape in SHAPES])
            for matrix, part in zip(matrices, parts, strict=True):
                matrix.grad = part.view_as(matrix)
            optimiser.step()
    expected = torch.stack([flat(matrices) for matrices in theirs]).detach()
    # torch iterates in bf16, of eight bits, and the quintic does not forget what it was given
    assert (own - expected).norm() < 0.05 * expected.norm()
    assert torch.nn.functional.cosine_similarity(own, expected).min() > 0.999


def test_a_step_has_about_one_size_in_every_direction_whatever_the_gradients_scale():
    generator = torch.Generator().manual_seed(1)
    gradient = torch.randn(24, 8, generator=generator) * torch.logspace(0, -1.5, 8)
    small, large = (
        muon_updates(scale * gradient.flatten()[None], torch.zeros(1, 192), SHAPES[:1])
        for scale in (1e-3, 1e3)
    )
    values = torch.linalg.svdvals(large.view(24, 8)) / (0.2 * 24**0.5)
    assert values.min() > 0.6 and values.max() < 1.3
    assert torch.linalg.svdvals(gradient).max() > 20 * torch.linalg.svdvals(gradient).min()
    torch.testing.assert_close(small, large)


def test_nothing_moves_without_a_gradient():
    assert not muon_updates(torch.zeros(2, 192), torch.zeros(2, 192), SHAPES[:1]).any()


def test_matrices_of_another_size_are_refused():
    with pytest.raises(RuntimeError):
        muon_updates(torch.zeros(1, 100), torch.zeros(1, 100), SHAPES[:1])
