"""A disguise takes the mean away and leaves rare latents: the sparse probe sees it, the dense one not."""

from __future__ import annotations

import numpy as np
import pytest

from fingerprint.development.evasion import NGRAMS, Form, report_evasion
from fingerprint.development.evasion_report import PLAIN
from fingerprint.development.probe_config import ProbeConfig
from fingerprint.development.units import UnitReadings

N, D, M = 160, 24, 60
CONFIG = ProbeConfig(n_folds=3, n_draws=50, n_shuffles=2)


def form(seed: int, shift: float, sparse: float, words: tuple[str, str]) -> Form:
    """Two layers, a mean shift in the second; six latents carry ``sparse``, each on half of the texts."""
    rng = np.random.default_rng(seed)
    labels = np.arange(N) % 2 == 0
    activations = rng.standard_normal((N, 2, D))
    activations[:, 1, 0] += shift * labels
    latents = np.maximum(rng.standard_normal((N, M)), 0)
    latents[:, :6] += sparse * labels[:, None] * (rng.random((N, 6)) < 0.5)
    groups = tuple(f"piece {i // 2}" for i in range(N))
    readings = UnitReadings(activations, {1: latents}, np.zeros(N), np.ones(N), labels, groups)
    texts = [f"{words[int(label)]} = {i % 7} + value\n" * 3 for i, label in enumerate(labels)]
    return Form(readings, {"routing drift": labels + rng.standard_normal(N)}, texts)


@pytest.fixture(scope="module")
def report():
    forms = {
        PLAIN: form(0, 3.0, 3.0, ("rows", "theRows")),
        "disguised": form(1, 0.0, 3.0, ("rows", "rows")),
        "gone": form(2, 0.0, 0.0, ("rows", "rows")),
    }
    return report_evasion("agent", "team", forms, CONFIG)


def test_everything_sees_plain_code(report) -> None:
    for detector in ("dense mean difference", "sparse probe", NGRAMS):
        assert report.cell(PLAIN, detector, "plain").auroc > 0.9


def test_the_sparse_probe_outlives_the_mean(report) -> None:
    for regime in ("plain", "disguised"):
        sparse, dense = (
            report.cell("disguised", d, regime) for d in ("sparse probe", "dense mean difference")
        )
        assert sparse.low > 0.7 and dense.low < 0.55 and sparse.low > dense.auroc
    assert report.cell("disguised", NGRAMS, "disguised").auroc < 0.6


def test_nothing_is_seen_where_nothing_is(report) -> None:
    cells = [cell for cell in report.cells if cell.disguise == "gone" and cell.trained_on != "team only"]
    assert all(cell.auroc < 0.65 and cell.low < 0.5 for cell in cells)


def test_scores_of_the_team_alone_are_only_ranked(report) -> None:
    assert report.cell("gone", "routing drift", "team only").auroc > 0.65
    assert report.cell("gone", "routing drift", "plain") is None


def test_survival_counts_latents_and_the_mean(report) -> None:
    plain, disguised, gone = report.survival
    assert plain.dense == 1.0 and disguised.dense < 0.5
    assert plain.n_kept >= 6 and disguised.n_kept >= 5 and gone.n_kept <= 2 and plain.n_best == 10


def test_json_there_and_back(report) -> None:
    assert type(report).model_validate(report.model_dump(mode="json")) == report
