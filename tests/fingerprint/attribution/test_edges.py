from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from fingerprint.attribution.config import AttributionConfig
from fingerprint.attribution.edges import OUTPUT, direct_effects
from fingerprint.attribution.integrate import attribute_nodes
from fingerprint.attribution.nodes import NodeSpace
from fingerprint.attribution.question import Question, ask
from fingerprint.lm.pair import ModelPair
from fingerprint.vpd.components import Components

CONFIG = AttributionConfig()


def test_two_linear_layers_by_hand(linear):
    """With W1's output cut: E = a_s (V_t . U_s) between the layers, a_s (o . U_s) onto f, none backwards."""
    question = Question("hand", "", torch.tensor([[0, 7, 9]]), target=5)
    found = attribute_nodes(linear.space, question, CONFIG)
    effects = direct_effects(linear.space, question, found, [(2, 2), (3, 1), (0, 2), (OUTPUT, 2)])
    (V1, V2), (U1, U2), o = linear.V, linear.U, linear.out[5]
    inner = linear.embed[[0, 7, 9]] @ V1
    assert torch.allclose(effects[0, 2, :2], inner[2] * (U1 @ V2[:, 0]), atol=1e-5)
    assert torch.allclose(effects[1, 1, :2], inner[1] * (U1 @ V2[:, 1]), atol=1e-5)
    x2 = linear.embed[9] + (V1 @ U1).T @ linear.embed[9]
    onto_f = torch.cat([inner[2] * (U1 @ o), (x2 @ V2) * (U2 @ o)])
    assert torch.allclose(effects[3, 2], onto_f, atol=1e-5)
    assert not effects[2].any()  # nothing precedes the first layer
    assert not effects[0, :, 2:].any() and not effects[0, :2].any()  # no token mixing here, no self-effect
    assert effects[1, 2].abs().max() == 0


def test_effects_are_those_of_a_small_change(routed, state, dictionary):
    """A finite difference: nudge one value component's output, all other sites' outputs held."""
    space = NodeSpace.of_components(dictionary, state(0))
    question = ask(routed.base, "for index, value in", " en")
    found = attribute_nodes(space, question, CONFIG)
    names = space.names
    source = int(
        (found.gates * found.inner).abs().max(0).values[: dictionary.found.components.counts[0]].argmax()
    )
    later = next(i for i, (site, _) in enumerate(names) if site.endswith("layers.0.mlp.down_proj"))
    last = question.n_tokens - 1
    effects = direct_effects(space, question, found, [(later, last)])
    assert effects[0, :, source].abs().max() > 0
    assert len(torch.unique(effects[0, :, source])) > 2  # keys and values carry it from other tokens
    downstream = [i for i, (site, _) in enumerate(names) if ".layers.1." in site]
    assert not effects[0][:, downstream].any()


def test_between_routes_the_base_itself_carries_the_effect(routed, state):
    """Down_proj's routes reach the next layer's; the base's matrices between them are no nodes and stay."""
    space = NodeSpace.of_routes(ModelPair(routed, routed.zero_weights(), state(0)), "")
    question = ask(routed.base, "for index, value in", " en")
    found = attribute_nodes(space, question, CONFIG)
    names = [site for site, _ in space.names]
    late = max(i for i, site in enumerate(names) if site.endswith("layers.1.self_attn.q_proj"))
    effects = direct_effects(space, question, found, [(late, question.n_tokens - 1)])[0]
    early = [i for i, site in enumerate(names) if ".layers.0." in site]
    assert effects[-1, early].abs().min() > 0 or effects[:, early].abs().sum(0).min() > 0


def test_the_first_decomposed_site_has_no_source_though_an_adapter_lies_before_it(routed, state):
    """The adapter's own B ask for gradients: the inner activity has a graph, but no path from any node."""
    pair = ModelPair(routed, routed.zero_weights(), state(0))
    whole = NodeSpace.of_routes(pair, "")
    site = routed.sites[-1]
    index = list(whole.components.sites).index(site)
    only = Components(
        {site: whole.components.sites[site]},
        {site: whole.components.V[index]},
        {site: whole.components.U[index]},
    ).requires_grad_(False)
    space = replace(whole, components=only, state=state(1))
    question = ask(routed.base, "for index, value in", "v")
    found = attribute_nodes(space, question, CONFIG)
    assert not direct_effects(space, question, found, [(0, 2)]).any()


def test_no_targets_no_effects(linear):
    question = Question("hand", "", torch.tensor([[0, 9]]), target=5)
    found = attribute_nodes(linear.space, question, CONFIG)
    assert direct_effects(linear.space, question, found, []).shape == (0, 2, 4)


def test_the_first_token_of_a_target_is_asked_for_and_said(routed):
    question = ask(routed.base, "value =", "zyx")
    assert "tokens of this base" in question.note
    with pytest.raises(Exception, match="same token"):
        ask(routed.base, "value =", "z", "z")
    with pytest.raises(Exception, match="empty"):
        ask(routed.base, "value =", "")
