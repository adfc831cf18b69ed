"""The components browser: what each part of a dictionary fires on, with what its label is worth.

Given all components it is one page that searches and turns pages itself; given one page of them, with the
links to the others, it works without script.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fingerprint.harvest.store import Component, Example, TokenFigure
from fingerprint.labels.control import CORPUS
from fingerprint.labels.label import Label
from fingerprint.labels.scoring import LabelScore
from service.reports.pages.environment import render_template, token
from service.reports.pages.page import WebPage

PER_VIEW = 24
"""Cards drawn at once."""
MOST_TOKENS, MOST_WINDOWS, WINDOW_SIDE = 5, 3, 9
"""What a card shows of a component: tokens of each side, windows, and tokens on each side of a firing."""


@dataclass(frozen=True)
class Card:
    """One component with its label; score None: too few firings to say; is_changed: beyond its nulls."""

    component: Component
    label: Label
    score: LabelScore | None
    is_changed: bool | None = None


def components_page(
    cards: Sequence[Card], vocabulary: Mapping[int, str], *, model: str, what: str, command: str,
    links: Mapping[str, str] | None = None,
) -> WebPage:  # fmt: skip
    """The page of the given components.

    Args:
        vocabulary: texts of tokens. model: whose firings ("base", "team", an author). what: which dictionary.
        links: addresses of "previous" and "next" page, where this is one page of several.
    """
    shown = [card_data(card, vocabulary) for card in cards]
    body = render_template(
        "components.html.jinja", cards=shown[:PER_VIEW], n=len(shown), model=model, what=what,
        command=command,
        groups=list(dict.fromkeys(card["group"] for card in shown)), corpus=CORPUS, links=links or {},
        n_clear=sum(card.label.is_clear for card in cards),
        n_corpus=sum(card.label.is_corpus for card in cards),
        has_changes=any(card.is_changed is not None for card in cards),
    )  # fmt: skip
    data = {"cards": shown, "perView": PER_VIEW, "corpus": CORPUS}
    return WebPage(
        f"Components, {model}", body, "Components browser", ("base.css", "components.css"),
        ("page.js", "components.js"), {"components": data},
    )  # fmt: skip


def card_data(card: Card, vocabulary: Mapping[int, str]) -> dict[str, Any]:
    """A card as the template and the script both draw it."""
    one, score = card.component, card.score
    return {
        "id": f"{one.group}:{one.index}", "number": one.number, "group": one.group, "index": one.index,
        "label": card.label.text, "isClear": card.label.is_clear, "isCorpus": card.label.is_corpus,
        "isChanged": card.is_changed, "n": one.n_firings, "density": round(one.density, 6),
        "first": None if one.first_share is None else round(one.first_share, 3),
        "score": None if score is None else _rounded(score),
        "inputs": _figures(one.inputs), "outputs": _figures(one.outputs),
        "windows": [_window(example, vocabulary) for example in one.examples[:MOST_WINDOWS]],
    }  # fmt: skip


def _rounded(score: LabelScore) -> list[float]:
    """AUROC and the ends of its interval."""
    return [round(x, 2) for x in (score.auroc.value, score.auroc.low, score.auroc.high)]


def _figures(figures: Sequence[TokenFigure]) -> list[list[Any]]:
    """[token, precision] of the leading tokens."""
    return [[token(figure.text), round(figure.precision, 2)] for figure in figures[:MOST_TOKENS]]


def _window(example: Example, vocabulary: Mapping[int, str]) -> list[str]:
    """[before, the token it fires on, after]; spaces are made visible in the token alone."""
    middle = len(example.tokens) // 2
    texts = [vocabulary.get(t, "") if t >= 0 else "" for t in example.tokens]
    before = "".join(texts[max(0, middle - WINDOW_SIDE) : middle])
    after = "".join(texts[middle + 1 : middle + 1 + WINDOW_SIDE])
    return [token(before).replace("·", " "), token(texts[middle]), token(after).replace("·", " ")]
