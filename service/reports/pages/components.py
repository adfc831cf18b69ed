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

from fingerprint.attribution.sites import node_id
from fingerprint.labels.control import CORPUS
from fingerprint.lm.sites import layer_of, matrix_of
from service.reports.pages.environment import render_template, signed, token
from service.reports.pages.page import WebPage

if TYPE_CHECKING:  # else the API, which shows kept cards, would need scipy
    from fingerprint.harvest.store import Component, Example, TokenFigure
    from fingerprint.labels.label import Label
    from fingerprint.labels.scoring import LabelScore
    from fingerprint.vpd.report import ComponentChange

PER_VIEW = 24
"""Cards drawn at once."""
MOST_TOKENS, MOST_WINDOWS, WINDOW_SIDE = 5, 3, 9
"""What a card shows of a component: tokens of each side, windows, and tokens on each side of a firing."""


@dataclass(frozen=True)
class Card:
    """One component with its label.

    Attributes:
        score: None: too few firings to say. is_changed: beyond its nulls; None where that was not measured.
        base_firings: on the same text in the base; None for the base itself. change: of its gate, where it
            was tested. is_of_a_matrix: it is named as in the attribution graph.
    """

    component: Component
    label: Label
    score: LabelScore | None
    is_changed: bool | None = None
    base_firings: int | None = None
    change: ComponentChange | None = None
    is_of_a_matrix: bool = False


