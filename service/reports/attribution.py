"""Attribution graphs as pages, each beside its ablation."""

from __future__ import annotations

from fingerprint.attribution.report import (
    AdapterEffect,
    AttributionBundle,
    Curves,
    Estimate,
    Graph,
    PooledAblation,
    PromptAttribution,
    Transplant,
)
from service.reports.page import Page, Table
from service.reports.wording import probability

MOST_NODES = 10
MOST_SITES = 8


def attribution_page(bundle: AttributionBundle) -> Page:
    """Every prompt, then ablation pooled over them."""
    sentences, tables = [], []
    for prompt in bundle.prompts:
        sentences += _sentences(prompt)
        tables += _tables(prompt)
    if len(bundle.prompts) > 1:
        tables.append(pooled_table(bundle.pooled))
        sentences.append(
            f"Over {bundle.shift.n} prompts the adapter moves f by {_interval(bundle.shift)}"
            f"{_null_shifts(bundle)}."
        )
    if bundle.transplant is not None:
        tables.append(transplant_table(bundle.transplant))
    adapter = bundle.prompts[0].lora.adapter if bundle.prompts else ""
    return Page(f"Attribution, base and {adapter}", tuple(sentences), tuple(tables), _warnings(bundle))


def _sentences(prompt: PromptAttribution) -> list[str]:
    found = [f"After {_shown(prompt.base.prompt)}: {prompt.base.target_spec}, the same in both models."]
    for graph in (prompt.base, prompt.lora):
        name = "base" if graph.mode == "base" else graph.adapter
        likeliest = ", ".join(f"{_shown(t.token)} {t.prob:.3f}" for t in graph.predicted_top)
        found.append(
            f"{name}: f = {graph.f_full:.3f}, probability {graph.target_prob:.4f} (rank "
            f"{graph.target_rank}); "
            f"likeliest {likeliest}."
        )
        if graph.nodes_are == "components" or graph.mode == "lora":
            found.append(_completeness(name, graph))
    return [
        *found,
        f"KL of the next token from the base: {prompt.kl:.4f} nats.",
        *filter(None, [prompt.note]),
    ]


def shift_sentences(bundle: AttributionBundle) -> tuple[str, ...]:
    """What each model would go on with after every prompt, and what became of the target."""
    told = [_shift_sentence(prompt) for prompt in bundle.prompts]
    if len(bundle.prompts) > 1:
        told.append(
            f"Over {bundle.shift.n} prompts the adapter moves what was asked for by "
            f"{_interval(bundle.shift)} (95 % by resampling prompts){_null_shifts(bundle)}. Which parts do "
            "it, beside a null adapter and with what removing them does, is in the graph."
        )
    return tuple(told)


def _shift_sentence(prompt: PromptAttribution) -> str:
    first, second = (graph.predicted_top[0] for graph in (prompt.base, prompt.lora))
    return (
        f"After {_shown(prompt.base.prompt)}: base {_shown(first.token)} {probability(first.prob)}, adapted "
        f"{_shown(second.token)} {probability(second.prob)}; {prompt.base.target_spec}: base "
        f"{probability(prompt.base.target_prob)}, adapted {probability(prompt.lora.target_prob)}"
        f"{', ' if prompt.nulls else ''}{null_answers(prompt)}."
    )


def null_answers(prompt: PromptAttribution) -> str:
    """What null adapters give the target; "" without one."""
    if not prompt.nulls:
        return ""
    given = [one.target_prob for one in prompt.nulls]
    ends = dict.fromkeys(probability(end) for end in (min(given), max(given)))
    noun = "null adapter" if len(given) == 1 else f"{len(given)} null adapters"
    return f"{noun} {' to '.join(ends)}"


def _null_shifts(bundle: AttributionBundle) -> str:
    """What null adapters move, as an aside; "" without one."""
    shifts = bundle.null_shifts
    if not shifts:
        return ""
    noun = "a null adapter" if len(shifts) == 1 else f"{len(shifts)} null adapters"
    ends = dict.fromkeys(f"{end:+.2f}" for end in (min(shifts), max(shifts)))
    return f"; {noun} by {' to '.join(ends)}"


