"""From sub-word tokens to what a person reads: whole words, operators and visible white space. Torch-free."""

from __future__ import annotations

import re
from bisect import bisect_right

from fingerprint.passage import Passage

_UNIT = re.compile(r"\w+|[^\w\s]+|\s+")
_WORD_END = re.compile(r"\w*\Z")
LONGEST_WORD = 40


def word_head(text: str, position: int, following: str) -> str:
    """The part of a word that stands before position, when ``following`` continues it; else ""."""
    if not following or not (following[0].isalnum() or following[0] == "_"):
        return ""
    found = _WORD_END.search(text, max(0, position - LONGEST_WORD), position)
    return found.group() if found else ""


def first_unit(text: str) -> tuple[str, bool]:
    """(unit, is_complete): the first word, run of operators, or run of white space standing alone.

    One space before a unit belongs to it and is not shown. The unit is complete when something follows it.
    """
    body = text[1:] if len(text) > 1 and text[0] == " " and not text[1].isspace() else text
    found = _UNIT.match(body)
    if found is None:
        return "", False
    return found.group(), found.end() < len(body)


def visible(unit: str) -> str:
    """The unit itself; white space in words: "new line", "2 new lines, indent 4", "3 spaces"."""
    if unit.strip() or not unit:
        return unit
    n_lines, tail = unit.count("\n"), unit.rpartition("\n")[2]
    if not n_lines:
        kind = "tab" if "\t" in tail else "space"
        return f"{len(tail)} {kind}s" if len(tail) != 1 else f"a {kind}"
    parts = ["new line" if n_lines == 1 else f"{n_lines} new lines"]
    if tail:
        parts.append(f"indent {len(tail)}" + (" tabs" if "\t" in tail else ""))
    return ", ".join(parts)


def visible_start(text: str, start: int, end: int) -> int:
    """Position of the first non-space character of a token, or its start."""
    piece = text[start:end]
    return start + (len(piece) - len(piece.lstrip()) if piece.strip() else 0)


class LinePlaces:
    """Line numbers in the new file and columns of a passage's characters."""

    def __init__(self, passage: Passage) -> None:
        self._starts = [0, *(match.end() for match in re.finditer("\n", passage.text))]
        self._first_line = passage.first_line

    def place(self, position: int) -> tuple[int, int]:
        """(line number in the new file, 0-based column) of a character; the header is the line before."""
        row = bisect_right(self._starts, position) - 1
        return self._first_line + row - 1, position - self._starts[row]


def hunk_header(passage: Passage) -> str:
    """The section text of a passage's header line, or ""."""
    first = passage.text.partition("\n")[0]
    parts = first.split(" ", 2)
    return parts[2] if len(parts) > 2 else ""
