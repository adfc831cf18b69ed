"""Questions in, graphs out: attribution, edges and ablation of both models for the same target."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int

from fingerprint.attribution.ablation import ablate_graph
from fingerprint.attribution.adapter_effect import divergence, measure_adapter
from fingerprint.attribution.config import AttributionConfig
from fingerprint.attribution.edges import OUTPUT, direct_effects
from fingerprint.attribution.integrate import NodeAttribution, attribute_nodes
from fingerprint.attribution.nodes import NodeSpace
from fingerprint.attribution.question import Question
from fingerprint.attribution.report import (
    Ablation,
    AttributionBundle,
    Edge,
    Estimate,
    Graph,
    Mode,
    Node,
    NullAnswer,
    PooledAblation,
    PromptAttribution,
    TokenProbability,
)
from fingerprint.attribution.sites import node_id
from fingerprint.evaluation.metrics import bootstrap_draws, percentile_interval
from fingerprint.lm.load import Base
from fingerprint.lm.pair import ModelPair
from fingerprint.lm.sites import layer_of, matrix_of
from fingerprint.lm.tokens import top_guesses

N_TOP = 5


@dataclass(frozen=True, eq=False)
class Subjects:
    """The two models that every question is asked of, and what their nodes are.

    Attributes:
        pair: the base and the adapted state. adapter: the latter's name.
        base, lora: nodes of either. Edits and routes are off in the base: then ``base`` is None.
        null: nodes of a null adapter of the same kind as ``lora``, or None. nulls: the base and every null
            adapter, whose answers stand beside.
    """

    pair: ModelPair
    adapter: str
    base: NodeSpace | None
    lora: NodeSpace
    null: NodeSpace | None = None
    nulls: tuple[ModelPair, ...] = ()

    @classmethod
    def of_routes(
        cls, pair: ModelPair, adapter: str, digest: str, nulls: Sequence[tuple[ModelPair, str]] = ()
    ) -> Subjects:
        """Routes as nodes: works wherever there is an adapter. nulls: with digests; the first gives nodes."""
        other = NodeSpace.of_routes(*nulls[0]) if nulls else None
        beside = tuple(null for null, _ in nulls)
        return cls(pair, adapter, None, NodeSpace.of_routes(pair, digest), other, beside)

    @property
    def has_effect(self) -> bool:
        """Whether the two states differ at all."""
        return any(bool((b != self.pair.end[site]).any()) for site, b in self.pair.start.items())


def attribute_prompts(
    subjects: Subjects,
    questions: Sequence[Question],
    config: AttributionConfig | None = None,
    *,
    progress: Callable[[int, int], None] = lambda _done, _of: None,
) -> AttributionBundle:
    """Ask both models every question; no attribution leaves here without its ablation."""
    config = config or AttributionConfig()
    prompts = []
    for question in questions:
        prompts.append(attribute_prompt(subjects, question, config))
        progress(len(prompts), len(questions))
    return AttributionBundle(
        config=config, prompts=tuple(prompts), pooled=tuple(_pool(prompts, config)),
        shift=_estimate([p.lora.f_full - p.base.f_full for p in prompts], config),
    )  # fmt: skip


def attribute_prompt(subjects: Subjects, question: Question, config: AttributionConfig) -> PromptAttribution:
    """One question, both models."""
    pair = subjects.pair
    logits = [_logits(pair, tau, question) for tau in (0.0, 1.0)]
    null = None
    if subjects.null is not None:
        null = attribute_nodes(subjects.null, question, config).totals.abs().cpu().numpy()
    routes = NodeSpace.of_routes(pair, "") if subjects.has_effect else None
    return PromptAttribution(
        id=question.name,
        base=_Asked(subjects, question, config, None).graph("base", subjects.base, logits[0]),
        lora=_Asked(subjects, question, config, null).graph("lora", subjects.lora, logits[1]),
        effect=None if routes is None else measure_adapter(routes, question, config),
        kl=divergence(*logits),
        note=question.note,
        nulls=tuple(_null_answer(null, question) for null in subjects.nulls),
    )


def _logits(pair: ModelPair, tau: float, question: Question) -> Float[torch.Tensor, "1 v"]:
    with torch.no_grad(), pair.at(tau) as model:
        return question.logits(model)


def _null_answer(null: ModelPair, question: Question) -> NullAnswer:
    logits = _logits(null, 1.0, question)
    return NullAnswer(
        f=float(question.value(logits)[0]),
        target_prob=float(logits.softmax(-1)[0, question.target]),
        likeliest=_likeliest(null.routed.base, logits)[0],
    )


def _likeliest(base: Base, logits: Float[torch.Tensor, "1 v"]) -> tuple[TokenProbability, ...]:
    guesses = top_guesses(base, logits.log_softmax(-1), N_TOP)[0]
    return tuple(TokenProbability(token=token, prob=prob) for token, prob in guesses)


@dataclass(frozen=True, eq=False)
class _Asked:
    """One question with what it is asked of. null: |total attribution| of a null adapter's nodes, or None."""

    subjects: Subjects
    question: Question
    config: AttributionConfig
    null: Float[np.ndarray, " c"] | None

    def graph(self, mode: Mode, space: NodeSpace | None, logits: Float[torch.Tensor, "1 v"]) -> Graph:
        """The graph of one model; without a space the model has no nodes, and f is all baseline."""
        question, config, base = self.question, self.config, self.subjects.pair.routed.base
        described = space or self.subjects.lora
        probabilities = logits.softmax(-1)[0]
        inside = _Inside.empty(float(question.value(logits)[0]))
        if space is not None:
            inside = _look_inside(space, question, config, self.null)
        return Graph(
            prompt_id=question.name,
            prompt=question.prompt,
            mode=mode,
            adapter=self.subjects.adapter if mode == "lora" else "",
            nodes_are=described.kind,
            base_model=base.name,
            revision=base.revision,
            tokens=tuple(base.token_text(token) for token in question.ids[0].tolist()),
            target_pos=question.n_tokens - 1,
            target_token_id=question.target,
            target_spec=question.describe(base),
            target_prob=float(probabilities[question.target]),
            target_rank=1 + int((probabilities > probabilities[question.target]).sum()),
            predicted_top=_likeliest(base, logits),
            layers=tuple(sorted({layer_of(site) for site in described.components.sites})),
            matrices=tuple(dict.fromkeys(matrix_of(site) for site in described.components.sites)),
            num_components=described.n_nodes,
            dictionary_id=described.dictionary,
            seed=config.seed,
            **vars(inside),
        )


