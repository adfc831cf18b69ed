"""Reviews that a history tells of: commits of merged branches that say they follow one.

Where pull requests are merged with their commits, some of these are named "address review comments" or
"PR feedback". What such a commit rewrites is where the review had something to say.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from connectors.contribution import FilePatch, Hunk
from connectors.diff import parse_diff
from connectors.git import HistoryError
from connectors.git.command import DIFF_OPTIONS, Repository
from connectors.git.log import code_only_attributes

DIFF_TIMEOUT_S = 60.0
_SEPARATOR = "\x1f"
_NUMBER = re.compile(r"(?i)\bpull request #(\d+)|\bmerge request \S*!(\d+)|\(#(\d+)\)$")
_SAID = r"(?:feedback|comments?|suggestions?|remarks?|nits?|nitpicks?)"
_REVIEW = (
    rf"(?:(?:code |peer |pr )?review(?:er)?(?:'?s)? {_SAID}|(?:pr|mr|pull request) {_SAID}|{_SAID} from"
    r"|feedback|(?:code |peer |pr )?reviews?$)"
)
_FOLLOWS = re.compile(
    rf"(?i)\b(?:address|appl(?:y|ie)|resolve|incorporate|respond|react)(?:s|d|ed|ing)?\b.{{0,30}}?\b{_REVIEW}"
    rf"|\b(?:as per|per|after|from|following) (?:the |a )?(?:code |peer |pr )?reviews?\b"
    rf"|^(?:\W|\w+(?:\([^)]*\))?!?: )*(?:more |some )?(?:code |peer |pr )?(?:review|feedback|pr|nits?)"
    rf"(?: (?:{_SAID}|fix(?:es)?|changes))?\W*$"
    rf"|^(?:review|feedback)(?: {_SAID})?: "
)
_BY_MACHINE = re.compile(
    r"(?i)\[bot\]|\b(?:coderabbit\w*|copilot|gemini|codex|claude|cursor|devin|lint\w*)\b"
)


@dataclass(frozen=True, slots=True)
class FollowedReview:
    """A commit that follows a review, and what it rewrote.

    Attributes:
        number: the pull request's. merge: the commit that merged it.
        head: what was reviewed, the commit before. Part of the branch, so it has the branch's own changes.
        lines: (path, line) at ``head`` of the first line of every run that was changed or taken away.
    """

    number: int
    merge: str
    head: str
    lines: tuple[tuple[str, int], ...]


def says_it_follows(subject: str) -> bool:
    """Whether a commit's subject says that it does what a person's review asked for."""
    return bool(_FOLLOWS.search(subject)) and not _BY_MACHINE.search(subject)


def followed_reviews(
    repository: Path, count: int, after: date | None = None, rev: str = "HEAD"
) -> Iterator[FollowedReview]:
    """What followed the reviews of the last merged pull requests, newest merge first.

    Only a merge that names its pull request counts, and only a follow-up that is not the branch's first
    commit: before that there was nothing to review. One whose files are missing (a partial clone) is passed
    over.

    Args:
        count: pull requests with a follow-up, at most. after: only those merged later than this day.

    Raises:
        HistoryError: no such revision, or git failed.
    """
    place = Repository.at(repository)
    tip = place.commit_id(rev)
    following = {commit for commit, _, subject in _log(place, "--no-merges", tip) if says_it_follows(subject)}
    n_found = 0
    for merge, parents, day, subject in _merges(place, tip):
        if n_found == count or (after is not None and day <= after):
            return
        number = _number(subject)
        if not following or number is None or len(parents) != 2:
            continue
        found = [*_of_branch(place, number, merge, parents, following)]
        n_found += bool(found)
        yield from found


def _of_branch(
    place: Repository, number: int, merge: str, parents: list[str], following: set[str]
) -> Iterator[FollowedReview]:
    commits = {commit: own for commit, own, _ in _log(place, "--no-merges", f"{parents[0]}..{parents[1]}")}
    for commit, own in commits.items():
        if commit not in following or len(own) != 1 or own[0] not in commits:
            continue
        try:
            lines = tuple(_rewritten(place, own[0], commit))
        except HistoryError:
            continue
        if lines:
            yield FollowedReview(number, merge, own[0], lines)


def _log(place: Repository, *selection: str) -> Iterator[tuple[str, list[str], str]]:
    """Id, parents and subject of commits."""
    for commit, parents, _, subject in _fields(place, *selection):
        yield commit, parents.split(), subject


def _merges(place: Repository, tip: str) -> Iterator[tuple[str, list[str], date, str]]:
    for commit, parents, seconds, subject in _fields(place, "--merges", "--first-parent", tip):
        yield commit, parents.split(), datetime.fromtimestamp(int(seconds), UTC).date(), subject


def _fields(place: Repository, *selection: str) -> Iterator[list[str]]:
    form = _SEPARATOR.join(("%H", "%P", "%ct", "%s"))
    output = place.read("log", f"--format={form}", *selection, "--").decode("utf-8", "replace")
    for line in output.split("\n"):
        if line:
            yield line.split(_SEPARATOR, 3)


def _number(subject: str) -> int | None:
    match = _NUMBER.search(subject)
    return int(next(filter(None, match.groups()))) if match else None


def _rewritten(place: Repository, old: str, new: str) -> Iterator[tuple[str, int]]:
    with code_only_attributes() as settings:
        words = ("diff", *DIFF_OPTIONS, old, new, "--")
        output = place.read(*words, settings=settings, timeout_s=DIFF_TIMEOUT_S)
    for patch in parse_diff(output.decode("utf-8", "replace")):
        yield from _runs(patch)


def _runs(patch: FilePatch) -> Iterator[tuple[str, int]]:
    for hunk in patch.hunks:
        yield from ((patch.old_path, line) for line in _first_lines(hunk))


def _first_lines(hunk: Hunk) -> Iterator[int]:
    """The old file's line at which every run of removed lines begins."""
    line, was_removed = hunk.old_start, False
    for text in hunk.lines:
        is_removed = text[:1] == "-"
        if is_removed and not was_removed:
            yield line
        was_removed = is_removed
        line += text[:1] in {"-", " ", ""}