def _completeness(name: str, graph: Graph) -> str:
    return (
        f"{name}: {graph.n_nodes_on} of {graph.num_components} {graph.nodes_are} are on; attributions sum to "
        f"{graph.f_gated - graph.f_base + graph.completeness_gap:+.3f} of "
        f"{graph.f_gated - graph.f_base:+.3f}, gap "
        f"{graph.completeness_gap:+.4f} ({100 * graph.gap_share:.2f} %, {graph.n_steps} steps); the "
        "gates leave out "
        f"{graph.masking_error:+.3f}; {100 * graph.first_token_share:.0f} % of it on the fixed first token."
    )


def _tables(prompt: PromptAttribution) -> list[Table]:
    found = []
    for graph in (prompt.base, prompt.lora):
        if graph.nodes:
            found += [_node_table(graph), *_ablation_tables(graph)]
    return found + ([] if prompt.effect is None else _effect_tables(prompt.effect))


def _node_table(graph: Graph) -> Table:
    who = "base" if graph.mode == "base" else graph.adapter
    rows = []
    for node in graph.nodes[:MOST_NODES]:
        peak = max(range(len(graph.tokens)), key=lambda t: abs(node.attribution_per_token[t]))
        rows.append(
            (
                node.id, _shown(graph.tokens[peak]), f"{node.mean_gate:.2f}",
                f"{node.total_attribution:+.4f}",
                "" if node.ablation_delta is None else f"{node.ablation_delta:+.4f}",
                "" if node.null_quantile is None else f"{node.null_quantile:.3f}",
            )
        )  # fmt: skip
    return Table(
        f"{who}: {graph.nodes_are} by attribution, {_shown(graph.prompt)}",
        ("node", "strongest at", "gate", "attribution", "ablated alone", "null quantile"),
        tuple(rows),
        f"{len(graph.nodes)} nodes and {len(graph.edges)} edges are in the JSON; the others add up to "
        f"{graph.left_out:+.4f}.",
        n_left=2,
    )


def _ablation_tables(graph: Graph) -> list[Table]:
    """What the graph's nodes do when they are taken away."""
    check = graph.ablation
    if check is None:
        return []
    who = "base" if graph.mode == "base" else graph.adapter
    rows = [
        (
            str(s.n_nodes), f"{s.change:+.4f}", f"{s.claimed:+.4f}", _mean_size(s.by_count),
            _mean_size(s.by_energy),
        )
        for s in check.sets
    ]  # fmt: skip
    circuit, agreement = check.circuit, check.agreement
    note = (
        f"Single ablations of {agreement.n_nodes}: Spearman {_figure(agreement.spearman)}, sign "
        f"{_figure(agreement.sign)}, slope {_figure(agreement.slope)}. {circuit.n_nodes} nodes safe: "
        f"probability {circuit.full:.4f} with all on, {circuit.alone:.4f} alone, {circuit.random:.4f} with "
        f"others at random, {circuit.adversarial:.4f} under attack "
        f"({'complete' if circuit.is_complete else 'NOT a complete circuit'}; random nodes "
        f"{circuit.random_set:.4f})."
    )
    headings = ("nodes ablated", "change of f", "claimed", "|random|, equal count", "|random|, like energy")
    return [Table(f"{who}: ablation", headings, tuple(rows), note), _curve_table(who, check.curves)]


def _curve_table(who: str, curves: Curves) -> Table:
    """F along both curves, a column a point."""
    rows = (("deletion", curves.deletion), ("insertion", curves.insertion))
    return Table(
        f"{who}: f while nodes go, and come, those that claim most first",
        ("nodes", *map(str, curves.counts)),
        tuple((name, *(f"{value:.3f}" for value in values)) for name, values in rows),
        f"Deletion area {_figure(curves.deletion_area)} (random {_figure(curves.random_deletion_area)}), "
        f"insertion {_figure(curves.insertion_area)} (random {_figure(curves.random_insertion_area)}).",
    )


