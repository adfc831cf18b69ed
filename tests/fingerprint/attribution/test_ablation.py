"""The checks on functions whose answer is known, and on a model with one planted edit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from fingerprint.attribution.ablation import (
    Claims,
    ablate_graph,
    ablate_set,
    compare_alone,
    examine_circuit,
    rank_agreement,
    trace_curves,
)
from fingerprint.attribution.config import AttributionConfig
from fingerprint.attribution.integrate import attribute_nodes
from fingerprint.attribution.nodes import NodeSpace
from fingerprint.attribution.question import Question, ask
from fingerprint.lm.pair import ModelPair

CONFIG = AttributionConfig(n_draws=4, curve_points=5, agreement_nodes=12, circuit=3)
WEIGHTS = np.array([5.0, -3.0, 2.0, 1.0, 0.5, 0.25, 0.0, 7.0])
CLAIMS = Claims(WEIGHTS, np.abs(WEIGHTS) + 0.1, np.arange(8) < 7)  # the last one is on nowhere


def linear_effect(off: np.ndarray) -> np.ndarray:
    """f is the sum of the weights of what is on."""
    return (~off) @ WEIGHTS


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_a_set_is_ablated_as_claimed_when_f_is_linear():
    found = ablate_set(linear_effect, CLAIMS, 2, 4, rng())
    assert found.change == found.claimed == pytest.approx(5 - 3)
    assert len(found.by_count) == len(found.by_energy) == 4
    assert all(abs(change) <= 3 for change in found.by_count)  # of what is left: 2, 1, .5, .25, 0


def test_curves_by_hand():
    """Seven nodes, points at 0, 2, 4, 5, 7: those that raise most go first; what is on nowhere stays on."""
    found = trace_curves(linear_effect, CLAIMS, 5, rng())
    assert found.counts == (0, 2, 4, 5, 7)
    assert found.deletion == pytest.approx((12.75, 5.75, 4.25, 4.0, 7.0))
    assert found.insertion == pytest.approx((7.0, 14.0, 15.5, 15.75, 12.75))
    shares = (np.array(found.deletion) - 7) / 5.75
    assert found.deletion_area == pytest.approx(np.trapezoid(shares, np.array(found.counts) / 7))
    assert found.deletion_area is not None and found.deletion_area < 0
    assert found.insertion_area is not None and found.insertion_area > 1


def test_nodes_that_lower_f_together_go_first_when_all_lower_it():
    found = trace_curves(lambda off: -linear_effect(off), replace(CLAIMS, totals=-WEIGHTS), 5, rng())
    assert found.deletion == pytest.approx((-12.75, -5.75, -4.25, -4.0, -7.0))
    assert found.deletion_area == pytest.approx(trace_curves(linear_effect, CLAIMS, 5, rng()).deletion_area)


def test_nodes_that_cancel_have_no_area():
    weights = np.array([3.0, -3.0, 0.01])
    claims = Claims(weights, np.ones(3), np.ones(3, bool))
    assert trace_curves(lambda off: (~off) @ weights, claims, 3, rng()).deletion_area is None


def test_curves_of_nodes_that_do_nothing_have_no_area():
    found = trace_curves(lambda off: np.zeros(len(off)), CLAIMS, 3, rng())
    assert found.deletion_area is None and found.random_insertion_area is None


def test_single_ablations_agree_with_a_linear_attribution():
    agreement, alone = compare_alone(linear_effect, CLAIMS, 6, rng())
    assert agreement.n_nodes == 6
    assert agreement.spearman == pytest.approx(1) and agreement.slope == pytest.approx(1)
    assert agreement.sign == 1
    assert alone[0] == 5 and 7 not in alone


def test_agreement_by_hand():
    found = rank_agreement(np.array([1.0, 2.0, 3.0, 4.0]), np.array([2.0, -4.0, 6.0, 8.0]))
    assert found.spearman == pytest.approx(0.8)  # ranks 2 1 3 4
    assert found.sign == 0.75 and found.slope == pytest.approx((2 - 8 + 18 + 32) / 30)
    still = rank_agreement(np.array([1.0, 2.0, 3.0]), np.zeros(3))
    assert (still.spearman, still.sign) == (None, None) and still.slope == 0


def test_a_planted_edit_gets_the_attribution_and_its_ablation_brings_the_base_back(routed, state):
    """One strong route writes a token's own embedding at the last layer; all others are faint."""
    base, site = routed.base, routed.sites[-1]
    question = ask(base, "for index, value in", "v")
    end = state(0, 1e-4)
    probe = NodeSpace.of_routes(ModelPair(routed, routed.zero_weights(), end), "")
    _, inner = probe.read(question)
    planted = probe.names.index((site, 1))
    up = base.model.get_input_embeddings().weight[question.target]
    end[site][:, 1] = 2.0 * torch.sign(inner[-1, planted]) * up / up.norm()
    space = NodeSpace.of_routes(ModelPair(routed, routed.zero_weights(), end), "")
    found = attribute_nodes(space, question, CONFIG)
    moved = found.full - found.off
    assert moved > 0.1
    assert int(found.totals.argmax()) == planted
    assert float(found.totals[planted]) == pytest.approx(moved, rel=0.05)
    ablation, alone = ablate_graph(space, question, found, CONFIG)
    one = ablation.sets[0]
    assert one.change == pytest.approx(moved, rel=0.1)  # the base is back within a tenth
    assert max(map(abs, (*one.by_count, *one.by_energy))) < 0.1 * moved
    assert alone[planted] == pytest.approx(one.change, abs=1e-5)
    assert ablation.circuit.is_complete
    assert ablation.circuit.adversarial == pytest.approx(ablation.circuit.full, rel=0.05)


def test_a_circuit_without_the_planted_node_does_not_survive(linear):
    """Nodes of the first layer alone are safe: an adversary sets those of the second against the target."""
    question = Question("hand", "", torch.tensor([[0, 7, 9]]), target=5)
    found = attribute_nodes(linear.space, question, CONFIG)
    claims = Claims.of(linear.space, found)
    whole = examine_circuit(linear.space, question, claims, AttributionConfig(circuit=4), rng())
    assert whole.adversarial == pytest.approx(whole.full, rel=1e-4) and whole.is_complete
    part = examine_circuit(linear.space, question, claims, AttributionConfig(circuit=1), rng())
    assert part.adversarial < part.random
    least = min(
        float(linear.space.outcomes(question, torch.tensor([corner]), 8)[1])
        for corner in torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 4).tolist()
        if corner[int(np.argmax(np.abs(claims.totals)))] == 1
    )
    assert part.adversarial == pytest.approx(least, rel=0.05)


def test_rows_of_a_batch_do_not_see_each_other(routed, state):
    space = NodeSpace.of_routes(ModelPair(routed, routed.zero_weights(), state(0)), "")
    question = ask(routed.base, "for index, value in", "v")
    masks = torch.rand(5, space.n_nodes, generator=torch.Generator().manual_seed(0))
    together = space.outcomes(question, masks, 8)[0]
    alone = torch.cat([space.outcomes(question, mask[None], 1)[0] for mask in masks])
    assert torch.allclose(together, alone, atol=1e-5)
    full = space.outcomes(question, torch.ones(1, space.n_nodes), 1)[0]
    with torch.no_grad(), routed.at(space.state, state(0), 1.0) as model:
        assert torch.allclose(full, question.value(question.logits(model)), atol=1e-5)
