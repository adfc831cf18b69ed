"""Labelled texts for probes: one author's hunks against the others', of code that took no gradient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fingerprint.development.pairs.store import Pair, pair_passages
from fingerprint.development.units import Unit
from fingerprint.evaluation.views import view_passages
from fingerprint.passage import Passage
from service import ServiceError
from service.flows.opened import TEAM, OpenedProfile
from service.flows.passages import spread_passages

LEAST_GROUPS = 6
"""Commits of either label below which no fold can be trusted."""


def author_units(opened: OpenedProfile, author: str, n_tokens: int, view: str = "raw") -> list[Unit]:
    """Hunks of an author's and of the others' commits behind the training slice; groups are commits.

    Dev is among them, which adapters are stopped on: the other slices alone hold too few authors in most
    histories. A stop is one choice among nine states; no gradient was taken on any of it.

    Args:
        n_tokens: scored tokens of either label, about. view: what is left of a hunk (evaluation/views.py):
            "masked" tells no names, so no topic; hunks without such a view are left out.

    Raises:
        ServiceError: either side has too few commits. FingerprintError: no such view.
    """
    if author == TEAM:
        raise ServiceError("a label needs one author against the others: name one with --author")
    slices = opened.plan.slices
    unread = [passage for corpus in slices.measured for passage in corpus.passages]
    if view != "raw":
        unread = list(view_passages(unread, view).passages)
    own = [passage for passage in unread if passage.author == author]
    return as_units(own, [p for p in unread if p.author != author], n_tokens, "author", "others")


def as_units(
    positive: Sequence[Passage], negative: Sequence[Passage], n_tokens: int, own: str, other: str
) -> list[Unit]:
    """Passages of two sides, thinned alike; a group is a commit, or the file where there is none.

    Raises:
        ServiceError: either side has too few groups.
    """
    units: list[Unit] = []
    for passages, is_positive, name in ((positive, True, own), (negative, False, other)):
        chosen = spread_passages(tuple(passages), n_tokens) if passages else []
        groups = {passage.group or passage.path for passage in chosen}
        if len(groups) < LEAST_GROUPS:
            raise ServiceError(
                f"the {name} side has code beyond the training slice in {len(groups)} commits, "
                f"{LEAST_GROUPS} are needed to hold any out; choose another author, or wait for more history"
            )
        units += [Unit(passage, is_positive, f"{name} {passage.group or passage.path}") for passage in chosen]
    return units


def label_of(view: str) -> str:
    """The label of ``author_units``, for people."""
    seen = "" if view == "raw" else f", {view}"
    return f"one author's hunks against the others'{seen}"


@dataclass(frozen=True)
class Labelled:
    """Texts with a label. what: in words."""

    what: str
    units: tuple[Unit, ...]


def author_label(opened: OpenedProfile, word: str, n_tokens: int, view: str = "raw") -> Labelled:
    """One author's hunks against the others'; arguments and errors as in ``author_units``."""
    return Labelled(label_of(view), tuple(author_units(opened, opened.name_of(word), n_tokens, view)))


def correctness_label(pairs: Sequence[Pair], n_tokens: int) -> Labelled:
    """Programs against their mutants, from the change to the end of its line; a group is a task.

    Args:
        n_tokens: of the changed lines of either side, about: so many pairs, the first ones.
    """
    correct, incorrect = pair_passages(pairs, "change")
    sizes = np.cumsum([max(1, len(passage.marked) // 4) for passage in correct])
    n = int(np.searchsorted(sizes, n_tokens)) + 1
    units = [
        Unit(passage, is_correct, passage.group)
        for passages, is_correct in ((correct[:n], True), (incorrect[:n], False))
        for passage in passages
    ]
    return Labelled("correct lines against mutated ones", tuple(units))
