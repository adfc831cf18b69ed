"""What came into a branch, one change at a time: a merge as a whole, a squash, or a plain commit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from connectors.contribution import FilePatch
from connectors.diff import parse_diff
from connectors.git.command import DIFF_OPTIONS, Repository
from connectors.git.log import code_only_attributes

DIFF_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Change:
    """A step of a branch along its first parents. patches: only code has hunks."""

    commit: str
    patches: tuple[FilePatch, ...]


def merged_changes(repository: Path, count: int, rev: str = "HEAD") -> Iterator[Change]:
    """The last changes of a branch, newest first. The first commit of all has nothing to differ from.

    Raises:
        HistoryError: no such revision, or git failed.
    """
    place = Repository.at(repository)
    words = ("rev-list", "--first-parent", "--parents", f"--max-count={count}", place.commit_id(rev))
    for line in place.read(*words).decode().splitlines():
        commit, *parents = line.split()
        if parents:
            yield Change(commit, diff_commits(place, parents[0], commit))


def diff_commits(place: Repository, old: str, new: str) -> tuple[FilePatch, ...]:
    """What lies between two commits. Only code has hunks. Raises HistoryError: git failed."""
    with code_only_attributes() as settings:
        words = ("diff", *DIFF_OPTIONS, old, new, "--")
        output = place.read(*words, settings=settings, timeout_s=DIFF_TIMEOUT_S)
    return parse_diff(output.decode("utf-8", "replace"))
