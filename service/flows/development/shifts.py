"""The texts of a susceptibility: what the posterior is of, and the data sets that the data is shifted to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fingerprint.passage import Passage
from service import ServiceError
from service.flows.foreign import read_foreign
from service.flows.opened import OpenedProfile

LIBRARY, AUTHOR, TEAM, CORRECT, INCORRECT = "library", "author", "team", "correct", "incorrect"
LIBRARY_TOKENS = 60_000
"""Tokens of the standard library that windows are drawn from."""
LEAST_PASSAGES = 8
"""Passages below which a data set is left out: its mean loss would be that of a few hunks."""
MOST_LANGUAGES = 2
_HUNK_LINES = (24,)


@dataclass(frozen=True)
class ShiftTexts:
    """Passages by role.

    Attributes:
        train: of the text that the posterior is of. sets: shifted data sets by name, in order.
    """

    train: tuple[Passage, ...]
    sets: Mapping[str, tuple[Passage, ...]]


def gather_texts(
    opened: OpenedProfile | None,
    author: str | None,
    pairs: tuple[Sequence[Passage], Sequence[Passage]] | None,
    *,
    seed: int = 0,
) -> ShiftTexts:
    """The training text and the data sets that there are.

    The training text is the author's own, where one is named, else Python's standard library, whose second
    half is the control "library". A profiled repository gives "author" and "team" (code that nothing was
    trained on, the team's without the author's) and its most frequent languages; pairs give "correct" and
    "incorrect".

    Raises:
        ServiceError: fewer than two data sets, or too little of the author's code.
    """
    library = read_foreign(None, _HUNK_LINES, LIBRARY_TOKENS, seed).corpus.passages
    train, control = library[::2], library[1::2]
    sets: dict[str, tuple[Passage, ...]] = {}
    if pairs is not None:
        sets |= {CORRECT: tuple(pairs[0]), INCORRECT: tuple(pairs[1])}
    if opened is not None:
        sets |= repository_sets(opened.unread, author)
    if opened is not None and author is not None:
        train = opened.plan.slices.train.where_author(author).passages
    sets[LIBRARY] = control
    kept = {name: own for name, own in sets.items() if len(own) >= LEAST_PASSAGES}
    if len(kept) < 2 or len(train) < LEAST_PASSAGES:
        told = ", ".join(f"{name} {len(own)}" for name, own in sets.items())
        raise ServiceError(
            f"a susceptibility needs {LEAST_PASSAGES} passages of training text (got {len(train)}) and "
            f"as many of two data sets (got {told}); give --repo a profiled repository, or --pairs"
        )
    return ShiftTexts(tuple(train), kept)


def repository_sets(unread: Sequence[Passage], author: str | None) -> dict[str, tuple[Passage, ...]]:
    """The author's and the team's code, then the most frequent languages where there are several."""
    sets: dict[str, tuple[Passage, ...]] = {}
    if author is not None:
        sets[AUTHOR] = tuple(p for p in unread if p.author == author)
    sets[TEAM] = tuple(p for p in unread if p.author != author)
    counts = Counter(p.language for p in unread)
    common = [name for name, n in counts.most_common(MOST_LANGUAGES) if n >= LEAST_PASSAGES]
    if len(common) > 1:
        sets |= {name: tuple(p for p in unread if p.language == name) for name in common}
    return sets
