"""The masked view's markers: what an identifier, a literal or a comment becomes. Torch-free.

Every marker begins with a digit, so that none can be taken for an identifier of any language, and has two to
five ASCII characters, so that n-grams and models read structure rather than the spelling of markers.

An identifier becomes its length, leading underscores, shape and trailing underscore, so that ``_load_all`` is
``3_s``, ``class_`` is ``2w_`` and ``URL`` is ``1C``:

- length of the core without outer underscores: 1 for 1-3 characters, 2 for 4-7, 3 for 8-15, 4 for more;
- shape: ``l`` and ``L`` one small or capital letter, ``w`` one small word (``1w`` is the short one), ``s``
  snake_case, ``c`` camelCase, ``P`` PascalCase, ``C`` CONSTANT_CASE and acronyms, ``m`` mixed (Snake_Case),
  ``d`` __dunder__, ``o`` no cased letter, nothing for underscores alone. A ``$`` in front stays.

Literals and comments become ``0n`` number, ``0t`` string, ``0d`` docstring, ``0r`` regular expression and
``0c`` comment: one a line, so that lines stay lines. Quotes, string prefixes and comment signs stay visible:
which of them is used is layout, settled by formatters where there are any, and tells no topic.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from fingerprint.evaluation.lexing import Family
from fingerprint.evaluation.parts import Kind, Part

Edit = tuple[int, int, str]
"""Replace the characters from, to (half-open) by a text."""

_MARKS = {Kind.STRING: "0t", Kind.DOCSTRING: "0d", Kind.REGEX: "0r", Kind.COMMENT: "0c"}


def mask_edits(text: str, parts: list[Part], family: Family) -> Iterator[Edit]:
    """The replacements, in order, that mask a text."""
    for part in parts:
        if part.kind is Kind.CODE:
            yield from _code_edits(text, part, family)
        elif part.kind is Kind.COMMENT:
            yield from _comment_edits(text, part.start, part.end)
        elif part.kind is not Kind.KEPT:
            yield from _literal_edits(text, *_within_quotes(text, part), _MARKS[part.kind])


# ---------------------------------------------------------------------------------------------- code

_NUMBER_OR_NAME = re.compile(
    r"(?P<number>0[xX]\w+|\d\w*(?:\.\d\w*)?(?:(?<=[eE])[+-]\d+)?)"
    r"|(?P<member>(?<=[^.]\.))?(?P<name>[^\W\d][\w$]*|\$[\w$]*\w)"
)
_LENGTHS = (4, 8, 16)


def _code_edits(text: str, part: Part, family: Family) -> Iterator[Edit]:
    keywords = family.keywords or frozenset()
    for found in _NUMBER_OR_NAME.finditer(text, part.start, part.end):
        name = found["name"]
        if name is None:
            yield found.start(), found.end(), "0n"
        elif name not in keywords or (found["member"] is not None and name not in family.after_dot):
            yield found.start(), found.end(), shape_of(name)


@lru_cache(maxsize=65_536)
def shape_of(name: str) -> str:
    """The marker of an identifier; the head of this module says how it reads."""
    bare = name.lstrip("$")
    dollar = "$" if bare != name else ""
    core = bare.strip("_")
    n_before = min(2, len(bare) - len(bare.lstrip("_")))
    length = 1 + sum(len(core) >= bound for bound in _LENGTHS)
    if core and n_before == 2 and bare.endswith("__"):
        return f"{length}{dollar}d"
    trail = "_" if core and bare.endswith("_") else ""
    return f"{length}{dollar}{'_' * n_before}{_case_of(core)}{trail}"


def _case_of(core: str) -> str:
    if not core or core.upper() == core.lower():
        return "o" if core else ""
    if len(core) == 1:
        return "L" if core.isupper() else "l"
    if core.isupper():
        return "C"
    if "_" in core:
        return "s" if core.islower() else "m"
    if core.islower():
        return "w"
    return "P" if core[0].isupper() else "c"


# ------------------------------------------------------------------------------- literals and comments

_BLANKS = " \t\r\f\v"
_OPENER = re.compile(r"([bcfrtuBFRTUL]{0,2})(#*)(\"{3}|'{3}|[\"'`])")
_CLOSERS = ('"""', "'''", '"', "'", "`")
_SIGN = re.compile(r"[ \t\r\f\v]*(?:#+!?|//+!?|/\*+!?|\*+(?!/)|<!--|--+|;+|%+)?[ \t\r\f\v]*")


def _within_quotes(text: str, part: Part) -> tuple[int, int]:
    """The range between a literal's prefix and quotes; an end that the hunk cuts off has none."""
    start, end = part.start, part.end
    if part.kind is Kind.REGEX:
        return start + 1, max(start + 1, text.rfind("/", start, end))
    opener = None if part.is_open else _OPENER.match(text, start, end)
    if opener is not None:
        start = opener.end()
    closers = (opener[3] + opener[2],) if opener is not None else _CLOSERS
    for closer in closers:
        if end - len(closer) >= start and text.endswith(closer, start, end):
            return start, end - len(closer)
    return start, end


def _lines(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    while start < end:
        stop = text.find("\n", start, end)
        yield start, stop if stop >= 0 else end
        start = stop + 1 if stop >= 0 else end


def _literal_edits(text: str, start: int, end: int, mark: str) -> Iterator[Edit]:
    """Indentation is layout only where a literal spans lines; otherwise blanks are part of its text."""
    if "\n" not in text[start:end]:
        if end > start:
            yield start, end, mark
        return
    for first, last in _lines(text, start, end):
        line = text[first:last]
        if line.strip(_BLANKS):
            yield last - len(line.lstrip(_BLANKS)), first + len(line.rstrip(_BLANKS)), mark


def _comment_edits(text: str, start: int, end: int) -> Iterator[Edit]:
    for first, last in _lines(text, start, end):
        sign = _SIGN.match(text, first, last)
        first = sign.end() if sign else first
        content = text[first:last].rstrip(_BLANKS)
        for closer in ("*/", "-->"):
            content = content.removesuffix(closer)
        content = content.rstrip(_BLANKS + "*")
        if content:
            yield first, first + len(content), _MARKS[Kind.COMMENT]
