"""A passage with its author's own names replaced by the team's: what an imitator does first. Torch-free.

Names that the team never wrote become names that it often writes, of the same shape (masking.py) and as near
in length as there is; the same name becomes the same one throughout a passage, and no two become one. What
the team writes already, keywords and the names of the language's library among it, stays. So the text keeps
its tokens' structure and loses its own vocabulary; it need not run.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from fingerprint.evaluation.lexing import Family
from fingerprint.evaluation.masking import Edit, shape_of
from fingerprint.evaluation.parts import Kind, parts_of
from fingerprint.evaluation.rewriting import NoViewError, read_family, rewrite, stretches_of
from fingerprint.passage import Passage

_NAME = re.compile(r"(?<![\w$.])\d[\w.]*|(?P<name>[^\W\d][\w$]*)")
LEAST_USES = 2
"""Uses from which on a name is the team's."""


@dataclass(frozen=True)
class Vocabulary:
    """The names that a team uses.

    Attributes:
        names: all of them. by_shape: the ones to take from, most used first, by the shape of masking.py
            without its length.
    """

    names: frozenset[str]
    by_shape: dict[str, tuple[str, ...]]

    @classmethod
    def of(cls, passages: Iterable[Passage]) -> Vocabulary:
        """Names in the marked code of passages; comments and strings are not read."""
        counts: Counter[str] = Counter()
        for passage in passages:
            try:
                family = read_family(passage)
            except NoViewError:
                continue
            text = passage.marked
            counts.update(text[start:end] for start, end in _names(text, family))
        common = [name for name, n in counts.most_common() if n >= LEAST_USES]
        shapes: dict[str, list[str]] = {}
        for name in common:
            shapes.setdefault(_shape(name), []).append(name)
        return cls(frozenset(common), {shape: tuple(names) for shape, names in shapes.items()})


def renamed(passage: Passage, vocabulary: Vocabulary) -> Passage:
    """The passage in the team's names; itself where it has none of its own.

    Raises:
        NoViewError: no lexer for the language.
    """
    family = read_family(passage)
    edits: list[Edit] = []
    places = [
        (first + start, first + end)
        for first, last in stretches_of(passage)
        for start, end in _names(passage.text[first:last], family)
    ]
    chosen = _choose([passage.text[start:end] for start, end in places], vocabulary)
    for start, end in places:
        name = passage.text[start:end]
        if chosen.get(name, name) != name:
            edits.append((start, end, chosen[name]))
    return rewrite(passage, edits) if edits else passage


def _choose(names: Iterable[str], vocabulary: Vocabulary) -> dict[str, str]:
    """A name of the team's for every one that is not; without any of its shape left, the name stays."""
    names = list(names)
    taken, chosen = set(names), dict[str, str]()
    for name in dict.fromkeys(names):
        if name in vocabulary.names:
            continue
        candidates = [one for one in vocabulary.by_shape.get(_shape(name), ()) if one not in taken]
        if candidates:
            best = min(candidates[:50], key=lambda one: abs(len(one) - len(name)))
            chosen[name] = best
            taken.add(best)
    return chosen


def _names(text: str, family: Family) -> Iterator[tuple[int, int]]:
    """Places of identifiers in the code of a text, keywords left out."""
    parts = parts_of(text, family)
    if parts is None:
        raise NoViewError(f"the lexer of {family.name} loses text")
    keywords = family.keywords or frozenset()
    for part in parts:
        if part.kind is Kind.CODE:
            for found in _NAME.finditer(text, part.start, part.end):
                if found["name"] is not None and found["name"] not in keywords:
                    yield found.span("name")


@lru_cache(maxsize=65_536)
def _shape(name: str) -> str:
    return shape_of(name)[1:]
