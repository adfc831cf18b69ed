"""Which of several starts is kept."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fingerprint.vpd.components import VpdError
from fingerprint.vpd.config import VpdConfig
from fingerprint.vpd.restarts import best_of_starts
from fingerprint.vpd.toys import PlantedEdit
from fingerprint.vpd.train import Decomposition, decompose
from fingerprint.vpd.verdict import Verdict

CONFIG = VpdConfig.toy().model_copy(update={"n_components": 4, "steps": 4, "warmup_steps": 2, "seed": 7})


def test_the_start_whose_objective_ends_lowest_is_kept_among_the_valid():
    toy = PlantedEdit.plant((2.0,), d=8)
    found = decompose(toy.target, toy.data(32, 64), CONFIG)
    losses = {7: (9.0, 2.0), 8: (0.0, 3.0), 9: (9.0, 1.0), 10: (9.0, 0.5)}
    asked = []

    def at(config: VpdConfig) -> Decomposition:
        asked.append(config.seed)
        verdict = Verdict([] if config.seed < 10 else ["stopped"])
        return replace(found, config=config, losses=losses[config.seed], verdict=verdict)

    assert best_of_starts(at, CONFIG, 4).config.seed == 9
    assert asked == [7, 8, 9, 10]
    assert best_of_starts(at, CONFIG, 1).config.seed == 7
    invalid = CONFIG.model_copy(update={"seed": 10})
    assert best_of_starts(at, invalid, 1).config.seed == 10
    with pytest.raises(VpdError, match="at least 1 start, got 0"):
        best_of_starts(at, CONFIG, 0)


def test_the_objective_is_the_mean_of_the_last_twentieth():
    toy = PlantedEdit.plant((2.0,), d=8)
    found = decompose(toy.target, toy.data(32, 64), CONFIG)
    assert found.objective == found.losses[-1]
    assert replace(found, losses=(*[5.0] * 38, 1.0, 2.0)).objective == 1.5
