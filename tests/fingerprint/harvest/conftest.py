"""A hand-made corpus of eight tokens and a source that fires by rule, so that every count is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest

from fingerprint.harvest.config import HarvestConfig
from fingerprint.harvest.firings import Firings
from fingerprint.harvest.tally import Tally

SINK, ON_THREE, BEFORE_FIVE, ALWAYS, NEVER = range(5)
"""Components: fires at position 0; on token 3; where token 5 comes next; on every token; on none."""
N_COMPONENTS, N_VOCABULARY = 5, 8
CONFIG = HarvestConfig(radius=2, n_examples=4, n_background=6, n_tokens=3, n_partners=2, least_count=1)


@dataclass(frozen=True, eq=False)
class HandMade:
    """A window of token ids; 0 is the fixed first token."""

    ids: np.ndarray
    scored: np.ndarray

    @classmethod
    def of(cls, *tokens: int, scored: Sequence[bool] | None = None) -> HandMade:
        ids = np.array([0, *tokens], np.int32)
        marks = np.array([False, *(scored or [True] * len(tokens))])
        return cls(ids, marks)


def fire(windows: Sequence[HandMade]) -> Firings:
    """The rules above; strength is one half, or for ALWAYS one."""
    entries: list[tuple[int, int, int, float]] = []
    for row, window in enumerate(windows):
        entries.append((row, 0, SINK, 2.0))
        for column in range(1, len(window.ids)):
            entries.append((row, column, ALWAYS, 1.0))
            if window.ids[column] == 3:
                entries.append((row, column, ON_THREE, 0.5))
            if column + 1 < len(window.ids) and window.ids[column + 1] == 5:
                entries.append((row, column, BEFORE_FIVE, 0.5))
    row, column, component = (np.array([e[i] for e in entries]) for i in range(3))
    return Firings(row, column, component, np.array([e[3] for e in entries], np.float32))


def tallied(batches: Sequence[Sequence[HandMade]], config: HarvestConfig = CONFIG) -> Tally:
    tally = Tally(N_COMPONENTS, N_VOCABULARY, config)
    for batch in batches:
        tally.add(batch, fire(batch))
    return tally


@pytest.fixture
def corpus() -> list[HandMade]:
    """Eleven counted tokens: 3 1 5 | 3 5 (the last not counted) | 2 3 1 5 | 1 3 3."""
    return [
        HandMade.of(3, 1, 5),
        HandMade.of(3, 5, scored=[True, False]),
        HandMade.of(2, 3, 1, 5),
        HandMade.of(1, 3, 3),
    ]
