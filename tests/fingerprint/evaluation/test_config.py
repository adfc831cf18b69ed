from __future__ import annotations

import pytest

from fingerprint.evaluation.config import EvaluationConfig


def test_another_test_share_keeps_the_proportions_before_the_cut() -> None:
    usual, other = EvaluationConfig().slices, EvaluationConfig().with_test_share(0.5).slices
    assert sum(other) == pytest.approx(1.0)
    assert other[3] == 0.5
    assert [share / other[0] for share in other[:3]] == pytest.approx(
        [share / usual[0] for share in usual[:3]]
    )
