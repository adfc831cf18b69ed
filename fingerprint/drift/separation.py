"""Which rule turns the two statistics into one score: the one that best tells dev commits from foreign text.

Only dev and foreign text are looked at, so the calibration slice stays exchangeable with later commits and
the p-values keep their level whatever is chosen (routing.md section 3 lists the rule under dev).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from fingerprint.config import Combination, DriftConfig
from fingerprint.drift.power import draw_text
from fingerprint.routing.combination import DEFAULT, RULES, WITHOUT_FOREIGN_TEXT
from fingerprint.routing.extract import Measures
from fingerprint.routing.team import DevCommits, Normaliser

LEAST_DRAWS = 8
"""Fewer foreign texts rank no rule."""


@dataclass(frozen=True, slots=True)
class Separation:
    """How well each rule tells foreign texts from dev commits.

    Attributes:
        auroc: by rule; empty when foreign text is lacking.
        error: by rule, standard error of its AUROC minus the default rule's on the same texts.
    """

    auroc: dict[Combination, float]
    error: dict[Combination, float]

    def choose(self, config: DriftConfig) -> Combination:
        """The configured rule; else the best one, if it beats the design's by more than two errors.

        Without foreign text: what every development repository chose.
        """
        if config.combination is not None:
            return config.combination
        if not self.auroc:
            return WITHOUT_FOREIGN_TEXT
        best = max(self.auroc, key=lambda rule: self.auroc[rule])
        return best if self.auroc[best] > self.auroc[DEFAULT] + 2 * self.error[best] else DEFAULT


def measure_separation(
    dev: DevCommits, foreign: Measures, normaliser: Normaliser, seed: int = 0
) -> Separation:
    """AUROC of every rule for foreign texts of the dev commits' sizes.

    Args:
        foreign: one text per passage, in languages the team writes.
    """
    rng = np.random.default_rng(seed)
    drawn = [draw_text(foreign, size, rng) for size in dev.n_scored] if len(foreign) else []
    texts = [foreign.take(text).total() for text in drawn if text is not None]
    if len(texts) < LEAST_DRAWS:
        return Separation({}, {})
    parts = [normaliser.statistics(text) for text in texts]
    placed: dict[Combination, _Placements] = {
        rule: _placements(dev.statistics.score(rule), np.concatenate([part.score(rule) for part in parts]))
        for rule in RULES
    }
    auroc: dict[Combination, float] = {}
    error: dict[Combination, float] = {}
    for rule, found in placed.items():
        auroc[rule] = float(found.of_foreign.mean())
        error[rule] = _difference_error(found, placed[DEFAULT])
    return Separation(auroc, error)


class _Placements(NamedTuple):
    """Of a foreign text the share of dev commits below it; of a dev commit that of foreign texts above."""

    of_foreign: Float[np.ndarray, " m"]
    of_dev: Float[np.ndarray, " n"]


def _placements(own: Float[np.ndarray, " n"], foreign: Float[np.ndarray, " m"]) -> _Placements:
    above = (foreign[:, None] > own) + 0.5 * (foreign[:, None] == own)
    return _Placements(above.mean(axis=1), above.mean(axis=0))


def _difference_error(one: _Placements, other: _Placements) -> float:
    """Standard error of the difference of two AUROCs over the same texts (DeLong et al. 1988)."""
    return float(np.sqrt(sum(np.var(a - b, ddof=1) / len(a) for a, b in zip(one, other, strict=True))))
