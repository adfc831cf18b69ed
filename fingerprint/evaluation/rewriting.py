"""A Passage with another text, its spans following. Torch-free."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import PurePosixPath

from fingerprint import FingerprintError
from fingerprint.evaluation.lexing import Family, family_of
from fingerprint.evaluation.masking import Edit
from fingerprint.passage import Passage


class NoViewError(FingerprintError):
    """A passage has no such view; the message is the reason that is counted."""


def read_family(passage: Passage) -> Family:
    """The family of a passage's language, or NoViewError."""
    family = family_of(passage.path)
    if family is None:
        raise NoViewError(f"no lexer for {PurePosixPath(passage.path).suffix or 'files without suffix'}")
    return family


def stretches_of(passage: Passage) -> list[tuple[int, int]]:
    """The ranges that are code: the header's section, and the body with each line end."""
    if not passage.text.startswith("@@"):
        return [(0, len(passage.text))]
    header = passage.text.partition("\n")[0]
    sign = f"@@ {PurePosixPath(passage.path).suffix}".rstrip()
    section = len(sign) if header.startswith(sign) else len("@@")
    return [(section, len(header)), (len(header), len(passage.text))]


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
