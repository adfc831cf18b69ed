"""Passages with part of the information taken away, for n-grams and models alike (splits S7-S9). Torch-free.

A *view* rewrites a Passage, context and header's section included; its spans mark what remains of the
marked text. Masked, a passage tells no names, literals and comments, so no topic; without comments, no prose;
formatted, nothing that a formatter settles. What cannot be viewed is dropped and counted: views are compared
on the passages that all of them have (``Viewed.kept``).
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from fingerprint import FingerprintError
from fingerprint.evaluation.lexing import Family, family_of
from fingerprint.evaluation.masking import Edit, mask_edits
from fingerprint.evaluation.parts import Kind, Part, parts_of
from fingerprint.passage import Passage


class NoViewError(FingerprintError):
    """A passage has no such view; the message is the reason that is counted."""


@dataclass(frozen=True, slots=True)
class Viewed:
    """Passages seen through one view.

    Attributes:
        passages: those that have the view, in their order.
        n_dropped: how many have not.
        reasons: how many were dropped for which reason.
        kept: positions in the input of ``passages``.
    """

    passages: tuple[Passage, ...]
    n_dropped: int
    reasons: dict[str, int]
    kept: tuple[int, ...]


def raw(passage: Passage) -> Passage:
    """The passage itself."""
    return passage


def masked(passage: Passage) -> Passage:
    """S7: keywords, operators, punctuation, white space and lines stay; masking.py shows the rest's markers.

    Raises:
        NoViewError: no lexer for the language, or nothing marked.
    """
    family = _family(passage)
    edits: list[Edit] = []
    for start, end in _stretches(passage):
        text = passage.text[start:end]
        found = mask_edits(text, _parts(text, family), family)
        edits += [(start + first, start + last, mark) for first, last, mark in found]
    return rewrite(passage, edits)


def without_comments(passage: Passage) -> Passage:
    """S8: comments and docstrings are gone, and so are lines that this leaves blank.

    A docstring is a string that is a statement: also an attribute's. A body that was only a docstring is left
    without one, so the view need not parse.

    Raises:
        NoViewError: no lexer for the language, or nothing marked remains.
    """
    family = _family(passage)
    edits: list[Edit] = []
    for start, end in _stretches(passage):
        text = passage.text[start:end]
        gone = [(p.start, p.end) for p in _parts(text, family) if p.kind in {Kind.COMMENT, Kind.DOCSTRING}]
        edits += [(start + first, start + last, "") for first, last in _whole_lines(text, gone)]
    return rewrite(passage, edits)


def _family(passage: Passage) -> Family:
    family = family_of(passage.path)
    if family is None:
        raise NoViewError(f"no lexer for {PurePosixPath(passage.path).suffix or 'files without suffix'}")
    return family


def _parts(text: str, family: Family) -> list[Part]:
    parts = parts_of(text, family)
    if parts is None:
        raise NoViewError(f"the lexer of {family.name} loses text")
    return parts


def _stretches(passage: Passage) -> list[tuple[int, int]]:
    """The ranges that are code: the header's section, and the body with each line end."""
    if not passage.text.startswith("@@"):
        return [(0, len(passage.text))]
    header = passage.text.partition("\n")[0]
    sign = f"@@ {PurePosixPath(passage.path).suffix}".rstrip()
    section = len(sign) if header.startswith(sign) else len("@@")
    return [(section, len(header)), (len(header), len(passage.text))]


def _whole_lines(text: str, gone: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Ranges to delete, with the blanks before them and, where nothing else stands on a line, its end."""
    wide: list[tuple[int, int]] = []
    for start, end in _joined(text, gone):
        line = text.rfind("\n", 0, start) + 1
        after = text.find("\n", end)
        after = after if after >= 0 else len(text)
        code = text[line:start].rstrip(" \t")
        rest = text[end:after].lstrip(" \t")
        if rest.strip():
            wide.append((start, end if code else after - len(rest)))
        elif code:
            wide.append((line + len(code), after))
        else:
            wide.append((line, min(after + 1, len(text))))
    return wide


def _joined(text: str, gone: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Ranges without final line ends, as one where only blanks part them."""
    joined: list[tuple[int, int]] = []
    for start, end in gone:
        end -= text.endswith("\n", start, end)
        if joined and not text[joined[-1][1] : start].strip(" \t"):
            start = joined.pop()[0]
        joined.append((start, end))
    return joined


def rewrite(passage: Passage, edits: Sequence[Edit]) -> Passage:
    """Apply edits, disjoint and in order, to the text; the spans follow.

    Raises:
        NoViewError: the spans hold nothing but white space afterwards.
    """
    pieces, at, length = [], 0, 0
    rows = [(0, 0, 0, 0)]  # old start and end, new start and end
    for start, end, text in edits:
        pieces += (passage.text[at:start], text)
        length += start - at + len(text)
        rows.append((start, end, length - len(text), length))
        at = end
    starts = [row[0] for row in rows]

    def moved(place: int, *, is_end: bool) -> int:
        start, end, new_start, new_end = rows[bisect_right(starts, place) - 1]
        if place >= end:
            return new_end + place - end
        return new_end if is_end and place > start else new_start

    spans = ((moved(start, is_end=False), moved(end, is_end=True)) for start, end in passage.spans)
    return with_spans(passage, "".join((*pieces, passage.text[at:])), spans)


def with_spans(passage: Passage, text: str, spans: Iterable[tuple[int, int]]) -> Passage:
    """The passage with another text; spans that touch become one, empty ones go.

    Raises:
        NoViewError: the spans hold nothing but white space.
    """
    joined: list[tuple[int, int]] = []
    for start, end in spans:
        if joined and start <= joined[-1][1]:
            start = joined.pop()[0]
        if end > start:
            joined.append((start, end))
    if not any(text[start:end].strip() for start, end in joined):
        raise NoViewError("nothing marked remains")
    return replace(passage, text=text, spans=tuple(joined))


# ----------------------------------------------------------------------------------------- all of them

_RULES: dict[str, Callable[[Passage], Passage]] = {
    "raw": raw,
    "masked": masked,
    "without comments": without_comments,
}


def _or_none(rule: Callable[[Passage], Passage]) -> Callable[[Passage], Passage | None]:
    def view(passage: Passage) -> Passage | None:
        try:
            return rule(passage)
        except NoViewError:
            return None

    return view


VIEWS: dict[str, Callable[[Passage], Passage | None]] = {
    name: _or_none(rule) for name, rule in _RULES.items()
}
"""The views by name; None where a passage has no such view."""


def view_passages(passages: Sequence[Passage], name: str) -> Viewed:
    """Passages through a view; those that have none are dropped and counted by reason.

    Raises:
        FingerprintError: no view of that name.
    """
    rule = _RULES.get(name)
    if rule is None:
        raise FingerprintError(f"There is no view {name!r}. Choose one of: {', '.join(_RULES)}.")
    found, kept, reasons = [], [], Counter[str]()
    for position, passage in enumerate(passages):
        try:
            found.append(rule(passage))
        except NoViewError as reason:
            reasons[str(reason)] += 1
        else:
            kept.append(position)
    return Viewed(tuple(found), len(passages) - len(kept), dict(sorted(reasons.items())), tuple(kept))