@dataclass(frozen=True)
class _Inside:
    """The fields of a graph that a space of nodes fills."""

    n_nodes_on: int
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    left_out: float
    f_full: float
    f_gated: float
    f_base: float
    completeness_gap: float
    gap_share: float
    n_steps: int
    first_token_share: float
    ablation: Ablation | None

    @classmethod
    def empty(cls, f: float) -> _Inside:
        """A model without nodes."""
        return cls(0, (), (), 0.0, f, f, f, 0.0, 0.0, 0, 0.0, None)


def _look_inside(
    space: NodeSpace,
    question: Question,
    config: AttributionConfig,
    null: Float[np.ndarray, " c"] | None,
) -> _Inside:
    """Attribute, connect, ablate."""
    found = attribute_nodes(space, question, config)
    chosen, moved = _shown(found, config), found.gated - found.off
    ablation, alone = _check(space, question, found, config)
    return _Inside(
        n_nodes_on=int((found.gates.max(0).values > 0).sum()),
        nodes=tuple(_node(space, found, int(c), alone, null) for c in chosen),
        edges=_edges(space, question, found, chosen, config),
        left_out=float(found.totals.sum() - found.totals[torch.from_numpy(chosen)].sum()),
        f_full=found.full,
        f_gated=found.gated,
        f_base=found.off,
        completeness_gap=found.gap,
        gap_share=abs(found.gap / moved) if moved else 0.0,
        n_steps=found.n_steps,
        first_token_share=_first_share(found),
        ablation=ablation,
    )


def _check(
    space: NodeSpace, question: Question, found: NodeAttribution, config: AttributionConfig
) -> tuple[Ablation | None, dict[int, float]]:
    """The causal check; None where fewer than two nodes are on."""
    if int((found.gates.max(0).values > 0).sum()) < 2:
        return None, {}
    return ablate_graph(space, question, found, config)


def _first_share(found: NodeAttribution) -> float:
    total = float(found.values.abs().sum())
    return float(found.values[0].abs().sum()) / total if total else 0.0


def _shown(found: NodeAttribution, config: AttributionConfig) -> Int[np.ndarray, " k"]:
    """The largest nodes above the threshold at some token."""
    largest = found.values.abs().max(0).values.cpu().numpy()
    order = np.argsort(-found.totals.abs().cpu().numpy(), kind="stable")
    return order[largest[order] > config.least_attribution][: config.most_nodes]


