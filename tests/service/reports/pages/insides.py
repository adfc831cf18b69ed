"""The attribution graph's and the components browser's nouns in the shapes that real runs give them."""

from __future__ import annotations

import random
from dataclasses import replace

from fingerprint.attribution.config import AttributionConfig
from fingerprint.attribution.report import (
    Ablation,
    AdapterEffect,
    Agreement,
    AttributionBundle,
    Circuit,
    Curves,
    DoseResponse,
    Edge,
    Estimate,
    Graph,
    LayerShare,
    Mode,
    Node,
    NullAnswer,
    PooledAblation,
    PromptAttribution,
    SetAblation,
    SiteToggle,
    TokenProbability,
    Transplant,
)
from fingerprint.evaluation.metrics import Interval
from fingerprint.harvest.store import Component, Example, TokenFigure
from fingerprint.labels.label import Label
from fingerprint.labels.scoring import LabelScore
from fingerprint.vpd.report import ComponentChange
from service.reports.pages.components import Browsed, Card, card_data
from tests.service.reports.pages.shapes import HOSTILE

TOKENS = ("<s>", "pub", " use", " crate", "::")
VOCABULARY = {0: "def", 1: " load", 2: "(", 3: "path", 4: ")", 5: ":", 6: "\n    ", 7: "return"}


def node(n: int, draw: random.Random, *, has_null: bool) -> Node:
    values = tuple(draw.gauss(0, 0.1 + 0.3 / (1 + n)) for _ in TOKENS)
    matrix = ("self_attn_v", "mlp_down", "self_attn_o")[n % 3]
    return Node(
        id=f"L{n % 4}__{matrix}:{n}", layer=n % 4, matrix=matrix, component=n, mean_gate=0.4,
        attribution_per_token=values, total_attribution=sum(values),
        ablation_delta=None if n > 12 else 0.6 * sum(values),
        null_quantile=(1 - 0.001 * n * n) if has_null else None,
    )  # fmt: skip


def graph(mode: Mode, n_nodes: int, seed: int, text: str = "pub use crate::") -> Graph:
    draw = random.Random(seed)
    nodes = tuple(node(n, draw, has_null=mode == "lora") for n in range(n_nodes))
    edges = tuple(
        Edge(
            src=nodes[i + 3].id,
            dst=nodes[i].id if i % 4 else "output",
            weight=0.1 * (i - 3),
            sign=1,
            dst_token=2,
        )
        for i in range(max(0, min(12, n_nodes - 3)))
    )
    return Graph(
        prompt_id="p", prompt=text, mode=mode, adapter="human:ann" if mode == "lora" else "",
        nodes_are="components", base_model="starter", revision="r", tokens=TOKENS, target_pos=4,
        target_token_id=7, target_spec="logit of 'config'", target_prob=0.04 if mode == "base" else 0.26,
        target_rank=3, predicted_top=(TokenProbability(token=text, prob=0.3),), layers=(0, 1, 2, 3),
        matrices=("self_attn_v", "mlp_down", "self_attn_o"), num_components=90, n_nodes_on=n_nodes + 5,
        nodes=nodes,
        edges=edges, left_out=0.02, f_full=1.0, f_gated=0.9, f_base=0.1, completeness_gap=0.0018,
        gap_share=0.005,
        n_steps=32, first_token_share=0.3, ablation=None, dictionary_id="d", seed=0,
    )  # fmt: skip


def ablation() -> Ablation:
    return Ablation(
        sets=(SetAblation(n_nodes=1, change=0.6, claimed=0.5, by_count=(0.1, -0.2), by_energy=(0.3,)),),
        curves=Curves(
            counts=(0, 5, 35), deletion=(1.0, 0.4, 0.1), insertion=(0.1, 0.7, 1.0), deletion_area=0.21,
            insertion_area=0.79, random_deletion_area=0.52, random_insertion_area=None,
        ),
        agreement=Agreement(n_nodes=40, spearman=0.83, sign=0.9, slope=1.1),
        circuit=Circuit(
            n_nodes=20, full=0.26, alone=0.2, random=0.22, adversarial=0.003, is_complete=False,
            random_set=0.001,
        ),
    )  # fmt: skip


def effect(site: str = "model.layers.0.mlp.down_proj") -> AdapterEffect:
    scales = (0.0, 0.5, 1.0, 1.5)
    dose = DoseResponse(
        scales=scales, values=(0.1, 0.6, 1.0, 1.1), probabilities=(0.04, 0.1, 0.26, 0.28),
        kl=(0.0, 0.05, 0.2, 0.3), is_monotone=True,
    )  # fmt: skip
    return AdapterEffect(
        toggles=(SiteToggle(site=site, off=0.35, only=0.25),), dose=dose,
        layers=(LayerShare(layer=0, value=0.9),), is_exact=True,
    )  # fmt: skip


