"""A label that comes into one layer at a known step, along a series made by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import expit

from fingerprint.development.probe_config import ProbeConfig
from fingerprint.development.timeline import LOSS, MEANS, Point, measure_weights, report_timeline
from fingerprint.development.units import UnitReadings
from fingerprint.weights.terms import SingularTerms, Stage

N, D = 120, 6
STEPS = [0, *(2**i for i in range(9))]
CONFIG = ProbeConfig(n_folds=3, n_draws=60, n_shuffles=6)


def point(step: int) -> Point:
    """Block 1 carries the label from about step 16 on; block 0 never does, nor does the loss."""
    rng = np.random.default_rng(0)
    labels = np.arange(N) % 2 == 0
    activations = rng.standard_normal((N, 2, D))
    strength = 3.0 * expit((np.log2(max(step, 0.1)) - 4) / 0.25)
    activations[:, 1, 3] += strength * labels
    groups = tuple(f"commit {i // 4} {i % 2}" for i in range(N))
    return Point(step, UnitReadings(activations, {}, rng.standard_normal(N), np.ones(N), labels, groups), {})


@pytest.fixture(scope="module")
def report():
    return report_timeline("a label", "by hand", [point(step) for step in STEPS], CONFIG)


def test_the_reading_appears_where_and_when_it_was_put(report) -> None:
    rows = {(row.method, row.layer): row for row in report.emergence}
    planted = rows[MEANS, 1]
    assert planted.model == "logistic" and planted.is_above_null
    assert planted.t50 is not None and 8 <= planted.t50 <= 24
    assert planted.width is not None and planted.width >= 1.0 and not planted.is_sharp
    assert planted.first_above in {8, 16}
    for key in ((MEANS, 0), (LOSS, -1)):
        assert rows[key].model == "constant" and not rows[key].is_above_null and rows[key].first_above is None


def test_every_point_has_its_interval_and_null(report) -> None:
    assert report.steps == tuple(STEPS)
    curve = report.curve(MEANS, 1)
    assert [p.step for p in curve] == STEPS
    assert all(p.low <= p.auroc <= p.high and 0.4 < p.null_high < 0.75 for p in curve)
    assert curve[-1].auroc > 0.95 and curve[0].auroc < 0.7


def test_few_checkpoints_give_curves_and_no_emergence() -> None:
    found = report_timeline("a label", "by hand", [point(step) for step in (0, 1, 256)], CONFIG)
    assert found.emergence == () and len(found.curve(MEANS, 1)) == 3


def test_json_there_and_back(report) -> None:
    assert type(report).model_validate(report.model_dump(mode="json")) == report


def test_weights_turn_towards_the_final_ones() -> None:
    generator = torch.Generator().manual_seed(0)
    wanted, noise = (torch.randn(12, 9, generator=generator, dtype=torch.float64) for _ in "12")
    wanted = torch.outer(wanted[:, 0], wanted[0])
    matrices = {1: 0.2 * noise, 4: 0.5 * wanted + 0.2 * noise, 16: wanted}
    so_far = {s: Stage("", {"a.0.b": SingularTerms.of(m)}, {"a.0.b": 2.0}) for s, m in matrices.items()}
    ahead = {
        s: Stage("", {"a.0.b": SingularTerms.of(wanted - m)}, {"a.0.b": 2.0}) for s, m in matrices.items()
    }
    first, middle, last = measure_weights(so_far, ahead)
    assert first.cosine_to_final < middle.cosine_to_final < last.cosine_to_final == pytest.approx(1.0)
    assert last.distance_to_final == pytest.approx(0.0) and middle.distance_to_final < first.distance_to_final
    assert last.effective_rank == pytest.approx(1.0) and first.effective_rank > 3
    assert last.relative == pytest.approx(float(wanted.norm()) / 2)