def _node(
    space: NodeSpace,
    found: NodeAttribution,
    c: int,
    alone: Mapping[int, float],
    null: Float[np.ndarray, " c"] | None,
) -> Node:
    site, number = space.names[c]
    total = float(found.totals[c])
    return Node(
        id=node_id(site, number),
        layer=layer_of(site),
        matrix=matrix_of(site),
        component=number,
        mean_gate=float(found.gates[1:, c].mean()) if len(found.gates) > 1 else float(found.gates[0, c]),
        attribution_per_token=tuple(found.values[:, c].tolist()),
        total_attribution=total,
        ablation_delta=alone.get(c),
        null_quantile=None if null is None else float((null < abs(total)).mean()),
    )


def _edges(
    space: NodeSpace,
    question: Question,
    found: NodeAttribution,
    chosen: Int[np.ndarray, " k"],
    config: AttributionConfig,
) -> tuple[Edge, ...]:
    """The strongest direct effects between shown nodes, on the destination's strongest token, and on f."""
    if not len(chosen):
        return ()
    tokens = found.values.abs().argmax(0).tolist()
    targets = [(OUTPUT, question.n_tokens - 1)]
    targets += [(int(c), tokens[c]) for c in chosen[: config.most_edge_targets]]
    effects = direct_effects(space, question, found, targets).sum(1)[:, chosen].double().cpu().numpy()
    names = {int(c): node_id(*space.names[c]) for c in chosen} | {OUTPUT: "output"}
    edges = []
    for (node, token), row in zip(targets, effects, strict=True):
        strongest = np.argsort(-np.abs(row), kind="stable")[: config.edges_per_node]
        edges += [
            _edge(names[int(chosen[i])], names[node], float(row[i]), token) for i in strongest if row[i]
        ]
    return tuple(edges)


def _edge(src: str, dst: str, weight: float, token: int) -> Edge:
    return Edge(src=src, dst=dst, weight=weight, sign=1 if weight > 0 else -1, dst_token=token)


def _pool(prompts: Sequence[PromptAttribution], config: AttributionConfig) -> list[PooledAblation]:
    """Ablation over prompts, by mode and size of the set."""
    found = []
    for mode in ("base", "lora"):
        checks = [check for p in prompts if (check := getattr(p, mode).ablation) is not None]
        for n in sorted({s.n_nodes for check in checks for s in check.sets}):
            pairs = [(c, s) for c in checks for s in c.sets if s.n_nodes == n]
            change = np.array([abs(s.change) for _, s in pairs])
            by_count, by_energy = (
                np.array([np.abs(getattr(s, kind)).mean() for _, s in pairs])
                for kind in ("by_count", "by_energy")
            )
            found.append(
                PooledAblation(
                    mode=mode,
                    n_nodes=n,
                    ratio_by_count=_ratio(change, by_count, config),
                    ratio_by_energy=_ratio(change, by_energy, config),
                    sign=_estimate(
                        [float(np.sign(s.change) == np.sign(s.claimed)) for _, s in pairs], config
                    ),
                    spearman=_estimate([c.agreement.spearman for c, _ in pairs], config),
                    complete=_estimate([float(c.circuit.is_complete) for c, _ in pairs], config),
                )
            )
    return found


def _ratio(
    change: Float[np.ndarray, " n"], random: Float[np.ndarray, " n"], config: AttributionConfig
) -> Estimate:
    """Ratio of means over prompts."""

    def ratio(rows: np.ndarray) -> float:
        below = random[rows].mean()
        return float(change[rows].mean() / below) if below else float("nan")

    return _interval(ratio, len(change), config)


def _estimate(values: Sequence[float | None], config: AttributionConfig) -> Estimate:
    """Mean over prompts; those without a value are left out."""
    known = np.array([value for value in values if value is not None and not np.isnan(value)])
    return _interval(lambda rows: float(known[rows].mean()), len(known), config)


def _interval(measure: Callable[[np.ndarray], float], n: int, config: AttributionConfig) -> Estimate:
    if not n:
        return Estimate(value=float("nan"), low=float("nan"), high=float("nan"), n=0)
    names = [str(i) for i in range(n)]
    draws = bootstrap_draws(measure, names, n_draws=config.n_bootstrap, seed=config.seed)
    found = percentile_interval(measure(np.arange(n)), draws, 0.95)
    return Estimate(value=found.value, low=found.low, high=found.high, n=n)
