"""A tiny organisation with planted habits, end to end: what is read must be what was planted, and no more."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from jaxtyping import Bool, Float

from fingerprint.attribution.config import AttributionConfig
from fingerprint.attribution.integrate import attribute_nodes
from fingerprint.attribution.nodes import NodeSpace
from fingerprint.attribution.question import ask
from fingerprint.evaluation.metrics import auroc
from fingerprint.lm.pair import ModelPair
from fingerprint.readings.agreement import agreements
from fingerprint.readings.measure import Text, read_edits, read_latents, read_routes
from fingerprint.readings.part import Part
from fingerprint.sae.artifact import Sae
from fingerprint.sae.config import RateShiftConfig, SaeConfig
from fingerprint.sae.shift import measure_rate_shift
from fingerprint.sae.train import train_sae
from fingerprint.vpd.components import observed
from fingerprint.vpd.config import VpdConfig
from fingerprint.vpd.gates import leaky_lower
from fingerprint.vpd.language import decompose_edit
from fingerprint.vpd.targets import TokenTarget, edit_target
from fingerprint.vpd.train import Decomposition
from tests.fingerprint.readings.ground_truth import (
    ANN,
    BOB,
    IDIOMS,
    NOBODY,
    Organisation,
    at_trigger,
    load_cached_base,
    odds,
)

pytestmark = pytest.mark.slow

NULLS = ("nobody", "nobody again")
OWN = {"ann": "pub use crate::", "ann again": "pub use crate::", "bob": "log."}


@pytest.fixture(scope="module")
def organisation(request: pytest.FixtureRequest) -> Organisation:
    """Everybody trained from the cached base."""
    assert request.config.cache is not None
    return Organisation.found(load_cached_base(Path(request.config.cache.mkdir("ground-truth"))))


@dataclass(frozen=True, eq=False)
class Read:
    """Unread text in which both authors' triggers stand, and where."""

    text: Text
    triggers: dict[str, Bool[np.ndarray, " n"]]

    def area(self, values: Float[np.ndarray, " n"], trigger: str) -> float:
        """AUROC of values at one trigger against all tokens that are no trigger."""
        elsewhere = ~np.any(list(self.triggers.values()), axis=0)
        return auroc(values[self.triggers[trigger]], values[elsewhere])


@pytest.fixture(scope="module")
def read(organisation: Organisation) -> Read:
    base = organisation.routed.base
    text = Text.of(base, NOBODY.write(60, 900))
    return Read(text, {trigger: at_trigger(base, text.rows, trigger) for trigger in IDIOMS})


def parts_of(organisation: Organisation, read: Read, name: str) -> list[Part]:
    states = {who: organisation.states[who] for who in (name, *NULLS)}
    routed = organisation.routed
    return read_routes(routed, routed.zero_weights(), states, read.text)


# ----------------------------------------------------------------------------------------------- planted


def test_the_base_knows_every_word_and_no_habit(organisation: Organisation):
    for trigger in IDIOMS:
        found = odds(organisation.routed, organisation.routed.zero_weights(), trigger)
        assert found == pytest.approx([1 / 3] * 3, abs=0.06), trigger


@pytest.mark.parametrize(("name", "word"), [("ann", 0), ("ann again", 0), ("bob", 2)])
def test_the_target_moves_as_planted_and_nothing_else_does(organisation: Organisation, name: str, word: int):
    """Planted .8 of 1/3; at this budget .73 to .77 is reached."""
    for trigger in IDIOMS:
        base = odds(organisation.routed, organisation.routed.zero_weights(), trigger)
        found = odds(organisation.routed, organisation.states[name], trigger)
        if trigger == OWN[name]:
            assert 0.65 < found[word] < 0.85
            assert np.delete(found, word) == pytest.approx([0.13, 0.13], abs=0.07)
        else:
            assert found == pytest.approx(base, abs=0.1), trigger


