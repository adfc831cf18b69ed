from __future__ import annotations

import json
import time
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Any

import pytest

from fingerprint.attribution.report import Node
from service.reports.attribution import shift_sentences
from service.reports.pages.components import (
    Browsed,
    Wanted,
    card_data,
    choose,
    components_page,
    one_components_page,
)
from service.reports.pages.graph import graph_page, q_values
from service.reports.pages.page import render_served, render_single_file
from tests.service.reports.pages import insides
from tests.service.reports.pages.markup import Elements
from tests.service.reports.pages.shapes import HOSTILE


def read(page) -> Elements:
    return Elements(render_single_file(page))


def components(cards, what="the dictionary") -> Elements:
    return read(components_page(insides.browsed(cards, what), model="team", command="x"))


def browsed(n: int) -> Browsed:
    return insides.browsed(insides.cards(n))


def served(all_of_them: Browsed, **wanted) -> Elements:
    page = one_components_page(all_of_them, Wanted(**wanted), model="team", address="/components/1/team")
    return Elements(render_served(page, lambda name: f"/assets/{name}"))


def with_quantile(quantile: float | None) -> Node:
    node = insides.bundle().prompts[0].lora.nodes[0]
    return node.model_copy(update={"null_quantile": quantile})


def test_adjusted_p_values_by_hand() -> None:
    """p = .01, .02, .03, .5 of four: 4 p / rank is .04, .04, .04, .5, made monotone from the largest."""
    nodes = [with_quantile(q) for q in (0.98, None, 0.5, 0.99, 0.97)]
    assert q_values(nodes) == [
        pytest.approx(0.04),
        None,
        pytest.approx(0.5),
        pytest.approx(0.04),
        pytest.approx(0.04),
    ]
    assert q_values([]) == []


def test_the_graph_says_both_models_and_their_difference() -> None:
    page = read(graph_page(insides.bundle(), repository="sample", command="routeprint attribute"))
    assert "Target probability .26, rank 3" in page.text
    assert "No part of this model is on" in page.text  # of the second prompt's base
    base, lora = insides.bundle().prompts[0].base.nodes[0], insides.bundle().prompts[0].lora.nodes[0]
    change = f"{lora.total_attribution - base.total_attribution:+.3f}".replace("-", "−")
    assert change in page.text
    assert "adapted 5 3.10 (1.20 to 5.40) 3.10 (1.20 to 5.40) 0.50 (0.00 to 1.00)" in page.text
    stored = json.loads(next(text for _, kind, text in page.inline if kind == "application/json"))
    assert [len(p["lora"]["nodes"]) for p in stored["prompts"]] == [30, 30]


def test_the_whole_causal_check_stands_on_the_page_of_the_graph() -> None:
    """Sets, both curves, rank agreement, the adversary, matrices switched, scales, and the transplant."""
    text = read(graph_page(insides.checked(), repository="sample", command="")).text
    for said in (
        "human:ann: ablation", "1 +0.6000 +0.5000 0.1500 0.3000", "Spearman 0.83, sign 0.90, slope 1.10",
        "0.0030 under attack (NOT a complete circuit", "deletion 1.000 0.400 0.100",
        "insertion 0.100 0.700 1.000", "Deletion area 0.21 (random 0.52), insertion 0.79 (random undefined)",
        "ann.down_proj -0.3500 +0.2500", "By layer (Shapley, exact): 0 +0.900", "0.5 0.600 0.1000 0.0500",
        "never turns back", "ann on bob -0.0500", "0.0920 (0.0780 to 0.1040)",
    ):  # fmt: skip
        assert said in text, said
    page = read(graph_page(insides.checked(HOSTILE), repository="sample", command=""))
    assert page.acts() == []
    assert "Routes swapped" not in read(graph_page(insides.bundle(), repository="s", command="")).text


def test_shifts_of_tokens_are_told_for_people_and_with_their_interval() -> None:
    first, second, pooled = shift_sentences(insides.bundle())
    guess = "'pub·use·crate::' .30"
    target = "logit of 'config': base .04, adapted .26, 2 null adapters .05 to .07"
    assert first == second == f"After 'pub·use·crate::': base {guess}, adapted {guess}; {target}."
    assert pooled.startswith("Over 2 prompts the adapter moves what was asked for by 1.00 (0.50 to 1.50)")


def test_hostile_text_does_not_act() -> None:
    for page in (
        read(graph_page(insides.bundle(HOSTILE), repository=HOSTILE, command=HOSTILE)),
        components(insides.hostile_cards(), HOSTILE),
    ):
        assert page.acts() == []
        assert not {"\u202e", "\x1b"} & set(page.text)
        assert page.text.count("<script>alert(1)</script>") >= 4
        assert len([kind for _, kind, _ in page.inline if kind == ""]) > 0
        data = next(text for _, kind, text in page.inline if kind == "application/json")
        assert "<" not in data


def test_a_card_says_what_its_label_is_worth() -> None:
    page = components(insides.cards(5))
    card = card_data(insides.cards(5)[0], insides.VOCABULARY)
    assert "label AUROC {:.2f} ({:.2f} to {:.2f})".format(*card["score"]) in page.text
    assert "label not scored" in page.text  # the one that never fires
    assert page.text.count("corpus, not author") == 3  # in the sentence above, and on components 0 and 3


def test_a_window_has_its_firing_in_the_middle() -> None:
    assert card_data(insides.cards(1)[0], insides.VOCABULARY)["windows"][0] == [
        "def load(",
        "path",
        "):⏎    return",
    ]


