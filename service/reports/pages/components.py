"""The components browser: what each part of a dictionary fires on, with what its label is worth.

As a file it holds all of them and searches and turns pages itself; served, it is one page of what was asked
for, and works without script.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlencode

from markupsafe import Markup

from fingerprint.labels.control import CORPUS
from service.reports.pages.environment import render_template, token
from service.reports.pages.page import WebPage

if TYPE_CHECKING:  # else the API, which shows kept cards, would need scipy
    from fingerprint.harvest.store import Component, Example, TokenFigure
    from fingerprint.labels.label import Label
    from fingerprint.labels.scoring import LabelScore

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


State = Literal["", "alive", "clear", "author", "changed"]
Order = Literal["number", "density", "score"]
_STATES: dict[str, Callable[[Mapping[str, Any]], bool]] = {
    "": lambda _: True,
    "alive": lambda card: card["n"] > 0,
    "clear": lambda card: card["isClear"],
    "author": lambda card: card["isClear"] and not card["isCorpus"],
    "changed": lambda card: bool(card["isChanged"]),
}
_ORDERS: dict[str, Callable[[Mapping[str, Any]], float]] = {
    "density": lambda card: -card["density"],
    "score": lambda card: -card["score"][0] if card["score"] else 1.0,
}


@dataclass(frozen=True)
class Browsed:
    """All components of a state.

    Attributes:
        cards: as `card_data` makes them. what: which dictionary. changes: what is said of all changes
            against the base, with their controls; "" where they were not measured.
    """

    cards: tuple[Mapping[str, Any], ...]
    what: str
    changes: str = ""
    _texts: list[str] = field(default_factory=list, repr=False, compare=False)

    @property
    def texts(self) -> list[str]:
        """What a search looks at, card by card."""
        if not self._texts:
            self._texts.extend(map(_searched, self.cards))
        return self._texts


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which components are asked for. page: from 1."""

    search: str = ""
    group: str = ""
    state: State = ""
    order: Order = "number"
    page: int = 1


def choose(browsed: Browsed, wanted: Wanted) -> list[Mapping[str, Any]]:
    """Every component that is asked for, in the order that is asked for."""
    words, fits = wanted.search.strip().lower(), _STATES[wanted.state]
    found = [
        card
        for card, text in zip(browsed.cards, browsed.texts, strict=True)
        if words in text and (not wanted.group or card["group"] == wanted.group) and fits(card)
    ]
    return found if wanted.order == "number" else sorted(found, key=_ORDERS[wanted.order])


def components_page(
    cards: Sequence[Card], vocabulary: Mapping[int, str], *, model: str, what: str, command: str,
    changes: str = "",
) -> WebPage:  # fmt: skip
    """The page of all components.

    Args:
        vocabulary: texts of tokens. model: whose firings ("base", "team", an author). what: which dictionary.
        changes: as in `Browsed`.
    """
    shown = tuple(card_data(card, vocabulary) for card in cards)
    body = _body(Browsed(shown, what, changes), shown[:PER_VIEW], model, command=command)
    data = {"cards": shown, "perView": PER_VIEW, "corpus": CORPUS}
    return _page(model, body, ("page.js", "components.js"), {"components": data})


def one_components_page(
    browsed: Browsed, wanted: Wanted, *, model: str, address: str, models: Sequence[tuple[str, str]] = ()
) -> WebPage:
    """One page of the components that are asked for; a page beyond the last is the last.

    Args:
        address: of this page, without its question. models: (name, address) of every model whose firings the
            viewer may see, this one among them.
    """
    found = choose(browsed, wanted)
    n_pages = max(1, -(-len(found) // PER_VIEW))
    number = min(max(1, wanted.page), n_pages)
    asked = {"search": wanted.search, "group": wanted.group, "state": wanted.state, "order": wanted.order}
    links = {
        name: f"{address}?{urlencode({**asked, 'page': other})}"
        for name, other in (("previous", number - 1), ("next", number + 1))
        if 1 <= other <= n_pages
    }
    place = f"page {number} of {n_pages}"
    shown = found[(number - 1) * PER_VIEW : number * PER_VIEW]
    others = [(name, f"{other}?{urlencode(asked)}", other == address) for name, other in models]
    asking = {
        "wanted": wanted, "links": links, "place": place, "n_found": len(found), "address": address,
        "models": others,
    }  # fmt: skip
    return _page(model, _body(browsed, shown, model, asking=asking), ("page.js",), {})


def _page(model: str, body: Markup, scripts: tuple[str, ...], data: dict[str, Any]) -> WebPage:
    styles = ("base.css", "components.css")
    return WebPage(f"Components, {model}", body, "Components browser", styles, scripts, data)


def _body(
    browsed: Browsed, shown: Sequence[Mapping[str, Any]], model: str, *, command: str = "",
    asking: Mapping[str, Any] | None = None,
) -> Markup:  # fmt: skip
    cards = browsed.cards
    return render_template(
        "components.html.jinja", cards=shown, n=len(cards), model=model, what=browsed.what, command=command,
        groups=list(dict.fromkeys(card["group"] for card in cards)), corpus=CORPUS, asking=asking,
        n_clear=sum(card["isClear"] for card in cards), n_corpus=sum(card["isCorpus"] for card in cards),
        has_changes=any(card["isChanged"] is not None for card in cards), changes=browsed.changes,
    )  # fmt: skip


def _searched(card: Mapping[str, Any]) -> str:
    tokens = (figure[0] for side in (card["inputs"], card["outputs"]) for figure in side)
    return "\n".join([card["label"], card["id"], *tokens]).lower()


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
