"""Diffs for review: between two commits, or of what is staged."""

from __future__ import annotations

import re
from pathlib import Path

from connectors.contribution import FilePatch
from connectors.diff import parse_diff
from connectors.git import EmptyRepositoryError, HistoryError
from connectors.git.command import DIFF_OPTIONS, Repository

_RANGE = re.compile(r"(.*?)(\.{2,3})(.*)")


def diff_range(repository: Path, revisions: str) -> tuple[FilePatch, ...]:
    """Patches between two commits; revisions and errors as for `read_range`."""
    return parse_diff(read_range(repository, revisions))


def read_range(repository: Path, revisions: str) -> str:
    """Unified diff between two commits, as git prints it.

    Args:
        revisions: "base..head", or "base...head" for head against the commit where it left base. A side
            left out means HEAD.

    Raises:
        HistoryError: not such a range, or git cannot read it.
    """
    return _read_diff(Repository.at(repository), *ends_of_range(repository, revisions))


def ends_of_range(repository: Path, revisions: str) -> tuple[str, str]:
    """Full ids of the two commits; revisions and errors as for `read_range`."""
    match = _RANGE.fullmatch(revisions)
    if match is None:
        raise HistoryError(f"expected a range such as main..HEAD, saw {revisions!r}")
    place = Repository.at(repository)
    base, head = (place.commit_id(side or "HEAD") for side in (match[1], match[3]))
    if match[2] == "...":
        base = place.read("merge-base", base, head).decode().strip()
    return base, head


def diff_staged(repository: Path) -> tuple[FilePatch, ...]:
    """Patches between HEAD and the index; everything staged, before the first commit."""
    place = Repository.at(repository)
    try:
        base = place.commit_id("HEAD")
    except EmptyRepositoryError:
        base = place.read("hash-object", "-t", "tree", "--stdin").decode().strip()  # the empty tree
    return parse_diff(_read_diff(place, "--cached", base))


def _read_diff(repository: Repository, *selection: str) -> str:
    return repository.read("diff", *DIFF_OPTIONS, *selection, "--").decode("utf-8", "replace")