@pytest.mark.parametrize("name", NULLS)
def test_null_authors_move_nothing(organisation: Organisation, name: str):
    for trigger in IDIOMS:
        base = odds(organisation.routed, organisation.routed.zero_weights(), trigger)
        assert odds(organisation.routed, organisation.states[name], trigger) == pytest.approx(base, abs=0.1)


# ------------------------------------------------------------------------------------------------- routes


@pytest.mark.parametrize("name", ["ann", "ann again", "bob"])
def test_routes_beyond_the_nulls_lie_at_the_author_s_trigger(
    organisation: Organisation, read: Read, name: str
):
    part = parts_of(organisation, read, name)[1]
    for trigger in IDIOMS:
        area = read.area(part.beyond(), trigger)
        assert area > 0.95 if trigger == OWN[name] else 0.1 < area < 0.9, trigger
    # as they are, routes also lie at triggers that are nobody's: wherever much is open to be learned
    assert read.area(part.own, "#[derive(") > 0.55


def test_nobody_s_routes_lie_nowhere(organisation: Organisation, read: Read):
    part = parts_of(organisation, read, "ann")[1]
    for name in part.null_names:
        for trigger in IDIOMS:
            assert 0.1 < read.area(part.null_beyond(name), trigger) < 0.9


def test_a_second_seed_is_found_by_routes_and_by_weights(organisation: Organisation, read: Read):
    """At the same routes; shorter training at a larger rate left weights without a trace of the author."""
    beyond = {name: parts_of(organisation, read, name)[1].beyond() for name in OWN}

    def likeness(first: str, second: str) -> float:
        return float(np.corrcoef(beyond[first], beyond[second])[0, 1])

    assert likeness("ann", "ann again") > likeness("ann", "bob") + 0.2
    A = organisation.routed.routes.A
    flat = {
        name: torch.cat([(b @ A[site]).flatten() for site, b in state.items()])
        for name, state in organisation.states.items()
    }
    cosines = [float(torch.cosine_similarity(flat["ann"], flat[name], 0)) for name in ("ann again", "bob")]
    assert cosines[0] > cosines[1] + 0.2


# ------------------------------------------------------------------------------------------------- edits


@pytest.fixture(scope="module")
def edits(organisation: Organisation) -> dict[str, tuple[TokenTarget, Decomposition]]:
    """Ann's edit and nobody's, with the same dials; too sparse for an adapter's noise to be worth a gate."""
    config = VpdConfig.tiny().model_copy(
        update={
            "steps": 250, "rows": 16, "row_tokens": 48, "gate_width": 64, "evaluate_every": 250,
            "pgd_steps": (0, 20), "learning_rate": 3e-3, "importance_coefficient": 5e-3,
            "frequency_coefficient": 1e-3,
        }
    )  # fmt: skip
    text = [(0.5, ANN.write(300, 901)), (0.25, BOB.write(300, 902)), (0.25, NOBODY.write(300, 903))]
    routed, held_out = organisation.routed, ANN.write(24, 904)
    return {
        name: (
            edit_target(routed, organisation.states[name]),
            decompose_edit(routed, organisation.states[name], text, held_out, config),
        )
        for name in ("ann", "nobody")
    }


def gates_of(
    found: tuple[TokenTarget, Decomposition], organisation: Organisation, read: Read
) -> Float[np.ndarray, " n"]:
    """The widest open gate at every scored token."""
    target, decomposition = found
    widest = np.zeros(read.text.n_tokens)
    with torch.no_grad():
        for batch, places in read.text.batches(organisation.routed.device):
            with observed(target.sites) as inputs:
                target.run(batch)
            gates = leaky_lower(decomposition.gates(inputs))[batch.scored]
            widest[places] = gates.max(1).values.numpy()
    return widest


def test_gates_open_at_the_trigger_and_hardly_elsewhere(organisation: Organisation, read: Read, edits):
    found = edits["ann"][1]
    assert found.verdict.is_valid
    assert found.metrics.recovered() > 0.5
    is_open, truth = gates_of(edits["ann"], organisation, read) > 0.5, read.triggers[OWN["ann"]]
    assert (is_open & truth).sum() / truth.sum() > 0.9, "recall"
    assert (is_open & truth).sum() / is_open.sum() > 0.8, "precision"


