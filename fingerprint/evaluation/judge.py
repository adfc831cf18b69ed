"""A language model as judge (B10): hunks of every author, one new hunk, and whose it is.

evaluation.md 4.7: five reference hunks an author, a tournament where there are more than eight. The model's
probabilities are what it says they are: nobody calibrated them, and only their order is used.
"""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from fingerprint.endpoint import Endpoint, EndpointError
from fingerprint.evaluation.protocol import Sample

N_REFERENCES = 5
"""Hunks shown of every author."""
MOST_AT_ONCE = 8
"""Authors in one question; of more, groups are asked about and their winners meet."""
MOST_CHARACTERS = 1_200
"""Of one hunk shown: a long one would crowd the others out."""
_SYSTEM = (
    "You tell programmers apart by how they write code. You see hunks that each author wrote, then one new "
    "hunk by one of them. Judge habits (layout, naming, idioms, structure), not the topic. Answer "
    "with a JSON object that gives every author's letter the probability that they wrote the new hunk."
)


def reference_hunks(
    samples: Sequence[Sample], authors: Sequence[str], n: int = N_REFERENCES
) -> list[tuple[str, ...]]:
    """The newest n samples of each author, by commits of their own where there are so many."""
    found: list[tuple[str, ...]] = []
    for author in authors:
        own = sorted((s for s in samples if s.author == author), key=lambda s: -s.written_at)
        by_commit = {s.group: s for s in reversed(own)}
        spread = sorted(by_commit.values(), key=lambda s: -s.written_at)
        rest = [s for s in own if s not in spread]
        found.append(tuple(s.text for s in [*spread, *rest][:n]))
    return found


def judge_hunk(
    endpoint: Endpoint, references: Sequence[Sequence[str]], text: str, rng: np.random.Generator
) -> Float[np.ndarray, " K"]:
    """Scores of one hunk by author: probabilities in [0, 1], and 1 more for every round won before.

    Authors stand in a random order under letters, so that a liking for a letter favours nobody.

    Raises:
        EndpointError: no answer, or one without probabilities.
    """
    scores = np.zeros(len(references))
    playing, n_won = rng.permutation(len(references)), 0
    while len(playing) > 1:
        groups = np.array_split(playing, -(-len(playing) // MOST_AT_ONCE))
        for group in groups:
            scores[group] = n_won + _ask(endpoint, references, text, group)
        playing, n_won = np.array([group[scores[group].argmax()] for group in groups]), n_won + 1
    return scores


def _ask(
    endpoint: Endpoint, references: Sequence[Sequence[str]], text: str, group: np.ndarray
) -> Float[np.ndarray, " g"]:
    """Probabilities of one group, adding up to 1; equal ones where all are 0."""
    letters = string.ascii_uppercase[: len(group)]
    shown = [
        f"Author {letter}, hunk {n}:\n{_cut(hunk)}"
        for letter, author in zip(letters, group, strict=True)
        for n, hunk in enumerate(references[int(author)], 1)
    ]
    question = "\n\n".join([*shown, f"The new hunk:\n{_cut(text)}", f"Answer for {', '.join(letters)}."])
    answer = endpoint.ask(_SYSTEM, question)
    chances = np.array([_chance(answer, letter) for letter in letters])
    total = chances.sum()
    return chances / total if total > 0 else np.full(len(group), 1 / len(group))


def _chance(answer: Mapping[str, Any], letter: str) -> float:
    found = answer.get(letter, 0.0)
    if isinstance(found, bool) or not isinstance(found, int | float) or not 0 <= found < np.inf:
        raise EndpointError(
            f"expected a probability for author {letter}, the model answered {found!r}: try another model"
        )
    return float(found)


def _cut(text: str) -> str:
    return text if len(text) <= MOST_CHARACTERS else text[:MOST_CHARACTERS] + "\n[cut]"
