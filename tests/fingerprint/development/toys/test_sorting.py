"""Sorting: metrics on planted circuits, circuits that predict the model, and a training."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fingerprint.development.config import SamplerConfig
from fingerprint.development.toys.sorting import (
    SortingModel,
    SortingPlan,
    SortingTask,
    embeddings,
    examine,
    head_regions,
    ov_circuits,
    qk_circuits,
    train_sorting,
)

V = 24


def diagonal(values: np.ndarray) -> np.ndarray:
    return np.diag(values) - values[:, None] / len(values)


def test_lists_are_sorted_and_their_gaps_are_what_was_asked():
    generator = torch.Generator().manual_seed(0)
    for gap, wanted in ((None, 65 / 11), (2.0, 2.0), (4.0, 4.0)):
        lists = SortingTask(64, 10, gap).draw(2_000, generator)
        assert torch.equal(lists[:, 11:], lists[:, :10].sort(1).values)
        assert (lists[:, 10] == 64).all() and lists.max() == 64
        gaps = lists[:, 12:] - lists[:, 11:-1]
        assert int(gaps.min()) >= 1
        assert float(gaps.float().mean()) == pytest.approx(wanted, rel=0.06)


def test_planted_vocabulary_splitting_is_found():
    numbers = np.arange(V)
    low, high = np.where(numbers < 9, 2.0, -0.5), np.where(numbers >= 9, 1.5, -0.5)
    found = head_regions(np.stack([diagonal(low), diagonal(high)]), np.zeros((2, V, V)) + np.eye(V))
    assert found.sizes == (9, 15) and found.switches == 1 and found.overlap == 0
    assert found.is_split and found.suppressing == ()


def test_planted_overlap_is_no_splitting():
    both = np.stack([diagonal(np.full(V, 2.0)), diagonal(np.full(V, 1.8))])
    found = head_regions(both, np.stack([np.eye(V), -np.eye(V)]))
    assert found.overlap == 1 and found.sizes == (V, 0) and not found.is_split


def test_planted_copy_suppression_needs_the_same_gaze():
    rng = np.random.default_rng(0)
    copy = 2 + rng.random(V)
    ov = np.stack([diagonal(3 - copy * 2), diagonal(copy)])
    gaze = rng.normal(size=(V, V))
    assert head_regions(ov, np.stack([gaze, gaze + 0.1])).suppressing == ((1, 0),)
    assert head_regions(ov, np.stack([gaze, rng.normal(size=(V, V))])).suppressing == ()


def planted_model() -> SortingModel:
    """Head 0 reads numbers below 9 and writes their own logit; head 1 does nothing."""
    model = SortingModel(SortingTask(V, 4), d=64, n_heads=2)
    with torch.no_grad():
        model.W_E.zero_()
        model.W_P.zero_()
        model.W_E[:V, :V] = torch.eye(V)
        for W in (model.W_V, model.W_O, model.W_U):
            W.zero_()
        model.W_V[0, :9, :9] = torch.eye(9)
        model.W_O[0, :9, 32 : 32 + 9] = torch.eye(9)
        model.W_U[32 : 32 + 9, :9] = torch.eye(9)
    return model


def test_the_circuits_of_planted_weights():
    model = planted_model()
    ov, qk = ov_circuits(model), qk_circuits(model)
    assert ov.shape == qk.shape == (2, V, V)
    found = head_regions(ov, qk)
    assert found.sizes[0] == 9 and found.sizes[1] == 0 and set(found.owners[:9]) == {0}
    assert np.abs(ov.mean(-1)).max() < 1e-5
    E = embeddings(model)
    scores = E @ model.W_Q[1] @ model.W_K[1].T @ E.T / 32**0.5
    np.testing.assert_allclose(qk[1], scores.detach().numpy(), atol=1e-5)


def test_ablating_a_head_changes_what_it_alone_does():
    model = planted_model()
    lists = SortingTask(V, 4).draw(64, torch.Generator().manual_seed(0))
    assert torch.equal(model(lists, without=1), model(lists))
    assert not torch.allclose(model(lists, without=0), model(lists))
    assert model.accuracy(lists)[1] < model.accuracy(lists, without=0)[1] + 1e-6


def test_a_short_training_learns_and_is_examined():
    plan = SortingPlan(SortingTask(8, 3), d=16, steps=60, batch=64, n_kept=3)
    series = train_sorting(plan)
    sampler = SamplerConfig(n_chains=2, n_draws=10, burn_in=5, gradient_batches=4)
    stages = examine(series, plan, sampler)
    assert [stage.step for stage in stages] == list(series.steps) == [0, 1, 60]
    assert stages[-1].loss < stages[0].loss - 0.3
    assert all(stage.coefficient and len(stage.without) == 2 for stage in stages)
    again = examine(train_sorting(plan), plan, None)
    assert [stage.loss for stage in again] == [stage.loss for stage in stages]


@pytest.mark.slow
def test_a_trained_model_sorts():
    plan = SortingPlan.small()
    last = examine(train_sorting(plan), plan, None)[-1]
    assert last.accuracy > 0.95
    assert min(accuracy for accuracy, _ in last.without) < last.accuracy - 0.3