def checked(text: str = "ann") -> AttributionBundle:
    """Every part of the causal check, for one prompt, and a transplant."""
    prompt, *_ = bundle().prompts
    lora = prompt.lora.model_copy(update={"ablation": ablation()})
    swapped = Transplant(
        authors=(text, "bob"), n_routes=40, n_alive=500, gains={f"{text} on bob": -0.05},
        contrast=Estimate(value=0.092, low=0.078, high=0.104, n=43), random=pooled().sign,
        whole=pooled().sign,
    )  # fmt: skip
    prompt = prompt.model_copy(update={"lora": lora, "effect": effect(f"{text}.down_proj")})
    return bundle().model_copy(update={"prompts": (prompt,), "transplant": swapped})


def pooled() -> PooledAblation:
    ratio = Estimate(value=3.1, low=1.2, high=5.4, n=2)
    share = Estimate(value=0.5, low=0.0, high=1.0, n=2)
    return PooledAblation(
        mode="lora", n_nodes=5, ratio_by_count=ratio, ratio_by_energy=ratio, sign=share, spearman=share,
        complete=share,
    )  # fmt: skip


def bundle(text: str = "pub use crate::") -> AttributionBundle:
    prompts = tuple(
        PromptAttribution(
            id=f"p{n}",
            base=graph("base", 18 - 18 * n, n, text),
            lora=graph("lora", 30, n + 9, text),
            effect=None,
            kl=0.2,
            nulls=tuple(
                NullAnswer(f=1.0 + f, target_prob=0.05 + f, likeliest=TokenProbability(token=text, prob=0.3))
                for f in (0.0, 0.02)
            ),
        )
        for n in range(2)
    )
    return AttributionBundle(
        config=AttributionConfig(),
        prompts=prompts,
        pooled=(pooled(),),
        shift=Estimate(value=1.0, low=0.5, high=1.5, n=2),
    )


def cards(n: int, text: str = "") -> list[Card]:
    draw = random.Random(0)
    return [card(number, draw, text) for number in range(n)]


def card(number: int, draw: random.Random, text: str) -> Card:
    figure = TokenFigure(1, text or f" load{number % 7}", 12, 2.1, 0.8, 0.4)
    window = Example((-1, 0, 1, 2, 3, 4, 5, 6, 7), 0.8)
    is_alive = number % 5 != 4
    component = Component(
        number, f"block {number // 2500}", number % 2500, 40 * is_alive, draw.random() * 0.02 * is_alive,
        0.5, 0.1,
        (figure,) * 3 if is_alive else (), (figure,) * 2 if is_alive else (), (),
        (window,) * 3 if is_alive else (),
    )  # fmt: skip
    label = Label(
        number,
        text or (f"on load{number % 7}" if is_alive else "unclear"),
        "tokens",
        is_corpus=number % 3 == 0,
    )
    area = draw.uniform(0.4, 1)
    score = LabelScore(number, 9, 90, Interval(area, area - 0.1, area + 0.1), Interval(0.6, 0.5, 0.7), 0.4)
    return Card(component, label, score if is_alive else None)


def hostile_cards() -> list[Card]:
    return cards(3, HOSTILE)


def browsed(cards: list[Card], what: str = "the dictionary", changes: str = "", warning: str = "") -> Browsed:
    return Browsed(tuple(card_data(card, VOCABULARY) for card in cards), what, changes, warning, "d")


def component_cards(n: int) -> list[Card]:
    """Of two matrices, in an adapted model: of the base 0, 3, 6, ... are dead; here 4, 9, ...; 1 changes."""
    change = ComponentChange(
        matrix="model.layers.1.mlp.down", component=0, n_clusters=9, gate_base=0.12, gate_adapted=0.18,
        change=0.06, low=0.04, high=0.08, p_value=0.001, q_value=0.01, is_changed=True, null_low=-0.01,
        null_high=0.02,
    )  # fmt: skip
    found: list[Card] = []
    for card in cards(n):
        number, one = card.component.number, card.component
        site = ("model.layers.0.self_attn.v", "model.layers.1.mlp.down")[number % 2]
        found.append(
            replace(
                card, component=replace(one, group=site, index=number // 2), is_of_a_matrix=True,
                base_firings=7 * (number % 3 > 0), is_changed=number == 1,
                change=change if number == 1 else None,
            )
        )  # fmt: skip
    return found
