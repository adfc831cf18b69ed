"""A label: words about a component, and the tokens that the words stand for."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

UNCLEAR = "unclear"
ALIKE = 0.5
"""Jaccard index of two labels' terms from which they say the same."""
_WORD = re.compile(r"\w{3,}")

Method = Literal["tokens", "language model"]


@dataclass(frozen=True)
class Label:
    """What one component seems to be for.

    Attributes:
        component: its number. text: the words, or "unclear". method: where they come from. inputs, outputs:
            (token, text, PMI) that it fires on and that come next, as far as the words rest on them.
        is_corpus: found in the base control too, so that it tells of the text, not of an author.
    """

    component: int
    text: str
    method: Method
    inputs: tuple[tuple[int, str, float], ...] = ()
    outputs: tuple[tuple[int, str, float], ...] = ()
    is_corpus: bool = False

    @property
    def is_clear(self) -> bool:
        """Whether it says anything."""
        return self.text != UNCLEAR

    @property
    def terms(self) -> frozenset[str]:
        """What is compared with other labels: the tokens, or a language model's words."""
        if self.method == "tokens":
            sides = (("on", self.inputs), ("before", self.outputs))
            return frozenset(f"{side} {text}" for side, tokens in sides for _, text, _ in tokens)
        return frozenset(_WORD.findall(self.text.casefold())) if self.is_clear else frozenset()

    def is_like(self, other: Label) -> bool:
        """Whether both say the same; what is unclear is like nothing."""
        union = self.terms | other.terms
        return bool(union) and len(self.terms & other.terms) >= ALIKE * len(union)


def visible_token(text: str) -> str:
    """A token with its spaces and line ends made visible."""
    return text.replace("\n", "⏎").replace("\t", "⇥").replace(" ", "·")
