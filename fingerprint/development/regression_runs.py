"""The in-context regression experiment: runs of several task diversities, probed on fresh tasks."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from fingerprint.development.config import SamplerConfig
from fingerprint.development.in_context_regression import (
    InContextTransformer,
    RegressionConfig,
    RegressionRun,
    dmmse_tasks,
    draw_sequences,
    draw_tasks,
    outputs_of,
    predict,
    ridge_tasks,
    train_in_context,
)
from fingerprint.development.llc import learning_coefficient
from fingerprint.development.sampling import sample
from fingerprint.development.trajectory import Trajectory
from fingerprint.development.transient_report import Coefficient, ProbedRun

RIDGE, DMMSE = "ridge", "dMMSE"
EVALUATED = 512
"""Sequences that a learning coefficient's mean loss is read on."""


def probe_regression(
    diversity: int | None,
    config: RegressionConfig,
    *,
    sampler: SamplerConfig | None = None,
    n_coefficients: int = 6,
    progress: Callable[[str, int, int], None] = lambda _name, _done, _total: None,
) -> ProbedRun:
    """Train on M tasks and read every checkpoint on sequences of fresh ones.

    Args:
        diversity: M; None: a fresh task in every sequence. sampler: with one, learning coefficients are
            measured at ``n_coefficients`` checkpoints, on the run's own training distribution.
        progress: told the name of the run, steps done and in all.
    """
    name = "M = ∞" if diversity is None else f"M = {diversity}"
    tasks = None
    if diversity is not None:
        tasks = draw_tasks(diversity, config.dimension, torch.Generator().manual_seed(config.seed + 5))
    run = train_in_context(tasks, config, lambda step, _loss: progress(name, step, config.steps))
    x, y = draw_sequences(None, config.probe, config, torch.Generator().manual_seed(config.seed + 99))
    outputs = outputs_of(run, config, x, y)
    references = {RIDGE: predict(x, ridge_tasks(x, y, config.noise))}
    if tasks is not None:
        references[DMMSE] = predict(x, dmmse_tasks(x, y, tasks, config.noise))
    losses = (outputs - y).square().mean(-1).double().numpy()
    return ProbedRun(
        Trajectory(name, run.steps, outputs.flatten(1).double().numpy()),
        losses,
        {key: values.flatten().double().numpy() for key, values in references.items()},
        [] if sampler is None else _coefficients(run, config, sampler, n_coefficients),
    )


def _coefficients(
    run: RegressionRun, config: RegressionConfig, sampler: SamplerConfig, n_most: int
) -> Sequence[Coefficient | None]:
    chosen = set(np.linspace(0, len(run.steps) - 1, min(n_most, len(run.steps))).round().astype(int).tolist())
    return [
        _coefficient(run, number, config, sampler) if number in chosen else None
        for number in range(len(run.steps))
    ]


def _coefficient(
    run: RegressionRun, number: int, config: RegressionConfig, sampler: SamplerConfig
) -> Coefficient:
    """lambda-hat of one checkpoint, with all parameters free, on the distribution it was trained on."""
    model = InContextTransformer(config).eval()
    model.load_state_dict(run.states[number])
    fixed = draw_sequences(run.tasks, EVALUATED, config, torch.Generator().manual_seed(config.seed + 7))

    def loss(generator: torch.Generator) -> Float[Tensor, ""]:
        rows = torch.randint(EVALUATED, (config.batch,), generator=generator)
        return F.mse_loss(model(fixed[0][rows], fixed[1][rows]), fixed[1][rows])

    observe = lambda: {"loss": F.mse_loss(model(*fixed), fixed[1])}  # noqa: E731 - read once a draw
    params = dict(model.named_parameters())
    star = {name: values.detach().clone() for name, values in params.items()}
    found = learning_coefficient(sample(params, star, loss, observe, sampler, label=str(run.steps[number])))
    return Coefficient(value=found.value, error=found.se, flags=found.flags)
