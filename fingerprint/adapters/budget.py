"""Which code an adapter is trained on: enough of it, the most recent first, balanced over authors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from fingerprint import FingerprintError
from fingerprint.lm.tokens import TokenizedPassage
from fingerprint.passage import Passage


class InsufficientCodeError(FingerprintError):
    """Too little code to train on.

    Attributes:
        who: the author or team. have: scored tokens there are. need: scored tokens required.
    """

    def __init__(self, who: str, have: int, need: int) -> None:
        self.who, self.have, self.need = who, have, need
        super().__init__(
            f"{who} has {have:,} tokens of own code to learn from, {need:,} are needed: "
            f"{max(0, need - have):,} more. Take a longer history or more repositories in."
        )


def check_enough(n_scored: int, least: int, who: str) -> None:
    """Raise unless there are at least ``least`` scored tokens.

    Raises:
        InsufficientCodeError: with the counts, for the person to read.
    """
    if n_scored < least:
        raise InsufficientCodeError(who, n_scored, least)


def count_scored(windows: Iterable[TokenizedPassage]) -> int:
    """Scored tokens in all."""
    return sum(window.n_scored for window in windows)


def recent_windows(windows: Sequence[TokenizedPassage], budget: int) -> list[TokenizedPassage]:
    """The last windows, in their order, until the budget of scored tokens is reached.

    Args:
        windows: oldest first.
    """
    taken, start = 0, len(windows)
    while start > 0 and taken < budget:
        start -= 1
        taken += windows[start].n_scored
    return list(windows[start:])


def windows_by_author(
    passages: Sequence[Passage], windows: Sequence[TokenizedPassage]
) -> dict[str, list[TokenizedPassage]]:
    """Windows of each author, in the order given."""
    found: dict[str, list[TokenizedPassage]] = {}
    for window in windows:
        found.setdefault(passages[window.passage_index].author, []).append(window)
    return found


def balanced_windows(
    by_author: Mapping[str, Sequence[TokenizedPassage]], budget: int
) -> list[TokenizedPassage]:
    """Equal shares of scored tokens by author, most recent first, oldest first in the result.

    What an author cannot fill is shared out among the others.
    """
    counts = {author: count_scored(windows) for author, windows in by_author.items()}
    chosen: list[TokenizedPassage] = []
    left = budget
    for n_done, author in enumerate(sorted(counts, key=lambda a: (counts[a], a))):
        share = left // (len(counts) - n_done)
        windows = recent_windows(by_author[author], share)
        left -= min(share, count_scored(windows))
        chosen += windows
    return sorted(chosen, key=lambda window: window.passage_index)


def equal_budget(counts: Mapping[str, int], budget: int, most_epochs: int) -> int:
    """The budget every author of a population can fill within the allowed epochs.

    Args:
        counts: scored tokens of each author.
    """
    return min([budget, *(most_epochs * count for count in counts.values())])


def spread_windows(windows: Sequence[TokenizedPassage], budget: int) -> list[TokenizedPassage]:
    """Every k-th window, with k the least that keeps within about ``budget`` scored tokens."""
    step = max(1, round(count_scored(windows) / budget))
    return list(windows[::step])