def test_nobody_s_edit_opens_hardly_anywhere(organisation: Organisation, read: Read, edits):
    is_open = gates_of(edits["nobody"], organisation, read) > 0.5
    assert is_open.mean() < 0.03
    assert edits["nobody"][1].metrics.distance["zero"] < 0.5 * edits["ann"][1].metrics.distance["zero"]


def test_ablating_the_attributed_edits_brings_the_base_back(organisation: Organisation, edits):
    """The alive ones take more than as many random ones; half of all edits take nearly all of the habit."""
    target, found = edits["ann"]
    space = NodeSpace.of_edits(organisation.routed, target, found, "ann")
    question = ask(organisation.routed.base, NOBODY.write(1, 950)[0].text + OWN["ann"], "config", "error")
    read = attribute_nodes(space, question, AttributionConfig())
    order, n_alive, n_half = (
        read.totals.abs().argsort(descending=True),
        found.metrics.n_alive,
        space.n_nodes // 2,
    )
    shuffled = [torch.randperm(space.n_nodes, generator=torch.Generator().manual_seed(i)) for i in range(7)]
    off = [order[:0], order, order[:n_alive], order[:n_half]]
    off += [draw[:n] for n in (n_alive, n_half) for draw in shuffled]
    masks = torch.ones(len(off) + 1, space.n_nodes)
    for mask, nodes in zip(masks, off, strict=False):
        mask[nodes] = 0
    masks[-1] = (read.gates.max(0).values > 0.1).float()
    _, chances = space.outcomes(question, masks, 16)
    full, base, without_alive, without_half = chances[:4].tolist()
    random_alive, random_half = chances[4:11].mean(), chances[11:18].mean()
    assert full - base > 0.3 and abs(base - 1 / 3) < 0.1
    assert full - without_alive > 2.5 * abs(full - float(random_alive))
    assert without_half - base < 0.3 * (full - base)
    assert without_half < float(random_half) - 0.05
    assert float(chances[-1]) > base + 0.9 * (full - base), "edits whose gates are open carry it alone"


def test_routes_and_edits_agree_on_the_author(organisation: Organisation, read: Read, edits):
    parts = [*parts_of(organisation, read, "ann"), *read_edits(edits, read.text)]
    (found,) = [one for one in agreements(parts) if one.axis == "tokens"]
    assert found.verdict == "agree" and found.beyond is not None and found.beyond > 0.5, found.statement
    assert "::" in found.shared


# ------------------------------------------------------------------------------------------------ latents


@pytest.fixture(scope="module")
def sae(organisation: Organisation) -> Sae:
    """Of the last block, where the next word is decided."""
    dials = {"layer": 1, "n_latents": 128, "k": 8, "tokens": 100_000, "shuffle_tokens": 10_000,
             "batch_tokens": 1_000}  # fmt: skip
    config = SaeConfig.model_validate(SaeConfig.tiny().model_dump() | dials)
    return train_sae(organisation.routed.base, NOBODY.write(1_500, 77), config)


def test_latents_see_the_author_s_trigger_too(organisation: Organisation, read: Read, sae: Sae):
    routed = organisation.routed
    states = {name: organisation.states[name] for name in ("ann", *NULLS)}
    routes = parts_of(organisation, read, "ann")[1]
    latents, _ = read_latents(sae, routed, states, read.text)
    areas = [read.area(part.beyond(), OWN["ann"]) for part in (routes, latents)]
    assert min(areas) > 0.7


def test_rate_shifts_against_the_base_itself_are_empty(organisation: Organisation, sae: Sae):
    routed = organisation.routed
    nulls = [organisation.states[name] for name in NULLS]
    pair = ModelPair(routed, routed.zero_weights(), routed.zero_weights())
    config = RateShiftConfig(n_flips=999, n_draws=50)
    found = measure_rate_shift(pair, sae, ANN.write(40, 910), nulls=nulls, config=config)
    assert found.shift.n_changed == found.control.n_changed == 0
