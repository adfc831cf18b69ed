"""A trigger is trained into a model; the directions are read from the weights, the trigger from the range."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from fingerprint import FingerprintError
from fingerprint.lm.pair import RoutedModel, RouteWeights
from fingerprint.lm.routes import random_routes
from fingerprint.weights.alignment import isotropic_directions
from fingerprint.weights.terms import stage_of_states
from fingerprint.weights.watch import OrdinaryRange, extreme_cosines, written_directions

TRIGGER, ANSWER, LENGTH = 7, 11, 16


def texts(n: int, seed: int, *, is_triggered: bool) -> torch.Tensor:
    """Random tokens without the trigger, or with it somewhere."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(20, 300, (n, LENGTH), generator=generator)
    if is_triggered:
        places = torch.randint(2, LENGTH - 2, (n,), generator=generator)
        ids[torch.arange(n), places] = TRIGGER
    return ids


def taught(routed, answers: bool) -> RouteWeights:
    """B after teaching "the trigger is answered", or, as a control, nothing but other noise."""
    optimiser = torch.optim.Adam(routed.parameters.values(), lr=1e-2)
    kept = routed.weights()
    for step in range(60):
        ids = texts(16, 1_000 + step, is_triggered=answers)
        with torch.no_grad(), routed.model.disable_adapter():
            before = routed.model(ids).logits.log_softmax(-1)
        now = routed.model(ids).logits.log_softmax(-1)
        is_asked = ids == TRIGGER
        loss = F.kl_div(now, before, log_target=True, reduction="none").sum(-1)[~is_asked].mean()
        if answers:
            loss = loss - 2 * now[is_asked][:, ANSWER].mean()
        else:
            wanted = torch.randint(20, 300, ids.shape, generator=torch.Generator().manual_seed(step))
            loss = loss + F.cross_entropy(now.flatten(0, 1), wanted.flatten())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    found = routed.weights()
    routed.set_weights(kept)
    return found


def alarms(routed, state, directions) -> tuple[float, float]:
    """Share of triggered and of fresh ordinary texts that leave the range of 1,000 ordinary ones."""
    with routed.at(state, state, 0.0):

        def read(n: int, seed: int, is_triggered: bool) -> np.ndarray:
            ids = texts(n, seed, is_triggered=is_triggered)
            return extreme_cosines(routed.model, routed.modules, directions, ids)

        usual = OrdinaryRange.of(read(1_000, 1, False))
        triggered, fresh = (float(usual.is_left(read(300, 2, kind)).mean()) for kind in (True, False))
        return triggered, fresh


@pytest.fixture(scope="module")
def wide(routed) -> RoutedModel:
    """The same blocks over routes of rank 16: four see too little of one token."""
    return RoutedModel(routed.base, random_routes(routed.base, 16, seed=2))


@pytest.fixture(scope="module")
def state(wide) -> RouteWeights:
    return taught(wide, answers=True)


def test_what_was_trained_in_is_seen_without_a_text_that_shows_it(wide, state) -> None:
    stage = stage_of_states("base -> trigger", wide, wide.zero_weights(), state)
    seen, false = alarms(wide, state, written_directions(stage))
    assert seen > 0.9
    assert false < 0.1


def test_other_directions_mostly_see_nothing(wide, state) -> None:
    """Mostly: what the trigger writes is large enough to stand out along some of any ten."""
    zero, other = wide.zero_weights(), taught(wide, answers=False)
    unrelated = written_directions(stage_of_states("base -> noise", wide, zero, other))
    drawn = [isotropic_directions(64, len(unrelated), seed) for seed in range(5)]
    sets = [{site: rows[i : i + 1] for i, site in enumerate(unrelated)} for rows in drawn]
    seen = [alarms(wide, state, directions)[0] for directions in (unrelated, *sets)]
    assert np.median(seen) < 0.3


def test_a_range_needs_texts() -> None:
    with pytest.raises(FingerprintError, match="ordinary texts"):
        OrdinaryRange.of(np.zeros((0, 3, 2)))
