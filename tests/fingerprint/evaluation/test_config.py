from __future__ import annotations

import pytest

from fingerprint.evaluation.config import EvaluationConfig, departures


def test_another_test_share_keeps_the_proportions_before_the_cut() -> None:
    usual, other = EvaluationConfig().slices, EvaluationConfig().with_test_share(0.5).slices
    assert sum(other) == pytest.approx(1.0)
    assert other[3] == 0.5
    assert [share / other[0] for share in other[:3]] == pytest.approx(
        [share / usual[0] for share in usual[:3]]
    )


def test_an_adapter_seed_moves_the_training_and_not_what_is_judged() -> None:
    first, second = EvaluationConfig(), EvaluationConfig(adapter_seed=3)
    assert second.profile("starter", None).adapter.seed == 3
    assert first.seed == second.seed


def test_a_setting_departs_from_the_preset_nearest_to_it() -> None:
    fast = EvaluationConfig.fast()
    assert departures(EvaluationConfig().setting) == ("default", {})
    assert departures(fast.setting) == ("--fast", {})
    other = fast.model_copy(update={"drift_commits": 50, "skip": ("halves", "changes")})
    assert departures(other.setting) == ("--fast", {"drift_commits": 50, "skip": "halves, changes"})


def test_a_dial_that_an_older_result_lacks_is_left_out() -> None:
    older = {dial: value for dial, value in EvaluationConfig().setting.items() if dial != "adapter_seed"}
    assert departures(older | {"tokens": 5}) == ("default", {"tokens": 5})