def test_one_page_of_several_has_links_and_a_form() -> None:
    page = served(browsed(60), page=2, search="load", order="density")
    links = [a["href"] for a in page.named("a") if a.get("rel")]
    assert (
        links
        == [f"/components/1/team?search=load&group=&state=&order=density&page={n}" for n in (1, 3)][
            : len(links)
        ]
    )
    assert "48 of 60 components, page 2 of 2" in page.text
    assert len(page.named("article")) == 24
    assert [s["src"] for s in page.named("script")] == ["/assets/page.js"]
    assert len(served(browsed(60), page=99).named("article")) == 12


def test_another_model_is_asked_the_same_question() -> None:
    models = (("the base", "/components/1/base"), ("the team", "/components/1/team"))
    page = one_components_page(
        browsed(60), Wanted(search="load"), model="team", address="/components/1/team", models=models
    )
    links = {
        a["href"]: a for a in Elements(render_served(page, str)).named("a") if a.get("class") == "button"
    }
    asked = "?search=load&group=&state=&order=score"
    assert list(links) == [address + asked for _, address in models]
    assert [a.get("aria-current") for a in links.values()] == [None, "page"]
    assert not [a for a in served(browsed(60)).named("a") if a.get("class") == "button"], "one model alone"


def test_changes_can_be_filtered_where_they_were_measured_and_say_their_controls() -> None:
    cards = [replace(card, is_changed=n == 2) for n, card in enumerate(insides.cards(4))]
    told = "1 of 3 tested latents change their firing rate; the base against itself: 0."
    found = insides.browsed(cards, changes=told)
    assert [card["number"] for card in choose(found, Wanted(state="changed"))] == [2]
    page = served(found)
    assert f"Changed: {told}" in page.text and "significantly changed" in page.text
    assert "changed" not in served(browsed(4)).text


def _numbers(found: Browsed, **wanted: Any) -> list[int]:
    asked: dict[str, Any] = {"order": "number"} | wanted
    return [card["number"] for card in choose(found, Wanted(**asked))]


def test_every_filter_and_order_by_hand() -> None:
    """Of ten cards 4 and 9 are dead, 0, 3, 6 and 9 the corpus's own; labels are "on load<n mod 7>"."""
    ten = browsed(10)
    numbers = partial(_numbers, ten)
    assert numbers(state="alive") == [0, 1, 2, 3, 5, 6, 7, 8]
    assert numbers(state="author") == [1, 2, 5, 7, 8]
    assert numbers(state="changed") == []
    assert numbers(search=" LOAD1 ") == [1, 8]
    assert numbers(group="block 0") == list(range(10)) and numbers(group="block 1") == []
    density = [card["density"] for card in choose(ten, Wanted(order="density"))]
    assert density == sorted(density, reverse=True)
    assert numbers(order="score")[-2:] == [4, 9]
    scores = [(card["score"] or [-1])[0] for card in choose(ten, Wanted())]
    assert scores == sorted(scores, reverse=True), "what says most comes first"


def test_components_of_matrices_are_named_as_in_the_graph_and_stand_beside_the_base() -> None:
    """Of ten, 0, 3, 6 and 9 are dead in the base, 4 and 9 here; 1 changes beyond its nulls."""
    ten = insides.browsed(insides.component_cards(10), warning="INVALID: it collapsed")
    assert [card["id"] for card in ten.cards[:3]] == [
        "L0__self_attn_v:0", "L1__mlp_down:0", "L0__self_attn_v:1",
    ]  # fmt: skip
    assert ten.groups == ["layer 0 · self_attn_v", "layer 1 · mlp_down"]
    numbers = partial(_numbers, ten)
    assert numbers(group=ten.groups[1]) == numbers(search="MLP_down") == [1, 3, 5, 7, 9]
    assert numbers(state="base") == [1, 2, 4, 5, 7, 8]
    assert numbers(state="gained") == [0, 3, 6]
    assert numbers(state="lost") == [4]
    assert numbers(state="changed") == [1]
    change = "mean gate in the base 0.1200, here 0.1800: +0.0600 (+0.0400 to +0.0800), q 0.010; "
    for page in (served(ten), read(components_page(ten, model="team", command="x"))):
        assert change + "null adapters −0.0100 to +0.0200" in page.text
        assert "INVALID: it collapsed" in page.text
        assert "40 tokens, 7 in the base" in page.text
        assert "gained: alive here alone" in page.text
    assert "gained" not in served(browsed(10)).text, "the base has nothing beside it"


def test_a_card_can_be_asked_for_by_name() -> None:
    sixty = insides.browsed(insides.component_cards(60))
    page = served(sixty, card="L1__mlp_down:20")  # number 41
    assert "page 2 of 3" in page.text
    assert "L1__mlp_down:20" in [a.get("id") for a in page.named("article")]
    assert "page 1 of 3" in served(sixty, card="no such").text


def test_a_page_of_five_thousand_is_chosen_in_no_time() -> None:
    many = browsed(5_000)
    served(many)
    started = time.process_time()
    for page in (1, 2, 200):
        served(many, page=page, search="load3", order="score")
    assert time.process_time() - started < 3 * 0.5
    small = render_served(one_components_page(many, Wanted(), model="m", address="/c"), str)
    assert len(small) < 100 * 1024


def test_sizes_grow_with_the_components_shown_and_not_with_more() -> None:
    pages = [
        components_page(insides.browsed(insides.cards(n)), model="m", command="c") for n in (24, 124, 224)
    ]
    sizes = [len(render_single_file(page)) for page in pages]
    first, second = (b - a for a, b in pairwise(sizes))
    assert first == pytest.approx(second, rel=0.1)
