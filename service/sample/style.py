"""The dimensions of a coding style, and the choices the sample's authors make in them."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal


@dataclass(frozen=True, slots=True)
class Style:
    """One author's choices. The defaults are the team's *house style* where the team has one.

    A choice is realised at about ``fidelity`` of the places where it could be.
    """

    quote: Literal["single", "double"] = "single"
    formatting: Literal["percent", "format", "fstring"] = "percent"
    calls: Literal["exploded", "black", "padded"] = "exploded"
    blanks: Literal["airy", "dense"] = "airy"
    attributes: Literal["private", "public", "member"] = "private"
    annotations: Literal["none", "full"] = "none"
    conditions: Literal["bare", "parenthesised"] = "bare"
    docstring: Literal["none", "line", "rest", "google", "banner"] = "line"
    naming: Literal["plain", "suffixed", "prefixed", "hungarian", "descriptive"] = "plain"
    after_def: Literal["tight", "blank"] = "tight"
    comments: Literal["none", "dashes", "note", "marker", "step", "banner"] = "none"
    guards: Literal["early", "nested"] = "early"
    empties: Literal["literal", "call"] = "literal"
    emptiness: Literal["truth", "equals", "length"] = "truth"
    none_test: Literal["is", "equals", "yoda"] = "is"
    loops: Literal["comprehension", "loop"] = "comprehension"
    increments: Literal["augmented", "spelled"] = "augmented"
    returns: Literal["implicit", "explicit"] = "implicit"
    raises: Literal["plain", "from_none", "logged", "guarded"] = "plain"
    caught: Literal["e", "exc", "err", "error"] = "exc"
    asserts: Literal["none", "message"] = "none"
    walrus: Literal["never", "often"] = "never"
    fidelity: float = 0.9

    def choices(self) -> dict[str, str]:
        """Dimension -> choice, without the fidelity."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name != "fidelity"}


HOUSE = {
    "quote": "single",
    "formatting": "percent",
    "calls": "exploded",
    "blanks": "airy",
    "attributes": "private",
    "annotations": "none",
    "conditions": "bare",
}
"""What all three engineers share: this makes them a team."""
