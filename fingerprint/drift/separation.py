"""Which rule turns the two statistics into one score: the one that best tells dev commits from foreign text.

Only dev and foreign text are looked at, so the calibration slice stays exchangeable with later commits and
the p-values keep their level whatever is chosen (routing.md section 3 lists the rule under dev).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.metrics import roc_auc_score

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
        auroc: by rule; empty when foreign text is lacking. error: standard error of an AUROC at chance,
            sqrt((n + m + 1) / (12 n m)) (Mann and Whitney 1947).
    """

    auroc: dict[Combination, float]
    error: float

    def choose(self, config: DriftConfig) -> Combination:
        """The configured rule; else the best one, if it beats the design's by more than two errors.

        Without foreign text: what every development repository chose.
        """
        if config.combination is not None:
            return config.combination
        if not self.auroc:
            return WITHOUT_FOREIGN_TEXT
        best = max(self.auroc, key=lambda rule: self.auroc[rule])
        return best if self.auroc[best] > self.auroc[DEFAULT] + 2 * self.error else DEFAULT


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
        return Separation({}, 0.0)
    parts = [normaliser.statistics(text) for text in texts]
    labels = np.repeat([0, 1], [len(dev.n_scored), len(parts)])
    found: dict[Combination, float] = {}
    for rule in RULES:
        theirs = np.concatenate([part.score(rule) for part in parts])
        found[rule] = float(roc_auc_score(labels, np.concatenate([dev.statistics.score(rule), theirs])))
    n, m = len(dev.n_scored), len(parts)
    return Separation(found, float(np.sqrt((n + m + 1) / (12 * n * m))))
