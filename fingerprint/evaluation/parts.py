"""What each part of a piece of code is: code, string, comment. Torch-free.

A hunk may begin inside a docstring, a template or a block comment: ``parts_of`` guesses that before it lexes,
from what stands around the first delimiter.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from functools import cache
from itertools import pairwise

from pygments.token import Comment, Keyword, Operator, String, _TokenType

from fingerprint.evaluation.lexing import PYTHON, Family


class Kind(Enum):
    """What a part of the text is."""

    CODE = "code"
    KEPT = "kept"
    """Belongs to the language whatever it reads: string prefixes, braces of interpolation, soft keywords."""
    STRING = "string"
    DOCSTRING = "docstring"
    REGEX = "regex"
    COMMENT = "comment"


@dataclass(frozen=True, slots=True)
class Part:
    """A half-open range of characters of one kind.

    Attributes:
        is_open: a string or comment whose beginning lies before it: the text began inside, or an
            interpolation parts it.
    """

    kind: Kind
    start: int
    end: int
    is_open: bool = False


def parts_of(text: str, family: Family) -> list[Part] | None:
    """The parts of a text, in order and without gaps; neighbours of one kind are one.

    Never raises on any text; None only where a lexer of pygments' own loses its place.
    """
    before = _began_inside(text, family)
    start, end = len(before), len(before) + len(text)
    found = _merged(before + text + "\n", family)  # some lexers end a comment with its line only
    if found is None:
        return None
    parts = [
        Part(
            part.kind,
            max(part.start, start) - start,
            min(part.end, end) - start,
            part.is_open or part.start < start,
        )
        for part in found
        if part.end > start and part.start < end
    ]
    return _with_docstrings(text, parts, bool(before)) if family is PYTHON else parts


def _merged(text: str, family: Family) -> list[Part] | None:
    parts: list[Part] = []
    kind, start, end = Kind.CODE, 0, 0
    is_open = False
    for index, token, value in family.lexer.get_tokens_unprocessed(text):
        if index < end:
            return None
        new = _kind(token, value, family)
        if index > end and kind is not Kind.CODE:  # a character no rule took
            parts.append(Part(kind, start, end, is_open))
            kind, start, is_open = Kind.CODE, end, False
        if new is not kind:
            if end > start:
                parts.append(Part(kind, start, index, is_open))
            is_open = kind is Kind.KEPT and text[end - 1 : end] in {"}", ":"}
            kind, start = new, index
        end = index + len(value)
    if len(text) > end and kind is not Kind.CODE:
        parts.append(Part(kind, start, end, is_open))
        kind, start, is_open = Kind.CODE, end, False
    if len(text) > start:
        parts.append(Part(kind, start, len(text), is_open))
    return parts


_INTERPOLATION = re.compile(r"[$#]?\{|(?:=\s*)?(?:![sra])?[:}]")


def _kind(token: _TokenType, value: str, family: Family) -> Kind:
    kind = _kind_of_type(token)
    if kind is not Kind.KEPT:
        return Kind.COMMENT if kind is Kind.DOCSTRING and family is not PYTHON else kind
    if token is String.Affix:
        return Kind.KEPT
    if token is String.Interpol:  # "%s" is one too, but text
        return Kind.KEPT if _INTERPOLATION.fullmatch(value) else Kind.STRING
    if family.keywords is None or value in family.soft_keywords:
        return Kind.KEPT
    return Kind.CODE


@cache
def _kind_of_type(token: _TokenType) -> Kind:
    """KEPT: the value decides. DOCSTRING: documentation, a comment in most languages."""
    if token in Comment:
        return Kind.CODE if token in Comment.Preproc else Kind.COMMENT
    if token in {String.Affix, String.Interpol} or token in Keyword or token in Operator.Word:
        return Kind.KEPT
    if token in String.Regex:
        return Kind.REGEX
    if token in String.Doc:
        return Kind.DOCSTRING
    return Kind.STRING if token in String else Kind.CODE


# --------------------------------------------------------------------------------- Python's docstrings

_CONTINUES = re.compile(
    r"(?:[-=+*/%&|^~<>@.,(\[{\\]|\b(?:return|yield|in|is|and|or|not|if|else|lambda|await|raise))$"
)


def _with_docstrings(text: str, parts: list[Part], began_inside: bool) -> list[Part]:
    """Strings that are statements of their own, as docstrings; all others as strings."""
    found, depth, before = [], 0, ""
    for position, part in enumerate(parts):
        if part.kind is Kind.CODE:
            code = text[part.start : part.end]
            if not code.isspace():
                before, depth = code.rstrip(), max(0, depth + _n_opened(code))
        elif part.kind in {Kind.STRING, Kind.DOCSTRING}:
            is_first = began_inside and position == 0
            is_doc = _ends_line(text, part) and (
                is_first or (depth == 0 and _is_statement(text, part, before))
            )
            start = part.start
            if is_doc and found and found[-1].kind is Kind.KEPT and found[-1].end == start:
                start = found.pop().start  # r"""
            part = Part(Kind.DOCSTRING if is_doc else Kind.STRING, start, part.end, part.is_open)
            before = ""
        elif part.kind is Kind.KEPT:
            before = before if text[part.start : part.end].isalpha() else "{"
        found.append(part)
    return found


