from __future__ import annotations

import math
from dataclasses import replace

import pytest

from fingerprint.vpd.verdict import Watch, judge, note_of, reason_to_stop

GOOD = Watch(500, delta_off=1e-6, zero=1e-2, stochastic=1e-5, adversarial=2e-5, open_share=0.1)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, None),
        ({"open_share": 0.995}, "above one half"),
        ({"delta_off": 9.5e-3}, "as no components"),
        ({"adversarial": math.nan}, "not finite"),
        ({"delta_off": 0.0, "zero": 0.0}, None),
    ],
)
def test_rules_that_stop_a_run(changes, reason):
    found = reason_to_stop(replace(GOOD, **changes), 1000)
    assert (reason or "None") in str(found)


def test_collapses_count_from_a_fifth_of_the_steps_on():
    early = replace(GOOD, step=199, open_share=1.0, delta_off=1e-2)
    assert reason_to_stop(early, 1000) is None
    assert reason_to_stop(replace(early, step=200), 1000) is not None
    assert "not finite" in str(reason_to_stop(replace(early, zero=math.inf), 1000))


@pytest.mark.parametrize(
    ("delta_off", "zero", "is_valid"),
    [
        (1e-6, 1e-2, True),
        (4.9e-3, 1e-2, True),
        (5.1e-3, 1e-2, False),
        (1.0, 0.0, False),
        (0.0, 0.0, True),
        (math.nan, 1.0, False),
    ],
)
def test_the_guard_asks_that_components_alone_are_nearer_to_the_target_than_nothing(
    delta_off, zero, is_valid
):
    verdict = judge(delta_off, zero, [], None)
    assert verdict.is_valid is is_valid
    assert str(verdict).startswith("VALID" if is_valid else "INVALID")


def test_a_stopped_run_is_invalid_whatever_the_guard_says():
    assert judge(0.0, 1.0, [], "it was stopped").reasons == ["it was stopped"]


def test_growing_adversaries_are_noted_and_do_not_invalidate():
    history = [replace(GOOD, stochastic=1e-4), GOOD, replace(GOOD, stochastic=1e-6, adversarial=1e-3)]
    assert "raise n_ascents" in str(note_of(history))
    assert judge(0.0, 1.0, history, None).is_valid
    assert note_of([GOOD, GOOD, GOOD]) is None
    assert note_of(history[1:]) is None
