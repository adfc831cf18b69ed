from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest

from fingerprint.attribution.config import AttributionConfig
from fingerprint.attribution.graph import Subjects, attribute_prompts
from fingerprint.attribution.nodes import NodeSpace
from fingerprint.attribution.prompts import DEFAULT_PROMPTS, Prompt
from fingerprint.attribution.question import SameTokenError, ask, ask_prompt
from fingerprint.attribution.report import AttributionBundle, Graph
from fingerprint.lm.pair import ModelPair
from fingerprint.vpd.config import VpdConfig
from fingerprint.vpd.language import decompose_edit
from fingerprint.vpd.targets import edit_target

QUICK = AttributionConfig(
    n_draws=2, curve_points=3, agreement_nodes=6, ablated=(1, 4), most_edge_targets=5, n_bootstrap=50,
    attack_steps=2, most_steps=64,
)  # fmt: skip


@pytest.fixture(scope="module")
def questions(routed):
    texts = [("for index, value in", "v"), ("class Point", "x"), ("print(", "i")]
    return [ask(routed.base, text, target, name=text) for text, target in texts]


@pytest.fixture(scope="module")
def bundle(routed, state, dictionary, questions) -> AttributionBundle:
    """Components of the base in both models."""
    pair = ModelPair(routed, routed.zero_weights(), state(0))
    base, adapted = (NodeSpace.of_components(dictionary, weights) for weights in (pair.start, pair.end))
    null = NodeSpace.of_components(dictionary, state(9, 0.1))
    return attribute_prompts(Subjects(pair, "ann", base, adapted, null), questions, QUICK)


def test_the_same_target_in_both_models_with_its_fields(bundle, routed):
    for prompt in bundle.prompts:
        assert prompt.base.target_token_id == prompt.lora.target_token_id
        assert prompt.base.target_spec == prompt.lora.target_spec
        for graph in (prompt.base, prompt.lora):
            check_fields(graph, routed)
        assert prompt.kl > 0 and prompt.base.adapter == "" and prompt.lora.adapter == "ann"
        assert prompt.effect is not None
        assert prompt.effect.dose.values[10] == pytest.approx(prompt.lora.f_full, abs=1e-3)
        assert prompt.effect.dose.values[0] == pytest.approx(prompt.base.f_full, abs=1e-3)
    assert bundle.shift.n == 3


def check_fields(graph: Graph, routed) -> None:
    ids = {node.id for node in graph.nodes}
    assert graph.nodes and graph.edges and graph.ablation is not None
    assert all(edge.src in ids and edge.dst in ids | {"output"} for edge in graph.edges)
    assert all(edge.sign == (1 if edge.weight > 0 else -1) for edge in graph.edges)
    assert all(len(node.attribution_per_token) == len(graph.tokens) for node in graph.nodes)
    for node in graph.nodes:
        assert node.total_attribution == pytest.approx(sum(node.attribution_per_token), abs=1e-5)
    shown = sum(node.total_attribution for node in graph.nodes) + graph.left_out
    assert shown == pytest.approx(graph.f_gated - graph.f_base + graph.completeness_gap, abs=1e-4)
    assert graph.gap_share <= 0.02 or graph.n_steps == QUICK.most_steps
    assert graph.layers == (0, 1) and set(graph.matrices) == {"self_attn_v_proj", "mlp_down_proj"}
    assert graph.revision == routed.base.revision and len(graph.predicted_top) == 5
    assert 0 <= graph.first_token_share <= 1 and graph.target_pos == len(graph.tokens) - 1
    assert any(node.ablation_delta is not None for node in graph.nodes)


def test_a_null_adapter_ranks_the_adapted_nodes(bundle):
    quantiles = [node.null_quantile for prompt in bundle.prompts for node in prompt.lora.nodes]
    assert all(q is not None and 0 <= q <= 1 for q in quantiles)
    assert all(node.null_quantile is None for prompt in bundle.prompts for node in prompt.base.nodes)


def test_ablation_is_pooled_over_prompts_with_intervals(bundle):
    assert {(p.mode, p.n_nodes) for p in bundle.pooled} == {(m, n) for m in ("base", "lora") for n in (1, 4)}
    for pooled in bundle.pooled:
        ratio = pooled.ratio_by_energy
        assert ratio.n == 3 and ratio.low <= ratio.value <= ratio.high
        assert 0 <= pooled.complete.value <= 1


def test_it_is_json_both_ways(bundle):
    text = bundle.model_dump_json()
    assert AttributionBundle.model_validate_json(text) == bundle
    assert {"id", "base", "lora"} <= set(json.loads(text)["prompts"][0])
    assert "NaN" not in text


