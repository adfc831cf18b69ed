from __future__ import annotations

import json
from itertools import pairwise

import pytest

from fingerprint.attribution.report import Node
from service.reports.pages.components import card_data, components_page
from service.reports.pages.graph import graph_page, q_values
from service.reports.pages.page import render_single_file
from tests.service.reports.pages import insides
from tests.service.reports.pages.markup import Elements
from tests.service.reports.pages.shapes import HOSTILE


def read(page) -> Elements:
    return Elements(render_single_file(page))


def components(cards, links=None) -> Elements:
    what = HOSTILE if links else "the dictionary"
    return read(components_page(cards, insides.VOCABULARY, model="team", what=what, command="x", links=links))


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
    stored = json.loads(next(text for _, kind, text in page.inline if kind == "application/json"))
    assert [len(p["lora"]["nodes"]) for p in stored["prompts"]] == [30, 30]


def test_hostile_text_does_not_act() -> None:
    for page in (
        read(graph_page(insides.bundle(HOSTILE), repository=HOSTILE, command=HOSTILE)),
        components(insides.hostile_cards(), links={"next": "/assets/next"}),
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


def test_one_page_of_several_has_links_and_no_search() -> None:
    page = components(insides.cards(30), links={"previous": "/assets/1", "next": "/assets/3"})
    assert [a["href"] for a in page.named("a") if a.get("rel")] == ["/assets/1", "/assets/3"]
    assert page.text.count("density") == 24 + page.text.count("Order")


def test_sizes_grow_with_the_components_shown_and_not_with_more() -> None:
    pages = [
        components_page(insides.cards(n), insides.VOCABULARY, model="m", what="w", command="c")
        for n in (24, 124, 224)
    ]
    sizes = [len(render_single_file(page)) for page in pages]
    first, second = (b - a for a, b in pairwise(sizes))
    assert first == pytest.approx(second, rel=0.1)
