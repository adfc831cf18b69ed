"""Which commits of a pull request to learn from, so that nothing is learnt twice.

A merge brings the pull request's own commits into history. A squash hides them behind one commit, by one
author and with the notes of none, so the own commits are read in its stead. A rebase writes them anew, and
the new ones are read.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from connectors.git import HistoryError
from connectors.git.mirror import Mirror
from connectors.github.pulls import MergedPull

MAX_OWN_COMMITS = 1000  # more is no pull request's work but a branch's


class Merge(StrEnum):
    """How a pull request came into its base branch."""

    MERGE = "merge"
    SQUASH = "squash"
    REBASE = "rebase"
    UNKNOWN = "unknown"


def how_merged(mirror: Mirror, pull: MergedPull) -> Merge:
    """Look at the commits. UNKNOWN: they are not all in the mirror; the base branch is then read as it is."""
    merged, head = pull.merge_sha, pull.head_sha
    if not merged or not mirror.holds(merged) or not mirror.holds(head):
        return Merge.UNKNOWN
    parents = _lines(mirror, "rev-list", "--parents", "--max-count=1", merged)[0].split()[1:]
    if len(parents) != 1 or mirror.is_ancestor(merged, head):
        return Merge.MERGE
    own = _facts(mirror, "--no-merges", "--reverse", head, "--not", parents[0])
    if not own or len(own) > MAX_OWN_COMMITS:
        return Merge.UNKNOWN
    written = _facts(mirror, "--reverse", "--first-parent", f"--max-count={len(own)}", merged)
    return Merge.REBASE if written == own else Merge.SQUASH


def squashes(mirror: Mirror, pulls: Iterable[MergedPull], tip: str) -> dict[str, str]:
    """Squash commit -> head of its pull request, for squashes that are in the history of ``tip``.

    Hand it to ``connectors.git.history.read_history`` as ``replacing``.
    """
    found: dict[str, str] = {}
    for pull in pulls:
        is_squash = how_merged(mirror, pull) is Merge.SQUASH
        if is_squash and mirror.is_ancestor(pull.merge_sha, tip):
            found[pull.merge_sha] = pull.head_sha
    return found


def _facts(mirror: Mirror, *selection: str) -> list[str]:
    """Author, author date and subject of commits: what a rebase keeps and a squash does not."""
    return _lines(mirror, "log", "--format=%ae%x00%at%x00%s", *selection)


def _lines(mirror: Mirror, *words: str) -> list[str]:
    """Output of git, by line. Raises HistoryError."""
    output = mirror.repository.read(*words, timeout_s=mirror.dials.diff_timeout_s)
    lines = output.decode("utf-8", "replace").splitlines()
    if words[0] == "rev-list" and not lines:
        raise HistoryError(f"git {words[0]} named no commit for {words[-1][:12]}")
    return lines
