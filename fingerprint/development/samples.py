"""What is observed along the draws: windows, whose they are, and which of them belong together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Int

from fingerprint import FingerprintError
from fingerprint.development.influence_config import InfluenceConfig
from fingerprint.development.pairs.store import Pair, pair_passages
from fingerprint.lm.load import Base
from fingerprint.lm.tokens import TokenizedPassage, tokenize_passages
from fingerprint.passage import Passage

Form = Literal["pairs", "author"]
GROUPS: dict[Form, tuple[str, str]] = {"pairs": ("correct", "incorrect"), "author": ("author", "team")}
"""The two groups of a form, in the order of ``Samples.group``."""
LEAST = 4
"""Samples of a group under which nothing is read."""


class SamplesError(FingerprintError):
    """Too little text to observe."""


@dataclass(frozen=True, eq=False)
class Samples:
    """Samples of two groups, each of one window or more.

    Attributes:
        form: "pairs" (programs) or "author" (commits). names: of every sample. group: 0 or 1 in
            ``GROUPS``. unit: number of the task or commit: terms within one are self terms. windows: of all
            samples. sample_of: the sample of each window.
    """

    form: Form
    names: tuple[str, ...]
    group: Int[np.ndarray, " n"]
    unit: Int[np.ndarray, " n"]
    windows: tuple[TokenizedPassage, ...]
    sample_of: Int[np.ndarray, " w"]

    @property
    def n_tokens(self) -> Int[np.ndarray, " w"]:
        """Scored tokens of each window."""
        return np.array([int(window.scored.sum()) for window in self.windows])

    @property
    def tokens_by_sample(self) -> Int[np.ndarray, " n"]:
        """Scored tokens of each sample."""
        return np.bincount(self.sample_of, weights=self.n_tokens, minlength=len(self.names)).astype(int)

    def of(self, group: int) -> Int[np.ndarray, " a"]:
        """Positions of one group's samples."""
        return np.flatnonzero(self.group == group)


def pair_samples(base: Base, pairs: Sequence[Pair], config: InfluenceConfig) -> Samples:
    """The first pairs that fit, subtle ones alone: correct programs, then incorrect ones, in the same order.

    Sets of pairs stand in an order in which any first part is balanced over operators, and so is this.

    Raises:
        SamplesError: too few pairs fit.
    """
    subtle = [pair for pair in pairs if pair.is_subtle]
    sides = [
        _whole_windows(base, side, config.sequence_tokens) for side in pair_passages(subtle, config.scored)
    ]
    fitting = [i for i, both in enumerate(zip(*sides, strict=True)) if None not in both]
    chosen = fitting[: config.n_sequences // 2]
    if len(chosen) < LEAST:
        raise SamplesError(
            f"Expected at least {LEAST} pairs of at most {config.sequence_tokens} tokens, got {len(chosen)} "
            f"of {len(subtle)} subtle ones: allow longer sequences, or make more pairs"
        )
    windows = tuple(window for side in sides for i in chosen if (window := side[i]) is not None)
    _, unit = np.unique([subtle[i].task for i in chosen], return_inverse=True)
    names = tuple(f"{subtle[i].task} {subtle[i].operator}" for i in chosen)
    return Samples(
        "pairs",
        names + names,
        np.repeat([0, 1], len(chosen)),
        np.tile(unit, 2),
        windows,
        np.arange(len(windows)),
    )


def author_samples(
    base: Base, own: Sequence[Passage], team: Sequence[Passage], config: InfluenceConfig
) -> Samples:
    """Commits of the author that the adapter was trained on, and of the team that it was not.

    Added lines alone are scored; commits are taken evenly over time, each with all of its windows.

    Raises:
        SamplesError: too few commits of either.
    """
    names, group, windows, sample_of = [], [], [], []
    for number, passages in enumerate((own, team)):
        commits = _spread_commits(base, passages, config)
        if len(commits) < LEAST:
            whose = GROUPS["author"][number]
            raise SamplesError(
                f"Expected at least {LEAST} commits of the {whose} to observe, got {len(commits)}"
            )
        for name, of_commit in commits:
            sample_of += [len(names)] * len(of_commit)
            names.append(name)
            group.append(number)
            windows += of_commit
    unit = np.unique(names, return_inverse=True)[1]
    return Samples("author", tuple(names), np.array(group), unit, tuple(windows), np.array(sample_of))


def _whole_windows(base: Base, passages: Sequence[Passage], max_tokens: int) -> list[TokenizedPassage | None]:
    """One window a passage; None where the passage does not fit into one, or nothing of it is scored."""
    found: list[TokenizedPassage | None] = [None] * len(passages)
    seen = set()
    for window in tokenize_passages(base, passages, max_tokens):
        is_second = window.passage_index in seen
        found[window.passage_index] = None if is_second else window
        seen.add(window.passage_index)
    return found


def _spread_commits(
    base: Base, passages: Sequence[Passage], config: InfluenceConfig
) -> list[tuple[str, list[TokenizedPassage]]]:
    """Whole commits, evenly over time, of half as many windows as there are sequences, about."""
    by_commit: dict[str, list[TokenizedPassage]] = {}
    for window in tokenize_passages(base, passages, config.sequence_tokens):
        by_commit.setdefault(passages[window.passage_index].group, []).append(window)
    room = config.n_sequences // 2
    small = [(name, own) for name, own in by_commit.items() if len(own) <= max(1, room // LEAST)]
    if not small:
        return []
    mean_size = sum(len(own) for _, own in small) / len(small)
    n_wanted = max(1, min(len(small), int(room / mean_size)))
    return [small[round(i * (len(small) - 1) / max(1, n_wanted - 1))] for i in range(n_wanted)]