def _n_opened(code: str) -> int:
    return sum(map(code.count, "([{")) - sum(map(code.count, ")]}"))


def _ends_line(text: str, part: Part) -> bool:
    """Whether at most a comment follows."""
    line_end = text.find("\n", part.end)
    rest = text[part.end : line_end if line_end >= 0 else len(text)].lstrip()
    return rest[:1] in {"", "#"}


def _is_statement(text: str, part: Part, before: str) -> bool:
    """Whether a string begins a line, where the code before it has come to an end."""
    line_start = text.rfind("\n", 0, part.start) + 1
    if part.is_open or text[line_start : part.start].strip(" \trRuU"):
        return False
    if text.startswith(('"""', "'''"), part.start):
        return not _CONTINUES.search(before)
    return before.endswith(":")


# ----------------------------------------------------------------------------- hunks that begin inside

_CLOSES_COMMENT = re.compile(r"\*/[ \t]*$", re.MULTILINE)
_STARRED = re.compile(r"\s*\*(?:\s|$)")
_OPENS_AFTER = re.compile(
    r"(?:[=(\[{,:+%?&|>!]|\b(?:return|yield|in|is|and|or|not|if|else|assert|await|case|default|raise))"
    r"\s*[rRbBuUfF]{0,2}$"
)
_TAG = re.compile(r"[=(:,>]\s*[\w.]+$")  # gql`...`
_WORDS = re.compile(r"(?:[^\W\d][\w'-]*[ \t]+){3,}")


def _began_inside(text: str, family: Family) -> str:
    """The delimiter of the string or comment that the text begins inside of, "" for none, by its layout."""
    if family.has_block_comments and "*" in text:
        closer = _CLOSES_COMMENT.search(text)
        if _STARRED.match(text) or (closer and "/*" not in text[: closer.start()]):
            return "/*"
    places = sorted((place, quote) for quote in family.quotes if (place := text.find(quote)) >= 0)
    if places:
        place, quote = places[0]
        return quote if _is_closer(text, place, quote) else ""
    return family.quotes[0] if family is PYTHON and _is_prose(text) else ""


def _is_closer(text: str, place: int, quote: str) -> bool:
    """Whether the first delimiter of a text ends a string: what stands before and after it says so."""
    start, end = text.rfind("\n", 0, place) + 1, text.find("\n", place)
    before, after = text[start:place], text[place + len(quote) : end if end >= 0 else len(text)].strip()
    if quote in after or _OPENS_AFTER.search(before) or _TAG.search(before):
        return False
    if before.strip(" \trRbBuUfF"):
        return True
    if after:
        return after[0] in ").,;]}%"
    above = text[:start].rstrip().rpartition("\n")[2].partition("  #")[0]
    if _OPENS_AFTER.search(above):
        return False
    if not above and end >= 0 and _is_sentence(text[end:].lstrip()):
        return False
    return _is_sentence(above) or text.count(quote) % 2 == 1  # pairs begin with an opener


def _is_prose(text: str) -> bool:
    """Whether most lines are sentences, as in the middle of a long docstring."""
    lines = [line for line in text.splitlines() if line.strip()]
    return 2 * sum(map(_is_sentence, lines)) > len(lines)


def _is_sentence(line: str) -> bool:
    """Whether a line begins with four words, two of them neighbours that no code would leave unparted."""
    found = _WORDS.match(line.lstrip(" \t-*"))
    words = found[0].split() if found else []
    keywords = PYTHON.keywords or ()
    return any(a not in keywords and b not in keywords for a, b in pairwise(words))
