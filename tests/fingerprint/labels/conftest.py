"""Planted token detectors over random text: what each component fires on is known."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fingerprint.harvest.config import HarvestConfig
from fingerprint.harvest.firings import Firings
from fingerprint.harvest.store import Harvest, save_harvest
from fingerprint.harvest.tally import Tally
from fingerprint.provenance import Provenance
from tests.fingerprint.harvest.conftest import HandMade

N_INPUT, N_OUTPUT, N_NOISE = 8, 4, 4
"""Components that fire on token 1 + c; where token 20 + c comes next; on a tenth of tokens at random."""
N_COMPONENTS, N_VOCABULARY = N_INPUT + N_OUTPUT + N_NOISE, 40
CONFIG = HarvestConfig(radius=3, n_examples=12, n_background=300)


def planted(directory: Path, seed: int, n_windows: int = 120) -> Harvest:
    """A harvest of random text."""
    rng = np.random.default_rng(seed)
    windows = [HandMade.of(*rng.integers(1, N_VOCABULARY, 30)) for _ in range(n_windows)]
    tally = Tally(N_COMPONENTS, N_VOCABULARY, CONFIG)
    entries: list[tuple[int, int, int]] = []
    for row, window in enumerate(windows):
        for column in range(1, 31):
            token = int(window.ids[column])
            following = int(window.ids[column + 1]) if column < 30 else -1
            entries += [(row, column, token - 1)] if token <= N_INPUT else []
            entries += [(row, column, N_INPUT + following - 20)] if 20 <= following < 20 + N_OUTPUT else []
            noise = N_COMPONENTS - N_NOISE + np.flatnonzero(rng.random(N_NOISE) < 0.1)
            entries += [(row, column, int(c)) for c in noise]
    row, column, component = (np.array([e[i] for e in entries]) for i in range(3))
    tally.add(windows, Firings(row, column, component, np.ones(len(entries), np.float32)))
    save_harvest(
        tally,
        directory,
        key="planted",
        groups=[("planted", N_COMPONENTS)],
        provenance=Provenance("hand", "0" * 64, "", str(seed), "", seed),
        token_text=lambda token: f"w{token}",
    )
    return Harvest.open(directory)


@pytest.fixture
def make_planted(tmp_path: Path) -> Callable[[int], Harvest]:
    return lambda seed: planted(tmp_path / f"harvest-{seed}", seed)
