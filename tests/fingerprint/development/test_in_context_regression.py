"""The ideal predictors against what they must be, and the transformer's causality."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fingerprint.development.in_context_regression import (
    InContextTransformer,
    RegressionConfig,
    checkpoint_steps,
    dmmse_tasks,
    draw_sequences,
    draw_tasks,
    outputs_of,
    predict,
    ridge_tasks,
    train_in_context,
)
from fingerprint.development.trajectory import Trajectory, fit_trajectory_pca
from fingerprint.development.transient import find_minimum

CONFIG = RegressionConfig(dimension=3, length=6, width=16, batch=16, steps=24, checkpoints=5, probe=64)


def sequences(n: int = 64, tasks=None, noise: float = 0.25, seed: int = 0):
    config = CONFIG.model_copy(update={"noise": noise})
    x, y = draw_sequences(tasks, n, config, torch.Generator().manual_seed(seed))
    return x.double(), y.double()


def test_ridge_recovers_the_task_without_noise_from_as_many_pairs_as_dimensions():
    task = draw_tasks(1, 3, torch.Generator().manual_seed(1))
    x, y = sequences(8, task, noise=1e-12)
    found = ridge_tasks(x, y, 1e-12)
    assert (found[:, 3:] - task.double()).abs().max() < 1e-3
    assert found[:, 0].abs().max() == 0


def test_ridge_is_the_bayes_mean_by_monte_carlo():
    """dMMSE over very many tasks drawn from the prior is a Monte Carlo average over it."""
    x, y = sequences(16)
    many = draw_tasks(200_000, 3, torch.Generator().manual_seed(2), torch.float64)
    by_draws = dmmse_tasks(x[:, :2], y[:, :2], many, 0.25)
    torch.testing.assert_close(by_draws, ridge_tasks(x[:, :2], y[:, :2], 0.25), atol=0.05, rtol=0)


def test_dmmse_of_one_task_is_the_task_and_of_two_by_hand():
    x, y = sequences(4)
    one = draw_tasks(1, 3, torch.Generator().manual_seed(3), torch.float64)
    torch.testing.assert_close(dmmse_tasks(x, y, one, 0.25), one.expand(4, 7, 3))
    two = torch.cat([one, -one])
    errors = [((y[:, 0] - sign * x[:, 0] @ one[0]) ** 2) / 0.5 for sign in (1, -1)]
    share = torch.sigmoid(errors[1] - errors[0])
    expected = share[:, None] * one - (1 - share)[:, None] * one
    torch.testing.assert_close(dmmse_tasks(x, y, two, 0.25)[:, 1], expected)


def test_a_path_between_the_predictors_is_straight_and_ridge_end_is_best_out_of_distribution():
    tasks = draw_tasks(4, 3, torch.Generator().manual_seed(4), torch.float64)
    x, y = sequences(400)
    ridge, dmmse = predict(x, ridge_tasks(x, y, 0.25)), predict(x, dmmse_tasks(x, y, tasks, 0.25))
    shares = torch.linspace(0, 1, 11, dtype=torch.float64)[:, None, None]
    path = (1 - shares) * ridge + shares * dmmse
    run = Trajectory("path", tuple(range(11)), path.flatten(1).numpy())
    pca = fit_trajectory_pca([run])
    assert pca.explained[0] == pytest.approx(1.0)
    losses = ((path - y) ** 2).mean(-1).numpy()
    reading = find_minimum(run.steps, losses, n_draws=200)
    assert reading.step == reading.low == reading.high == 0
    assert reading.is_transient and reading.rise.value == pytest.approx(losses[-1].mean() - losses[0].mean())


def test_predictions_do_not_see_their_own_answer_or_later_pairs():
    model = InContextTransformer(CONFIG)
    x, y = draw_sequences(None, 2, CONFIG, torch.Generator().manual_seed(5))
    changed = y.clone()
    changed[:, 3:] += 10
    first, second = model(x, y), model(x, changed)
    torch.testing.assert_close(first[:, :4], second[:, :4])
    assert (first[:, 4:] - second[:, 4:]).abs().min() > 0


def test_training_keeps_its_checkpoints_and_repeats_itself():
    tasks = draw_tasks(2, 3, torch.Generator().manual_seed(6))
    first, second = (train_in_context(tasks, CONFIG) for _ in range(2))
    assert first.steps == checkpoint_steps(24, 5) and first.steps[0] == 0 and first.steps[-1] == 24
    x, y = draw_sequences(None, 8, CONFIG, torch.Generator().manual_seed(7))
    outputs = outputs_of(first, CONFIG, x, y)
    torch.testing.assert_close(outputs, outputs_of(second, CONFIG, x, y), rtol=0, atol=0)
    assert (outputs[0] - outputs[-1]).abs().max() > 0.01
    assert np.isfinite(first.losses[1:]).all()