State = Literal["", "alive", "base", "gained", "lost", "clear", "author", "changed"]
Order = Literal["number", "density", "score"]
_STATES: dict[str, Callable[[Mapping[str, Any]], bool]] = {
    "": lambda _: True,
    "alive": lambda card: card["n"] > 0,
    "base": lambda card: (card.get("nBase") or 0) > 0,
    "gained": lambda card: card["n"] > 0 and card.get("nBase") == 0,
    "lost": lambda card: card["n"] == 0 and (card.get("nBase") or 0) > 0,
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
            against the base, with their controls; "" where they were not measured. warning: what must be
            known before anything is read. dictionary: digest of the components, as attributions name it.
    """

    cards: tuple[Mapping[str, Any], ...]
    what: str
    changes: str = ""
    warning: str = ""
    dictionary: str = ""
    _texts: list[str] = field(default_factory=list, repr=False, compare=False)

    @property
    def texts(self) -> list[str]:
        """What a search looks at, card by card."""
        if not self._texts:
            self._texts.extend(map(_searched, self.cards))
        return self._texts

    @property
    def groups(self) -> list[str]:
        """Matrices, or what else the components are parts of, in order."""
        return list(dict.fromkeys(card["group"] for card in self.cards))

    @property
    def states(self) -> list[tuple[str, str]]:
        """(value, name) of every filter that these cards can answer."""
        has_base = any(card.get("nBase") is not None for card in self.cards)
        has_changes = any(card["isChanged"] is not None for card in self.cards)
        beside = [("base", "alive in the base"), ("gained", "gained: alive here alone"),
                  ("lost", "lost: alive in the base alone")]  # fmt: skip
        return [
            ("", "all"), ("alive", "alive here" if has_base else "alive"), *(beside if has_base else []),
            ("clear", "with a label"), ("author", "author’s own labels"),
            *([("changed", "significantly changed")] if has_changes else []),
        ]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which components are asked for. page: from 1; card: id of one that is on the page, instead."""

    search: str = ""
    group: str = ""
    state: State = ""
    order: Order = "score"
    page: int = 1
    card: str = ""


def choose(browsed: Browsed, wanted: Wanted) -> list[Mapping[str, Any]]:
    """Every component that is asked for, in the order that is asked for."""
    words, fits = wanted.search.strip().lower(), _STATES[wanted.state]
    found = [
        card
        for card, text in zip(browsed.cards, browsed.texts, strict=True)
        if words in text and (not wanted.group or card["group"] == wanted.group) and fits(card)
    ]
    return found if wanted.order == "number" else sorted(found, key=_ORDERS[wanted.order])


def components_page(browsed: Browsed, *, model: str, command: str) -> WebPage:
    """The page of all components. model: whose firings ("base", "team", an author)."""
    first = choose(browsed, Wanted())[:PER_VIEW]
    body = _body(browsed, first, model, command=command)
    data = {"cards": browsed.cards, "perView": PER_VIEW, "corpus": CORPUS}
    return _page(model, body, ("page.js", "components.js"), {"components": data})


def one_components_page(
    browsed: Browsed, wanted: Wanted, *, model: str, address: str, models: Sequence[tuple[str, str]] = (),
    elsewhere: Sequence[tuple[str, str]] = (),
) -> WebPage:  # fmt: skip
    """One page of the components that are asked for; a page beyond the last is the last.

    Args:
        address: of this page, without its question. models: (name, address) of every model whose firings the
            viewer may see, this one among them. elsewhere: the same of other dictionaries.
    """
    found = choose(browsed, wanted)
    n_pages = max(1, -(-len(found) // PER_VIEW))
    number = min(max(1, _place_of(wanted.card, found) or wanted.page), n_pages)
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
        "models": others, "elsewhere": elsewhere,
    }  # fmt: skip
    return _page(model, _body(browsed, shown, model, asking=asking), ("page.js",), {})


def _place_of(card: str, found: Sequence[Mapping[str, Any]]) -> int | None:
    """Page that a card is on."""
    ids = (n for n, one in enumerate(found) if card and one["id"] == card)
    place = next(ids, None)
    return None if place is None else 1 + place // PER_VIEW


def _page(model: str, body: Markup, scripts: tuple[str, ...], data: dict[str, Any]) -> WebPage:
    styles = ("base.css", "components.css")
    return WebPage(f"Components, {model}", body, "Components browser", styles, scripts, data)


def _body(
    browsed: Browsed, shown: Sequence[Mapping[str, Any]], model: str, *, command: str = "",
    asking: Mapping[str, Any] | None = None,
) -> Markup:  # fmt: skip
    cards = browsed.cards
    return render_template(
        "components.html.jinja", cards=shown, n=len(cards), model=model, browsed=browsed, command=command,
        corpus=CORPUS, asking=asking, n_clear=sum(card["isClear"] for card in cards),
        n_corpus=sum(card["isCorpus"] for card in cards),
    )  # fmt: skip


def _searched(card: Mapping[str, Any]) -> str:
    tokens = (figure[0] for side in (card["inputs"], card["outputs"]) for figure in side)
    return "\n".join([card["label"], card["id"], card["group"], *tokens]).lower()


def card_data(card: Card, vocabulary: Mapping[int, str]) -> dict[str, Any]:
    """A card as the template and the script both draw it."""
    one, score = card.component, card.score
    name, group = f"{one.group}:{one.index}", one.group
    if card.is_of_a_matrix:
        name, group = node_id(one.group, one.index), f"layer {layer_of(one.group)} · {matrix_of(one.group)}"
    return {
        "id": name, "number": one.number, "group": group, "index": one.index,
        "label": card.label.text, "isClear": card.label.is_clear, "isCorpus": card.label.is_corpus,
        "isChanged": card.is_changed, "n": one.n_firings, "density": round(one.density, 6),
        "nBase": card.base_firings, "change": "" if card.change is None else _told(card.change),
        "first": None if one.first_share is None else round(one.first_share, 3),
        "score": None if score is None else _rounded(score),
        "inputs": _figures(one.inputs), "outputs": _figures(one.outputs),
        "windows": [_window(example, vocabulary) for example in one.examples[:MOST_WINDOWS]],
    }  # fmt: skip


def _told(change: ComponentChange) -> str:
    """Both gates and their difference, never without the interval, nor without its nulls."""
    own = (
        f"mean gate in the base {change.gate_base:.4f}, here {change.gate_adapted:.4f}: "
        f"{signed(change.change, 4)} ({signed(change.low, 4)} to {signed(change.high, 4)}), "
        f"q {change.q_value:.3f}; "
    )
    if change.null_low is None or change.null_high is None:
        return own + "no band of null adapters"
    return f"{own}null adapters {signed(change.null_low, 4)} to {signed(change.null_high, 4)}"


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
