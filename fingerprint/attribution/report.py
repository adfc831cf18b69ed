"""Attribution graphs and their ablation as they are kept and shown. No torch, JSON both ways."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import BeforeValidator

from fingerprint.attribution.config import AttributionConfig
from fingerprint.storage import FrozenModel

Mode = Literal["base", "lora"]


def _none_for_nan(value: object) -> object:
    """JSON has no NaN: a figure that is undefined is missing."""
    return None if isinstance(value, float) and math.isnan(value) else value


Figure = Annotated[float | None, BeforeValidator(_none_for_nan)]
"""A figure, or None where it is undefined."""


class TokenProbability(FrozenModel):
    """A next token with its probability."""

    token: str
    prob: float


class Node(FrozenModel):
    """One node over all tokens of a prompt.

    Attributes:
        id: "L3__self_attn_v_proj:5". layer, matrix, component: its parts (a route's number is ``component``).
        mean_gate: over tokens but the first. attribution_per_token: of f, in f's units. total_attribution:
            their sum. ablation_delta: f with everything on minus f without this node; None: not ablated
            alone.
        null_quantile: share of a null adapter's nodes with less |total_attribution|; None without one.
    """

    id: str
    layer: int
    matrix: str
    component: int
    mean_gate: float
    attribution_per_token: tuple[float, ...]
    total_attribution: float
    ablation_delta: float | None = None
    null_quantile: float | None = None


class Edge(FrozenModel):
    """A direct effect: what ``src`` (all tokens together) does to the inner activity of ``dst`` at a token.

    ``dst`` "output" is f. weight: signed, in units of dst's activity, or of f.
    """

    src: str
    dst: str
    weight: float
    sign: Literal[-1, 1]
    dst_token: int


class SetAblation(FrozenModel):
    """What ablating the most attributed nodes does, beside random ones. Changes are f(all on) - f(without).

    Attributes:
        n_nodes: how many. change: of the most attributed. claimed: the sum of their attributions.
        by_count, by_energy: changes by random sets of equal count, and of equal count and like energy.
    """

    n_nodes: int
    change: float
    claimed: float
    by_count: tuple[float, ...]
    by_energy: tuple[float, ...]


class Curves(FrozenModel):
    """f while nodes go (deletion) and come (insertion), those that do most of what all do first.

    Attributes:
        counts: nodes gone, or come. deletion, insertion: f there. deletion_area, insertion_area: mean of
            (f - f(off)) / (f(on) - f(off)) over the counts: small and large are good; None where the nodes
            cancel. random_deletion_area, random_insertion_area: the same in random order.
    """

    counts: tuple[int, ...]
    deletion: tuple[float, ...]
    insertion: tuple[float, ...]
    deletion_area: Figure
    insertion_area: Figure
    random_deletion_area: Figure
    random_insertion_area: Figure


class Agreement(FrozenModel):
    """Attribution against ablating nodes one by one.

    Attributes:
        n_nodes: nodes ablated. spearman: of attribution and change. sign: share that move f as claimed, of
            those that move it at all. slope: of change on attribution, through the origin; 1 is calibrated.
    """

    n_nodes: int
    spearman: Figure
    sign: Figure
    slope: Figure


class Circuit(FrozenModel):
    """Probability of the target when only the most attributed nodes are safe.

    Attributes:
        n_nodes: nodes kept on. full: all on. alone: all others off. random: the others at random, mean.
        adversarial: the others as an adversary would have them. is_complete: whether the target keeps the
            accepted share of its probability under attack; without that a small circuit explains nothing.
        random_set: adversarial probability when as many random nodes are safe.
    """

    n_nodes: int
    full: float
    alone: float
    random: float
    adversarial: float
    is_complete: bool
    random_set: float


class Ablation(FrozenModel):
    """The causal check of one graph."""

    sets: tuple[SetAblation, ...]
    curves: Curves
    agreement: Agreement
    circuit: Circuit


class Graph(FrozenModel):
    """One prompt, one target, one model.

    Attributes:
        prompt_id, prompt, tokens: what was read; tokens[0] is the base's fixed first token.
        mode: "base", or "lora" for the adapted model. adapter: its name, "" for the base.
        nodes_are: components of the base, edits of the adapter, or routes. base_model, revision.
        target_pos: token after which the target stands. target_token_id, target_spec: what f is.
        target_prob, target_rank: of the target (rank 1: the likeliest). predicted_top: the five likeliest.
        layers, matrices, num_components: what is decomposed. n_nodes_on: nodes that are on somewhere.
        nodes, edges: the largest. left_out: sum of the attributions of nodes not shown.
        f_full: everything on. f_gated: nodes at their gates. f_base: every node off. completeness_gap: sum of
            all attributions minus (f_gated - f_base). gap_share: its share. n_steps: midpoints.
        first_token_share: share of |attribution| on the fixed first token.
        ablation: the causal check, None only where no node is on.
        dictionary_id: digest of what the nodes are. seed.
    """

    prompt_id: str
    prompt: str
    mode: Mode
    adapter: str
    nodes_are: Literal["components", "edits", "routes"]
    base_model: str
    revision: str
    tokens: tuple[str, ...]
    target_pos: int
    target_token_id: int
    target_spec: str
    target_prob: float
    target_rank: int
    predicted_top: tuple[TokenProbability, ...]
    layers: tuple[int, ...]
    matrices: tuple[str, ...]
    num_components: int
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
    dictionary_id: str
    seed: int

    @property
    def masking_error(self) -> float:
        """What the gates leave out of the model: f_full - f_gated."""
        return self.f_full - self.f_gated


class SiteToggle(FrozenModel):
    """The adapter switched at one matrix. off: f falls so much without it; only: rises so with it alone."""

    site: str
    off: float
    only: float


class DoseResponse(FrozenModel):
    """The adapter at other strengths.

    Attributes:
        scales: shares of its own scale. values, probabilities: f and the target's probability there.
        kl: KL divergence from the base, nats. is_monotone: whether f never turns back between 0 and 1.
    """

    scales: tuple[float, ...]
    values: tuple[float, ...]
    probabilities: tuple[float, ...]
    kl: tuple[float, ...]
    is_monotone: bool


class LayerShare(FrozenModel):
    """Shapley value of one layer's part of the adapter for f: its share of f(adapted) - f(base)."""

    layer: int
    value: float


class AdapterEffect(FrozenModel):
    """What the adapter does to f, cut by site, strength and layer; needs no decomposition."""

    toggles: tuple[SiteToggle, ...]
    dose: DoseResponse
    layers: tuple[LayerShare, ...]
    is_exact: bool


class NullAnswer(FrozenModel):
    """What a null adapter says to the same question.

    Attributes:
        f: what was asked for. target_prob: of the target. likeliest: next token.
    """

    f: float
    target_prob: float
    likeliest: TokenProbability


class PromptAttribution(FrozenModel):
    """One question asked of both models.

    Attributes:
        id: the prompt's. base, lora: the graphs. effect: the adapter switched and scaled, None without one.
        kl: KL divergence of the adapted next token from the base's, nats. note: on the target.
        nulls: the answers of null adapters, in one order for all prompts.
    """

    id: str
    base: Graph
    lora: Graph
    effect: AdapterEffect | None
    kl: float
    note: str = ""
    nulls: tuple[NullAnswer, ...] = ()


class Estimate(FrozenModel):
    """A mean over prompts, with its 95 % percentile interval by resampling prompts."""

    value: Figure
    low: Figure
    high: Figure
    n: int


class PooledAblation(FrozenModel):
    """Ablation over all prompts of one mode, for sets of one size.

    Attributes:
        ratio_by_count, ratio_by_energy: mean |change| by the most attributed over that by random nodes.
        sign: share of prompts that move as claimed. spearman: mean agreement with single ablations.
        complete: share of prompts whose circuit survives the attack.
    """

    mode: Mode
    n_nodes: int
    ratio_by_count: Estimate
    ratio_by_energy: Estimate
    sign: Estimate
    spearman: Estimate
    complete: Estimate


class Transplant(FrozenModel):
    """Gains in nats per scored token over the base, by whose routes and on whose code.

    Attributes:
        authors: the two. n_routes: transplanted of each, of ``n_alive`` alive ones.
        gains: (donor, host code) -> mean gain. contrast: own code minus other code, both donors added up: the
            double dissociation, with its interval by whole commits. random: the same by random routes of like
            energy, mean over draws. whole: the same by whole adapters, the most that routes can give.
    """

    authors: tuple[str, str]
    n_routes: int
    n_alive: int
    gains: dict[str, float]
    contrast: Estimate
    random: Estimate
    whole: Estimate


class AttributionBundle(FrozenModel):
    """Several prompts with the same models.

    Attributes:
        config: the dials. prompts: one each. pooled: by mode and size of the ablated set. shift: mean over
            prompts of f(adapted) - f(base). transplant: routes swapped with another author's.
    """

    format: Literal[1] = 1
    config: AttributionConfig
    prompts: tuple[PromptAttribution, ...]
    pooled: tuple[PooledAblation, ...]
    shift: Estimate
    transplant: Transplant | None = None

    @property
    def null_shifts(self) -> tuple[float, ...]:
        """Mean over prompts of f(null) - f(base) of each null adapter: what ``shift`` is held against."""
        by_null = zip(*([one.f - p.base.f_full for one in p.nulls] for p in self.prompts), strict=True)
        return tuple(sum(changes) / len(changes) for changes in by_null)
