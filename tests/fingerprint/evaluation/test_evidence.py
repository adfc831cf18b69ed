"""Evidence of simulated scores whose likelihood ratios are known."""

from __future__ import annotations

import numpy as np
import pytest

from fingerprint.evaluation.evidence import Texts, judge_evidence

K, STRENGTH = 4, 1.5


def texts(n: int, seed: int, strength: float = STRENGTH) -> Texts:
    """Unit-normal scores, the true author's higher by ``strength``."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, K, n)
    scores = rng.normal(size=(n, K))
    scores[np.arange(n), labels] += strength
    return Texts(scores, labels, [f"c{i // 2}" for i in range(n)])


def test_scores_of_one_kind_are_calibrated_on_later_texts() -> None:
    found = judge_evidence("normal", "hunk", texts(2000, 0), texts(2000, 1), n_draws=20)
    assert found.n == 2000
    assert found.confidence is not None and found.accuracy is not None
    assert found.confidence == pytest.approx(found.accuracy, abs=0.03)
    assert found.calibration_error is not None and found.calibration_error < 0.06
    assert found.cllr is not None and found.min_cllr is not None
    assert found.min_cllr <= found.cllr < found.min_cllr + 0.03
    # a centred true claim stands strength * (1 - 1/K) above its row, a false one strength / K below
    assert found.auroc.value == pytest.approx(0.88, abs=0.03)


def test_overconfident_evidence_is_told() -> None:
    found = judge_evidence("fades", "commit", texts(2000, 0, 3.0), texts(2000, 1, 0.5), n_draws=5)
    assert found.confidence is not None and found.accuracy is not None
    assert found.confidence > found.accuracy + 0.2
    assert found.cllr is not None and found.min_cllr is not None
    assert found.cllr > found.min_cllr + 0.2


def test_chance_is_no_evidence() -> None:
    found = judge_evidence("chance", "hunk", texts(1000, 0, 0.0), texts(1000, 1, 0.0), n_draws=20)
    assert found.auroc.value == pytest.approx(0.5, abs=0.04)
    assert found.cllr == pytest.approx(1.0, abs=0.02)
    assert found.accuracy == pytest.approx(1 / K, abs=0.05)
