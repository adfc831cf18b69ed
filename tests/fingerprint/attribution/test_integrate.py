"""Oracles: hand-made linear layers, completeness, the routes' own path integral, silence where nothing is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from fingerprint.attribution.config import AttributionConfig
from fingerprint.attribution.integrate import attribute_nodes
from fingerprint.attribution.nodes import NodeSpace
from fingerprint.attribution.question import Question, ask
from fingerprint.lm.pair import ModelPair
from fingerprint.lm.tokens import TokenizedPassage
from fingerprint.passage import passage_from_lines
from fingerprint.routing.contributions import measure_contributions
from fingerprint.vpd.components import Components

CONFIG = AttributionConfig()
PROMPT = "for index, value in"


@pytest.fixture
def question(routed) -> Question:
    return ask(routed.base, PROMPT, "e", "v")


def test_two_linear_layers_by_hand(linear):
    """f = o . (1 + W2)(1 + W1) e at the last token: quadratic in the path, so that midpoints are exact."""
    question = Question("hand", "", torch.tensor([[0, 7, 9]]), target=5)
    found = attribute_nodes(linear.space, question, CONFIG)
    e, o, (V1, V2), (U1, U2) = linear.embed[9], linear.out[5], linear.V, linear.U
    W1 = (V1 @ U1).T
    first = (V1.T @ e) * (U1 @ o + 0.5 * U1 @ (V2 @ (U2 @ o)))  # direct, and half of what goes on through W2
    second = (V2.T @ (e + 0.5 * W1 @ e)) * (U2 @ o)
    assert torch.allclose(found.values[-1], torch.cat([first, second]), atol=1e-5)
    assert not found.values[:-1].any()
    assert found.off == pytest.approx(float(o @ e), abs=1e-5)
    assert abs(found.gap) < 1e-5 and found.n_steps == CONFIG.n_steps


def test_where_f_is_linear_the_sum_is_exact(linear):
    """Only the second layer is decomposed, so that f is linear in its masks: one midpoint is enough."""
    site, V, U = "model.layers.1.q_proj", linear.V[1], linear.U[1]
    only = Components({site: linear.space.components.sites[site]}, {site: V}, {site: U}).requires_grad_(False)
    question = Question("hand", "", torch.tensor([[0, 7, 9]]), target=5)
    for n_steps in (1, CONFIG.n_steps):
        config = AttributionConfig(n_steps=n_steps, most_steps=n_steps)
        found = attribute_nodes(replace(linear.space, components=only), question, config)
        assert found.values.shape == (question.n_tokens, 2)
        assert abs(found.gated - found.off) > 0.1
        assert abs(found.gap) <= 1e-6 * max(1.0, abs(found.gated), abs(found.off))


@pytest.mark.parametrize("size", [0.0, 0.3])
def test_components_sum_to_what_their_gates_do(dictionary, state, question, size):
    found = attribute_nodes(NodeSpace.of_components(dictionary, state(0, size)), question, CONFIG)
    assert found.values.shape == (question.n_tokens, dictionary.found.components.n_components)
    assert abs(found.gated - found.off) > 0.01
    assert abs(found.gap) <= max(CONFIG.gap_floor, CONFIG.gap_share * abs(found.gated - found.off))
    assert not found.values[found.gates == 0].any()
    assert (found.gates == 0).any()


def test_midpoints_are_doubled_until_the_gap_holds_and_no_further_than_allowed(routed, state, question):
    space = NodeSpace.of_routes(ModelPair(routed, routed.zero_weights(), state(0, 2.0)), "")
    coarse = attribute_nodes(space, question, AttributionConfig(n_steps=1, most_steps=1))
    found = attribute_nodes(space, question, AttributionConfig(n_steps=1))
    assert coarse.n_steps == 1 and abs(coarse.gap) > 0.02 * abs(coarse.gated - coarse.off)
    assert found.n_steps > 1 and abs(found.gap) < abs(coarse.gap)


def test_routes_are_the_contributions_of_the_path_integral(routed, state, text):
    """The same integral by other code: Gauss-Legendre over the state, gradients at the sites' outputs."""
    start, end = state(1, 0.1), state(2, 0.2)
    base, pair = routed.base, ModelPair(routed, start, end)
    ids = [base.first_token, *base.tokenizer.backend_tokenizer.encode(PROMPT + " en").ids]
    question = Question("q", PROMPT, torch.tensor([ids[:-1]]), ids[-1], measure="log-probability")
    scored = np.array([False] * (len(ids) - 1) + [True])
    row = TokenizedPassage(np.array(ids, np.int32), scored, np.zeros((len(ids), 2), np.int32), 0)
    passage = passage_from_lines([(True, PROMPT)], path="a.py", language="python")
    expected = measure_contributions(pair, [passage], [row], n_points=16)
    space = NodeSpace.of_routes(pair, "")
    found = attribute_nodes(space, question, AttributionConfig(n_steps=128, rows=64))
    by_route = found.totals.reshape(len(routed.sites), routed.routes.rank).numpy()
    assert by_route == pytest.approx(expected.table[0].sum(1), abs=2e-4)
    assert found.gated - found.off == pytest.approx(expected.log_ratio[0], abs=1e-4)
    assert np.abs(by_route).max() > 0.01


def test_a_state_like_the_start_has_no_route_to_attribute(routed, state, question):
    same = state(3)
    found = attribute_nodes(NodeSpace.of_routes(ModelPair(routed, same, same), ""), question, CONFIG)
    assert not found.values.any() and found.gap == 0 and found.full == found.off


def test_the_wrong_derivative_would_lose_a_third(linear):
    """Differentiating at g instead of the scaled mask weights every midpoint by its alpha."""
    question = Question("hand", "", torch.tensor([[0, 9]]), target=5)
    found = attribute_nodes(linear.space, question, CONFIG)
    with linear.space.at_state():
        wrong = torch.zeros_like(found.values)
        for k in range(16):
            alpha = (k + 0.5) / 16
            masks = (alpha * found.gates)[None].requires_grad_(True)
            f = question.value(linear.space.logits(question, masks)).sum()
            wrong += alpha * torch.autograd.grad(f, [masks])[0][0] / 16
    assert float(wrong.sum()) / (found.gated - found.off) < 0.7