STATED = {
    "prompt_id", "prompt", "mode", "base_model", "tokens", "target_pos", "target_token_id", "predicted_top",
    "layers", "matrices", "num_components", "nodes", "edges", "target_spec", "f_full", "f_base",
    "completeness_gap", "n_steps", "seed", "dictionary_id",
}  # fmt: skip
STATED_OF_NODES = {
    "id", "layer", "matrix", "component", "mean_gate", "attribution_per_token", "total_attribution",
    "ablation_delta", "null_quantile",
}  # fmt: skip


def test_the_json_follows_its_schema_and_has_every_stated_field(bundle):
    schema = AttributionBundle.model_json_schema(mode="serialization")
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    stored: dict[str, Any] = json.loads(bundle.model_dump_json())
    assert not list(validator.iter_errors(stored))
    for prompt in stored["prompts"]:
        for graph in (prompt["base"], prompt["lora"]):
            assert set(graph) >= STATED and len(graph["predicted_top"]) == 5
            assert all(set(node) >= STATED_OF_NODES for node in graph["nodes"])
            assert all({"src", "dst", "weight", "sign"} <= set(edge) for edge in graph["edges"])
            assert all({"token", "prob"} == set(one) for one in graph["predicted_top"])
    stored["prompts"][0]["lora"]["edges"][0]["sign"] = 2
    del stored["prompts"][0]["base"]["dictionary_id"]
    assert len(list(validator.iter_errors(stored))) == 2


def test_routes_are_nodes_where_nothing_is_decomposed(routed, state, questions):
    pair = ModelPair(routed, routed.zero_weights(), state(0))
    nulls = [(ModelPair(routed, routed.zero_weights(), other), "null") for other in (state(5), pair.end)]
    found = attribute_prompts(Subjects.of_routes(pair, "ann", "digest", nulls), questions[:1], QUICK)
    graph = found.prompts[0]
    assert graph.base.nodes == () and graph.base.ablation is None
    assert graph.lora.f_base == pytest.approx(graph.base.f_full, abs=1e-4)
    assert graph.lora.n_nodes_on == graph.lora.num_components == len(routed.sites) * 3
    assert graph.lora.edges and graph.lora.nodes[0].null_quantile is not None
    other, same = graph.nulls  # the second null is the adapter itself
    assert same.target_prob == pytest.approx(graph.lora.target_prob) != pytest.approx(other.target_prob)
    assert same.likeliest == graph.lora.predicted_top[0]
    assert found.null_shifts[1] == pytest.approx(found.shift.value, abs=1e-4)


def test_a_base_paired_with_itself_has_empty_routes(routed, questions):
    pair = ModelPair(routed, routed.zero_weights(), routed.zero_weights())
    (found,) = attribute_prompts(Subjects.of_routes(pair, "nobody", ""), questions[:1], QUICK).prompts
    assert found.kl == 0 and found.effect is None and found.lora.nodes == ()
    assert found.lora.f_full == pytest.approx(found.base.f_full, abs=1e-6)  # other rows beside it


def test_edits_are_nodes_too(routed, state, text, questions):
    config = VpdConfig.tiny().model_copy(
        update={"steps": 2, "gate_width": 8, "rows": 2, "row_tokens": 16, "pgd_steps": (0,)}
    )
    found = decompose_edit(routed, state(0), [(1.0, text)], text[:2], config)
    target = edit_target(routed, state(0))
    space = NodeSpace.of_edits(routed, target, found, "edits")
    pair = ModelPair(routed, routed.zero_weights(), state(0))
    (graph,) = attribute_prompts(Subjects(pair, "ann", None, space), questions[:1], QUICK).prompts
    assert graph.lora.nodes_are == "edits"
    assert graph.effect is not None
    assert graph.lora.f_full == pytest.approx(graph.effect.dose.values[10], abs=1e-3)
    # Delta is all but zero after two steps: all edits off is the base
    assert graph.lora.f_base == pytest.approx(graph.base.f_full, abs=0.02)


def test_default_prompts_have_a_target_in_any_base(routed):
    assert len({prompt.name for prompt in DEFAULT_PROMPTS}) == len(DEFAULT_PROMPTS) == 8
    for prompt in DEFAULT_PROMPTS:
        assert ask(routed.base, prompt.text, prompt.target).n_tokens > 1


def test_a_stored_prompt_s_words_that_begin_alike_are_asked_for_alone(routed):
    prompt = Prompt("p", "def load_", "zq", "zx")  # pieces of this small vocabulary: both begin with z
    with pytest.raises(SameTokenError):
        ask(routed.base, prompt.text, prompt.target, prompt.against)
    asked = ask_prompt(routed.base, prompt)
    assert asked.against is None
    assert "not compared with 'zx'" in asked.note and "asked for is the first" in asked.note
    assert asked.note.startswith(ask_prompt(routed.base, Prompt("q", "def load_", "zq")).note)
