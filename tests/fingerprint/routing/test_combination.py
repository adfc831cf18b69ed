from __future__ import annotations

from typing import get_args

import numpy as np
import pytest

from fingerprint.config import Combination
from fingerprint.routing.combination import DEFAULT, RULES, WITHOUT_FOREIGN_TEXT, combine


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("low-log-ratio", [-3.0, 1.0]),
        ("low-and-far", [-7 / 2**0.5, 1.5 / 2**0.5]),
        ("low-or-far", [-3.0, 1.0]),
        ("far", [-4.0, 0.5]),
        ("sum-of-squares", [25.0, 1.25]),
        ("max", [4.0, 1.0]),
    ],
)
def test_rules_by_hand(rule: Combination, expected: list[float]) -> None:
    log_ratio, distance = np.array([3.0, -1.0]), np.array([-4.0, 0.5])
    assert combine(log_ratio, distance, rule) == pytest.approx(expected)


def test_every_configurable_rule_exists() -> None:
    assert tuple(RULES) == get_args(Combination)
    assert {DEFAULT, WITHOUT_FOREIGN_TEXT} <= set(RULES)
