"""The reference experiment: quick, that all of it runs; slow, what few and endless tasks lead to."""

from __future__ import annotations

import numpy as np
import pytest

from fingerprint.development.config import SamplerConfig
from fingerprint.development.in_context_regression import RegressionConfig
from fingerprint.development.regression_runs import DMMSE, RIDGE, probe_regression
from fingerprint.development.transient_report import report_transient


def test_a_short_run_is_probed_with_its_references_and_coefficients():
    config = RegressionConfig(steps=12, checkpoints=4, width=8, batch=8, probe=16)
    sampler = SamplerConfig(
        n_beta=10, gamma=10, n_chains=1, n_draws=4, burn_in=1, gradient_batches=1, curvature_rounds=1
    )
    told = []
    run = probe_regression(3, config, sampler=sampler, n_coefficients=2, progress=lambda *at: told.append(at))
    assert run.trajectory.outputs.shape == (len(run.trajectory.steps), 16 * 8)
    assert set(run.references) == {RIDGE, DMMSE} and run.losses.shape == (len(run.trajectory.steps), 16)
    assert [one is not None for one in run.coefficients] == [
        True,
        *[False] * (len(run.coefficients) - 2),
        True,
    ]
    assert told[-1] == ("M = 3", 12, 12)
    endless = probe_regression(None, config)
    assert set(endless.references) == {RIDGE} and not endless.coefficients
    np.testing.assert_array_equal(endless.references[RIDGE], run.references[RIDGE])  # one probe for all runs
    np.testing.assert_array_equal(endless.trajectory.outputs[0], run.trajectory.outputs[0])


@pytest.mark.slow
def test_few_tasks_lead_to_dmmse_and_endless_ones_to_ridge():
    config = RegressionConfig()
    report = report_transient([probe_regression(6, config), probe_regression(None, config)])
    few, endless = report.runs
    assert few.distances[DMMSE][-1] < 0.7 * few.distances[RIDGE][-1]
    assert few.nearest(DMMSE) >= config.steps // 4
    assert endless.distances[RIDGE][-1] < 0.6 * endless.distances[RIDGE][0]
    assert endless.distances[RIDGE][-1] < few.distances[RIDGE][-1]
