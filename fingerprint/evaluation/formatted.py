"""S9: passages as their formatter leaves them; the marked text is found again token by token. Torch-free."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from fingerprint.evaluation.formatters import formatters_here
from fingerprint.evaluation.fragments import format_fragments
from fingerprint.evaluation.lexing import Family, family_of
from fingerprint.evaluation.parts import Kind, parts_of
from fingerprint.evaluation.rewriting import NoViewError, stretches_of, with_spans
from fingerprint.passage import Passage

_TOKEN = re.compile(r"\w+|[^\w\s]")
_FARTHEST = 80  # tokens of both texts that are skipped together before they agree again

Span = tuple[int, int]


def format_passages(passages: Sequence[Passage]) -> list[Passage | str]:
    """Each passage formatted, or the reason why it cannot be.

    Context and added lines go through the formatter together, as in the file they come from, and lose their
    common indentation. The header's section is formatted where that leaves one line; else its blanks are.
    """
    done: list[Passage | str] = [""] * len(passages)
    groups: dict[tuple[Family | None, str], list[int]] = {}
    for position, passage in enumerate(passages):
        key = family_of(passage.path), PurePosixPath(passage.path).suffix
        groups.setdefault(key, []).append(position)
    here = formatters_here()
    for (family, suffix), positions in groups.items():
        own = [passages[position] for position in positions]
        if family is None or family.name not in here:
            found: list[Passage | str] = [f"no formatter for {suffix or 'files without suffix'} here"] * len(
                own
            )
        else:
            keeps_comments = here[family.name] != "ast.unparse"
            found = _format_group(family, suffix, own, keeps_comments=keeps_comments)
        for position, passage in zip(positions, found, strict=True):
            done[position] = passage
    return done


def _format_group(
    family: Family, suffix: str, passages: Sequence[Passage], *, keeps_comments: bool
) -> list[Passage | str]:
    stretches = [stretches_of(passage) for passage in passages]
    sections = sorted(
        {p.text[a:b] for p, (*head, _) in zip(passages, stretches, strict=True) for a, b in head}
    )
    bodies = [p.text[slice(*own[-1])] for p, own in zip(passages, stretches, strict=True)]
    found = format_fragments(family, suffix, [*bodies, *sections])
    lines = {raw: _one_line(raw, new) for raw, new in zip(sections, found[len(bodies) :], strict=True)}
    done: list[Passage | str] = []
    for passage, own, new in zip(passages, stretches, found[: len(bodies)], strict=True):
        if new is None:
            done.append("the formatter cannot read it")
            continue
        header = "".join(passage.text[:a] + lines[passage.text[a:b]] + "\n" for a, b in own[:-1])
        try:
            done.append(_aligned(passage, family, own[-1], header, new, keeps_comments=keeps_comments))
        except NoViewError as reason:
            done.append(str(reason))
    return done


def _one_line(raw: str, new: str | None) -> str:
    """The section formatted, or with single blanks."""
    line = new.strip() if new is not None and new.strip().count("\n") == 0 else " ".join(raw.split())
    return f" {line}" if line else ""


def _aligned(
    passage: Passage, family: Family, body: Span, header: str, formatted: str, *, keeps_comments: bool
) -> Passage:
    old = passage.text[slice(*body)]
    gone = [] if keeps_comments else _comments(old, family)
    places = [place for place in _places(old) if not any(a <= place[0] < b for a, b in gone)]
    marks = list(_are_marked(places, passage.spans, body[0]))
    new_places = _places(formatted)
    new_marks = carry_marks(
        [old[slice(*place)] for place in places], marks, [formatted[slice(*place)] for place in new_places]
    )
    if new_marks is None:
        raise NoViewError("the formatted text cannot be aligned")
    spans = _spans(formatted, new_places, new_marks)
    return with_spans(passage, header + formatted, [(len(header) + a, len(header) + b) for a, b in spans])


def _comments(text: str, family: Family) -> list[Span]:
    return [(part.start, part.end) for part in parts_of(text, family) or () if part.kind is Kind.COMMENT]


def _places(text: str) -> list[Span]:
    return [found.span() for found in _TOKEN.finditer(text)]


def _are_marked(places: Sequence[Span], spans: Sequence[Span], shift: int) -> Iterator[bool]:
    """Whether each token begins in a span; both are in order."""
    at = 0
    for start, _ in places:
        while at < len(spans) and spans[at][1] <= start + shift:
            at += 1
        yield at < len(spans) and spans[at][0] <= start + shift


def carry_marks(old: Sequence[str], marks: Sequence[bool], new: Sequence[str]) -> list[bool] | None:
    """Marks of tokens carried over to nearly the same tokens.

    What the formatter put in place of other tokens is marked if one of them was; what it added, if the token
    before it is. None where the two texts part for longer than a formatter would make them.
    """
    old, new = [_plain(token) for token in old], [_plain(token) for token in new]
    carried: list[bool] = []
    i = j = 0
    while j < len(new):
        if i < len(old) and old[i] == new[j]:
            carried.append(marks[i])
            i, j = i + 1, j + 1
            continue
        skip = _agreement(old, new, i, j)
        if skip is None:
            return None
        replaced = marks[i : i + skip[0]] or marks[max(0, i - 1) : i] or marks[:1]
        carried += [any(replaced)] * skip[1]
        i, j = i + skip[0], j + skip[1]
    return carried


def _plain(token: str) -> str:
    return '"' if token in {"'", "`"} else token


def _agreement(old: Sequence[str], new: Sequence[str], i: int, j: int) -> tuple[int, int] | None:
    """How many tokens of each to skip, fewest in all, until two in a row or both ends agree."""
    for total in range(1, _FARTHEST):
        for n_old in range(total + 1):
            a, b = i + n_old, j + total - n_old
            if a <= len(old) and b <= len(new) and old[a : a + 2] == new[b : b + 2]:
                return n_old, total - n_old
    return None


def _spans(text: str, places: Sequence[Span], marks: Sequence[bool]) -> Iterator[Span]:
    """Runs of marked tokens, with the indentation before and the line end after where a run has the line."""
    start = None
    for position, (place, is_marked) in enumerate(zip(places, marks, strict=True)):
        if is_marked and start is None:
            line = text.rfind("\n", 0, place[0]) + 1
            start = line if not text[line : place[0]].strip() else place[0]
        if start is not None and (not is_marked or position == len(places) - 1):
            end = place[1] if is_marked else places[position - 1][1]
            line_end = text.find("\n", end)
            if line_end >= 0 and not text[end:line_end].strip():
                end = line_end + 1
            yield start, end
            start = None
