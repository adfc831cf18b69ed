"""Runs in one plane: a planted bend between two references, stored and found again."""

from __future__ import annotations

import numpy as np
import pytest

from fingerprint.development.plots import plot_transient
from fingerprint.development.trajectory import Trajectory
from fingerprint.development.transient_report import Coefficient, ProbedRun, report_transient

RIDGE, OWN = np.zeros(60), np.concatenate([np.ones(30), np.zeros(30)])
START = np.concatenate([np.zeros(30), np.full(30, 3.0)])


def planted(is_bent: bool, seed: int = 0) -> ProbedRun:
    """From START to RIDGE and on to OWN (bent), or straight to OWN; the loss is the distance to RIDGE."""
    shares = np.linspace(0, 1, 11)[:, None]
    first = [(1 - s) * START + s * RIDGE for s in shares[:-1]] if is_bent else []
    second = [(1 - s) * (RIDGE if is_bent else START) + s * OWN for s in shares]
    outputs = np.stack([*first, *second])
    rng = np.random.default_rng(seed)
    losses = (
        (outputs**2).mean(1)[:, None]
        + rng.standard_normal(40)
        + 0.01 * rng.standard_normal((len(outputs), 40))
    )
    steps = tuple(range(len(outputs)))
    some = [None, Coefficient(value=3.0, error=0.2, flags=("still drifting",)), *[None] * (len(steps) - 2)]
    return ProbedRun(
        Trajectory("bent" if is_bent else "straight", steps, outputs),
        losses,
        {"ridge": RIDGE, "own": OWN},
        some,
    )


def test_the_bent_run_is_transient_and_passes_its_reference_the_straight_one_is_not():
    report = report_transient([planted(True), planted(False)], n_nulls=49)
    bent, straight = report.runs
    assert bent.is_transient and bent.step == 10 == bent.nearest("ridge") and bent.nearest("own") == 20
    assert bent.rise == pytest.approx(0.5, abs=0.05)
    assert min(bent.distances["ridge"]) == 0 and straight.distances["own"][-1] == 0
    assert not straight.is_transient or straight.rise < bent.rise
    assert sum(report.explained[:2]) == pytest.approx(1)
    assert {null.kind for null in report.nulls} == {"brownian", "flipped"}
    brownian = next(null for null in report.nulls if null.kind == "brownian")
    assert brownian.p_value < 0.05 and sum(brownian.explained[:2]) < 0.9
    np.testing.assert_allclose(bent.coordinates[10], bent.references["ridge"], atol=1e-9)


def test_a_run_is_stored_and_found_again(tmp_path):
    run = planted(True)
    run.save(tmp_path)
    again = ProbedRun.load(tmp_path)
    assert again.trajectory.steps == run.trajectory.steps and again.coefficients == run.coefficients
    np.testing.assert_array_equal(again.losses, run.losses)
    np.testing.assert_array_equal(again.references["own"], OWN)


def test_the_runs_are_drawn(tmp_path):
    pytest.importorskip("matplotlib", reason="needs the extra plots")
    plot_transient(report_transient([planted(True)], n_nulls=9), tmp_path / "runs.svg")
    assert "t_crit" in (tmp_path / "runs.svg").read_text()
