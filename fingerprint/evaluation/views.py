"""Passages with part of the information taken away, for n-grams and models alike (splits S7-S9). Torch-free.

A *view* rewrites a Passage, context and header's section included; its spans mark what remains of the
marked text. Masked, a passage tells no names, literals and comments, so no topic; without comments, no prose;
formatted, nothing that a formatter settles. What cannot be viewed is dropped and counted: views are compared
on the passages that all of them have (``Viewed.kept``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fingerprint import FingerprintError
from fingerprint.evaluation.formatted import format_passages
from fingerprint.evaluation.lexing import Family
from fingerprint.evaluation.masking import Edit, mask_edits
from fingerprint.evaluation.parts import Kind, Part, parts_of
from fingerprint.evaluation.rewriting import NoViewError, read_family, rewrite, stretches_of
from fingerprint.passage import Passage


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


def masked(passage: Passage) -> Passage:
    """S7: keywords, operators, punctuation, white space and lines stay; masking.py shows the rest's markers.

    Raises:
        NoViewError: no lexer for the language, or nothing marked.
    """
    family = read_family(passage)
    edits: list[Edit] = []
    for start, end in stretches_of(passage):
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
    family = read_family(passage)
    edits: list[Edit] = []
    for start, end in stretches_of(passage):
        text = passage.text[start:end]
        gone = [(p.start, p.end) for p in _parts(text, family) if p.kind in {Kind.COMMENT, Kind.DOCSTRING}]
        edits += [(start + first, start + last, "") for first, last in _whole_lines(text, gone)]
    return rewrite(passage, edits)


def _parts(text: str, family: Family) -> list[Part]:
    parts = parts_of(text, family)
    if parts is None:
        raise NoViewError(f"the lexer of {family.name} loses text")
    return parts


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


# ----------------------------------------------------------------------------------------- all of them

Rule = Callable[[Sequence[Passage]], list[Passage | str]]
"""Each passage seen through a view, or the reason why it has none."""


def _each(rule: Callable[[Passage], Passage]) -> Rule:
    def view(passage: Passage) -> Passage | str:
        try:
            return rule(passage)
        except NoViewError as reason:
            return str(reason)

    return lambda passages: [view(passage) for passage in passages]


_RULES: dict[str, Rule] = {
    "raw": list,
    "masked": _each(masked),
    "without comments": _each(without_comments),
    "formatted": format_passages,  # many files a process
}


def _or_none(rule: Rule) -> Callable[[Passage], Passage | None]:
    def view(passage: Passage) -> Passage | None:
        (found,) = rule([passage])
        return found if isinstance(found, Passage) else None

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
    if name not in _RULES:
        raise FingerprintError(f"There is no view {name!r}. Choose one of: {', '.join(_RULES)}.")
    found = _RULES[name](passages)
    seen = [(position, view) for position, view in enumerate(found) if isinstance(view, Passage)]
    reasons = Counter(reason for reason in found if isinstance(reason, str))
    return Viewed(
        passages=tuple(view for _, view in seen),
        n_dropped=len(found) - len(seen),
        reasons=dict(sorted(reasons.items())),
        kept=tuple(position for position, _ in seen),
    )
