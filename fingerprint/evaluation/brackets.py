"""Which brackets of a fragment have their partners outside of it. Torch-free."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fingerprint.evaluation.parts import Kind, Part

PARTNER = {")": "(", "]": "[", "}": "{", "(": ")", "[": "]", "{": "}"}
_BRACKET = re.compile(r"[()\[\]{}]")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A complete file that a fragment may be part of.

    Attributes:
        text: the file.
        cut: finds the fragment in the formatted file; None where it cannot be found.
    """

    text: str
    cut: Callable[[str], str | None]


@dataclass(frozen=True, slots=True)
class Brackets:
    """Places of brackets in a fragment.

    Attributes:
        closers: closing ones that were opened before the fragment, innermost first.
        openers: opening ones that it leaves open, outermost first.
        depths: (place after a bracket, depth from there on), in order; the depth starts at len(closers).
    """

    closers: tuple[int, ...]
    openers: tuple[int, ...]
    depths: tuple[tuple[int, int], ...]


def brackets_of(text: str, parts: Sequence[Part]) -> Brackets | None:
    """The brackets of the code; None where they cross."""
    closers: list[int] = []
    openers: list[int] = []
    depths: list[tuple[int, int]] = []
    for part in parts:
        if part.kind is not Kind.CODE:
            continue
        for found in _BRACKET.finditer(text, part.start, part.end):
            if found[0] in "([{":
                openers.append(found.start())
            elif not openers:
                closers.append(found.start())
            elif text[openers.pop()] != PARTNER[found[0]]:
                return None
            depths.append((found.end(), len(openers) - len(closers)))
    return Brackets(
        tuple(closers), tuple(openers), tuple((place, len(closers) + depth) for place, depth in depths)
    )


def code_end(text: str, parts: Sequence[Part]) -> int:
    """The place after the last character that is neither white space nor comment."""
    for part in reversed(parts):
        if part.kind is not Kind.COMMENT and (code := text[part.start : part.end].rstrip()):
            return part.start + len(code)
    return 0
