from __future__ import annotations

import numpy as np
import pytest
import torch

from fingerprint.attribution.adapter_effect import (
    divergence,
    measure_adapter,
    scale_adapter,
    share_layers,
    toggle_sites,
)
from fingerprint.attribution.config import AttributionConfig
from fingerprint.attribution.nodes import NodeSpace
from fingerprint.attribution.question import ask
from fingerprint.attribution.sites import node_id
from fingerprint.lm.pair import ModelPair
from fingerprint.lm.sites import layer_of, matrix_of

CONFIG = AttributionConfig()


@pytest.fixture
def asked(routed, state):
    space = NodeSpace.of_routes(ModelPair(routed, routed.zero_weights(), state(0)), "")
    return space, ask(routed.base, "for index, value in", "v")


def test_shapley_values_of_a_game_by_hand():
    """f = 3 a + b + 2 a b over layers a (two sites, both needed) and b: the interaction is shared equally."""

    def effect(off):
        on = ~off
        a, b = on[:, 0] & on[:, 1], on[:, 2]
        return 3.0 * a + b + 2.0 * (a & b)

    shares, is_exact = share_layers(effect, [0, 0, 4], CONFIG)
    assert is_exact and [(s.layer, s.value) for s in shares] == [(0, 4.0), (4, 2.0)]


def test_drawn_orders_add_up_too():
    weights = np.random.default_rng(0).normal(size=12)
    shares, is_exact = share_layers(lambda off: (~off) @ weights, list(range(12)), CONFIG)
    assert not is_exact and [s.value for s in shares] == pytest.approx(weights.tolist())


def test_toggles_by_hand():
    found = toggle_sites(lambda off: (~off) @ np.array([1.0, 4.0]) + (~off).all(1), ["a", "b"])
    assert [(t.site, t.off, t.only) for t in found] == [("a", 2.0, 1.0), ("b", 5.0, 4.0)]


def test_a_dose_is_the_state_scaled(asked, routed, state):
    space, question = asked
    found = scale_adapter(space, question, CONFIG)
    for i in (0, 7, 15):
        with torch.no_grad(), routed.at(routed.zero_weights(), state(0), CONFIG.scales[i]) as model:
            logits = question.logits(model)
        assert found.values[i] == pytest.approx(float(question.value(logits)[0]), abs=1e-4)
        assert found.probabilities[i] == pytest.approx(
            float(logits.softmax(-1)[0, question.target]), abs=1e-5
        )
    assert found.scales[0] == 0 and found.kl[0] == 0 and found.kl[10] > 0
    assert CONFIG.scales[-1] == 1.5


def test_everything_about_one_adapter(asked, routed, state):
    space, question = asked
    found = measure_adapter(space, question, CONFIG)
    assert [t.site for t in found.toggles] == list(routed.sites)
    moved = found.dose.values[10] - found.dose.values[0]
    assert sum(share.value for share in found.layers) == pytest.approx(moved, abs=1e-4)
    assert {share.layer for share in found.layers} == {0, 1} and found.is_exact
    site = routed.sites[3]
    without = state(0)
    without[site] = 0 * without[site]
    with torch.no_grad(), routed.at(without, without, 0.0) as model:
        rest = float(question.value(question.logits(model))[0])
    assert found.toggles[3].off == pytest.approx(found.dose.values[10] - rest, abs=1e-4)


def test_divergence_by_hand():
    base, adapted = torch.tensor([[0.0, 0.0]]), torch.log(torch.tensor([[0.75, 0.25]]))
    expected = 0.75 * np.log(1.5) + 0.25 * np.log(0.5)
    assert divergence(base, adapted) == pytest.approx(expected, abs=1e-6)
    assert divergence(base, base) == 0


def test_names_of_sites():
    site = "model.layers.12.self_attn.v_proj"
    assert (layer_of(site), matrix_of(site)) == (12, "self_attn_v_proj")
    assert node_id(site, 5) == "L12__self_attn_v_proj:5"
    assert (layer_of("layer"), matrix_of("layer")) == (0, "layer")
