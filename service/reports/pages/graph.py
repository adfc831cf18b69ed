"""The attribution graph: which parts of base and adapted model raise or suppress one token after a prompt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fingerprint.attribution.report import AttributionBundle, Graph, Node, PromptAttribution
from service.reports.attribution import causal_check, null_answers, pooled_table, transplant_table
from service.reports.escape import visible
from service.reports.pages.environment import render_template, token
from service.reports.pages.page import WebPage

FALSE_DISCOVERIES = 0.1
"""Rate that the filter keeps to (Benjamini and Hochberg 1995)."""
_DIGITS = 5
_MOST_ROWS = 40


def one_graph_page(
    bundle: AttributionBundle, number: int, *, repository: str, address: str,
    cards: Mapping[str, str] | None = None,
) -> WebPage:  # fmt: skip
    """The page of one of a bundle's prompts, with links to the others, as a server sends it.

    Args:
        number: of the prompt, from 1; beyond the last it is the last. address: of this page. cards: as
            `graph_page` takes them.
    """
    chosen = min(max(1, number), len(bundle.prompts))
    others = [
        (
            f"{token(prompt.lora.prompt)} → {visible(prompt.lora.target_spec)}",
            f"{address}?prompt={n}",
            n == chosen,
        )
        for n, prompt in enumerate(bundle.prompts, 1)
    ]
    one = bundle.model_copy(update={"prompts": bundle.prompts[chosen - 1 : chosen]})
    return graph_page(one, repository=repository, command="", cards=cards, others=others)


def graph_page(
    bundle: AttributionBundle, *, repository: str, command: str, cards: Mapping[str, str] | None = None,
    others: Sequence[tuple[str, str, bool]] = (),
) -> WebPage:  # fmt: skip
    """The page of several prompts.

    Args:
        command: what makes the page again, "" for nothing. cards: address of the components browser of "base"
            and "lora", as far as there is one, to which a component's id is added. others: (name, address,
            whether it is this one) of pages of other prompts.
    """
    prompts = [
        {
            "prompt": prompt,
            "rows": _rows(prompt),
            "about": token(prompt.lora.prompt),
            "targets": _targets(prompt),
            "random": _random_range(prompt.lora),
            "nulls": null_answers(prompt),
            "checks": causal_check(prompt),
        }
        for prompt in bundle.prompts
    ]
    body = render_template(
        "graph.html.jinja", prompts=prompts, bundle=bundle, repository=repository, command=command,
        rate=FALSE_DISCOVERIES, others=others, pooled=pooled_table(bundle.pooled) if bundle.pooled else None,
        n_draws=bundle.config.n_draws,
        transplant=None if bundle.transplant is None else transplant_table(bundle.transplant),
    )  # fmt: skip
    data = {"prompts": [_prompt_data(prompt) for prompt in bundle.prompts], "cards": dict(cards or {})}
    return WebPage(
        "Attribution",
        body,
        "Attribution graph",
        ("base.css", "graph.css"),
        ("page.js", "graph.js"),
        {"graph": data},
    )


def q_values(nodes: Sequence[Node]) -> list[float | None]:
    """Adjusted p-values of nodes; p is the share of a null adapter's nodes with more attribution.

    None for nodes without a null. Ties share the larger value, as the step-up procedure has it.
    """
    known = [(1.0 - node.null_quantile, i) for i, node in enumerate(nodes) if node.null_quantile is not None]
    found: list[float | None] = [None] * len(nodes)
    least = 1.0
    for rank, (p, i) in reversed(list(enumerate(sorted(known), 1))):
        least = min(least, p * len(known) / rank)
        found[i] = least
    return found


def _prompt_data(prompt: PromptAttribution) -> dict[str, Any]:
    return {
        "id": prompt.id, "about": token(prompt.lora.prompt), "target": visible(prompt.lora.target_spec),
        "base": _graph_data(prompt.base), "lora": _graph_data(prompt.lora),
    }  # fmt: skip


def _graph_data(graph: Graph) -> dict[str, Any]:
    """What the script draws; names are made visible here, and set as text there."""
    adjusted = q_values(graph.nodes)
    random = _random_range(graph)
    return {
        "tokens": [token(text) for text in graph.tokens], "target": graph.target_pos,
        "prob": graph.target_prob,
        "rank": graph.target_rank, "gap": round(graph.completeness_gap, _DIGITS), "kind": graph.nodes_are,
        "random": None if random is None else list(random),
        "nodes": [
            {
                "id": node.id, "layer": node.layer, "matrix": visible(node.matrix), "number": node.component,
                "gate": round(node.mean_gate, _DIGITS), "total": round(node.total_attribution, _DIGITS),
                "values": [round(value, _DIGITS) for value in node.attribution_per_token],
                "ablation": None if node.ablation_delta is None else round(node.ablation_delta, _DIGITS),
                "q": None if adjusted[i] is None else round(adjusted[i] or 0.0, _DIGITS),
            }
            for i, node in enumerate(graph.nodes)
        ],
        "edges": [[edge.src, edge.dst, round(edge.weight, _DIGITS)] for edge in graph.edges],
    }  # fmt: skip


def _random_range(graph: Graph) -> tuple[float, float] | None:
    """What removing one part drawn at random does: the ends of its range; None where none was drawn."""
    sets = () if graph.ablation is None else graph.ablation.sets
    found = [change for one in sets if one.n_nodes == 1 for change in one.by_count]
    return (min(found), max(found)) if found else None


def _rows(
    prompt: PromptAttribution,
) -> list[tuple[str, float | None, float | None, float | None, float | None]]:
    """(name, base, adapted, ablation, q) of the nodes that matter most, for reading without the picture."""
    base = {node.id: node for node in prompt.base.nodes}
    lora = {node.id: node for node in prompt.lora.nodes}
    adjusted = dict(zip(lora, q_values(list(lora.values())), strict=True))

    def size(name: str) -> float:
        return max(abs(side[name].total_attribution) for side in (base, lora) if name in side)

    return [
        (
            _shown(lora.get(name) or base[name]),
            base[name].total_attribution if name in base else None,
            lora[name].total_attribution if name in lora else None,
            (lora.get(name) or base[name]).ablation_delta,
            adjusted.get(name),
        )
        for name in sorted(base | lora, key=lambda name: -size(name))[:_MOST_ROWS]
    ]


def _shown(node: Node) -> str:
    return f"layer {node.layer} · {visible(node.matrix)} · {node.component}"


def _targets(prompt: PromptAttribution) -> tuple[tuple[str, Graph], ...]:
    return (("base", prompt.base), (prompt.lora.adapter or "adapted", prompt.lora))
