"""How the two standardised statistics of a text become one nonconformity score: the rules.

Each takes the log-ratio (below zero: the team's adapter helps less than on the team's own code) and the
distance of phi (above zero: farther from the team's mean than usual), both [n], and gives a score [n] that
grows with drift. routing.md section 4 reads both on both sides; measured on real history that spends the
alarm rate on commits that are *more* like the team than usual; the one-sided rules do not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args

import numpy as np
from jaxtyping import Float

from fingerprint.config import Combination

Scores = Float[np.ndarray, " n"]

RULES: dict[Combination, Callable[[Scores, Scores], Scores]] = {
    "low-log-ratio": lambda log_ratio, _: -log_ratio,
    "low-and-far": lambda log_ratio, distance: (distance - log_ratio) / np.sqrt(2),
    "low-or-far": lambda log_ratio, distance: np.maximum(-log_ratio, distance),
    "far": lambda _, distance: distance,
    "sum-of-squares": lambda log_ratio, distance: log_ratio**2 + distance**2,
    "max": lambda log_ratio, distance: np.maximum(np.abs(log_ratio), np.abs(distance)),
}
DEFAULT: Combination = "sum-of-squares"
"""The design's rule, which another must beat clearly on dev."""
WITHOUT_FOREIGN_TEXT: Combination = "low-log-ratio"
"""What to take where there is nothing to choose by: the rule of every development repository (README.md)."""
assert tuple(RULES) == get_args(Combination)


def combine(log_ratio: Scores, distance: Scores, combination: Combination) -> Scores:
    """One nonconformity score from two standardised statistics; larger is farther from the team."""
    return RULES[combination](log_ratio, distance)