def causal_check(prompt: PromptAttribution) -> tuple[Table, ...]:
    """Everything that was done to the nodes and to the adapter for one prompt, in both models."""
    found = [table for graph in (prompt.base, prompt.lora) for table in _ablation_tables(graph)]
    return (*found, *([] if prompt.effect is None else _effect_tables(prompt.effect)))


def _effect_tables(effect: AdapterEffect) -> list[Table]:
    sites = sorted(effect.toggles, key=lambda t: -abs(t.off))[:MOST_SITES]
    dose = effect.dose
    how = "exact" if effect.is_exact else "drawn orders"
    layers = ", ".join(f"{share.layer} {share.value:+.3f}" for share in effect.layers)
    return [
        Table(
            "The adapter switched by matrix", ("matrix", "without it", "it alone"),
            tuple((t.site, f"{-t.off:+.4f}", f"{t.only:+.4f}") for t in sites),
            f"By layer (Shapley, {how}): {layers}.",
        ),
        Table(
            "The adapter scaled", ("scale", "f", "probability", "KL, nats"),
            tuple(
                (f"{s:g}", f"{v:.3f}", f"{p:.4f}", f"{kl:.4f}")
                for s, v, p, kl in zip(dose.scales, dose.values, dose.probabilities, dose.kl, strict=True)
                if round(s * 10) % 5 == 0
            ),
            f"f {'never turns back' if dose.is_monotone else 'turns back'} between scales 0 and 1.",
        ),
    ]  # fmt: skip


def pooled_table(pooled: tuple[PooledAblation, ...]) -> Table:
    """Ablation over all prompts, every figure with its interval."""
    rows = tuple(
        (
            p.mode, str(p.n_nodes), _interval(p.ratio_by_count), _interval(p.ratio_by_energy),
            _interval(p.sign), _interval(p.spearman), _interval(p.complete),
        )
        for p in pooled
    )  # fmt: skip
    headings = ("model", "nodes", "over equal count", "over like energy", "sign", "Spearman", "complete")
    return Table("Ablation over prompts, 95 % by resampling prompts", headings, rows)


def transplant_table(found: Transplant) -> Table:
    """Two authors' routes swapped, beside random routes and whole adapters."""
    rows = tuple((name, f"{gain:+.4f}") for name, gain in found.gains.items())
    return Table(
        f"Transplants: the {found.n_routes} most contributing routes of each author",
        ("routes on code", "gain, nats a token"),
        rows,
        f"Own code minus the other's, both added up: {_interval(found.contrast, 4)}; random routes of like "
        f"energy {_interval(found.random, 4)}; whole adapters {_interval(found.whole, 4)}. "
        f"{found.contrast.n} commits.",
    )


def _warnings(bundle: AttributionBundle) -> tuple[str, ...]:
    """What makes a graph not to be read as a mechanism."""
    found = []
    for graph in (g for p in bundle.prompts for g in (p.base, p.lora) if g.nodes):
        name = f"{_shown(graph.prompt)}, {graph.mode}"
        if graph.gap_share > bundle.config.gap_share:
            found.append(
                f"{name}: the completeness gap is {100 * graph.gap_share:.1f} % with {graph.n_steps} steps."
            )
        if graph.ablation is not None and not graph.ablation.circuit.is_complete:
            found.append(
                f"{name}: the {graph.ablation.circuit.n_nodes} largest nodes do not survive an adversary."
            )
    return tuple(found)


def _mean_size(values: tuple[float, ...]) -> str:
    return f"{sum(map(abs, values)) / len(values):.4f}" if values else ""


def _figure(value: float | None, digits: int = 2) -> str:
    return "undefined" if value is None else f"{value:.{digits}f}"


def _interval(estimate: Estimate, digits: int = 2) -> str:
    """A mean with its interval."""
    value, low, high = (_figure(v, digits) for v in (estimate.value, estimate.low, estimate.high))
    return value if estimate.value is None else f"{value} ({low} to {high})"


def _shown(text: str) -> str:
    """Code with its spaces and line ends made visible, its end if it is long."""
    text = text.replace("\n", "⏎").replace("\t", "⇥").replace(" ", "·")
    return f"'{text}'" if len(text) <= 40 else f"'…{text[-40:]}'"
