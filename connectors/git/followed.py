"""Reviews that a history tells of: commits of merged branches that say they follow one.

Where pull requests are merged with their commits, some of these are named "address review comments" or
"PR feedback". What such a commit rewrites is where the review had something to say.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import NamedTuple

from connectors.contribution import Hunk
from connectors.git import HistoryError
from connectors.git.command import Repository
from connectors.git.merged import diff_commits

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
    commits = _read_commits(place, place.commit_id(rev))
    n_found = 0
    for merge, branch in _merged_branches(commits):
        if n_found == count or (after is not None and commits[merge].day <= after):
            return
        number = _number(commits[merge].subject)
        if number is None or len(commits[merge].parents) != 2:
            continue
        found = [*_of_branch(place, number, merge, {one: commits[one] for one in branch})]
        n_found += bool(found)
        yield from found


class _Commit(NamedTuple):
    parents: list[str]
    seconds: int
    subject: str

    @property
    def day(self) -> date:
        return datetime.fromtimestamp(self.seconds, UTC).date()


def _read_commits(place: Repository, tip: str) -> dict[str, _Commit]:
    """All of a history by id, its tip first."""
    form = _SEPARATOR.join(("%H", "%P", "%ct", "%s"))
    output = place.read("log", f"--format={form}", tip, "--").decode("utf-8", "replace")
    found: dict[str, _Commit] = {}
    for line in filter(None, output.split("\n")):
        commit, parents, seconds, subject = line.split(_SEPARATOR, 3)
        found[commit] = _Commit(parents.split(), int(seconds), subject)
    return found


def _merged_branches(commits: Mapping[str, _Commit]) -> list[tuple[str, list[str]]]:
    """Every merge along the first parents and what it brought, as ``parent..other`` has it; newest first."""
    line = [next(iter(commits))]
    while parents := commits[line[-1]].parents:
        line.append(parents[0])
    found: list[tuple[str, list[str]]] = []
    seen: set[str] = set()
    for commit in reversed(line):
        seen.add(commit)
        branch, left = list[str](), commits[commit].parents[1:]
        while left:
            one = left.pop()
            if one not in seen:
                seen.add(one)
                branch.append(one)
                left += commits[one].parents
        if len(commits[commit].parents) > 1:
            found.append((commit, sorted(branch, key=lambda one: -commits[one].seconds)))
    return found[::-1]


def _of_branch(
    place: Repository, number: int, merge: str, branch: Mapping[str, _Commit]
) -> Iterator[FollowedReview]:
    shown = {commit for commit, own in branch.items() if len(own.parents) < 2}
    for commit, own in branch.items():
        if len(own.parents) != 1 or own.parents[0] not in shown or not says_it_follows(own.subject):
            continue
        try:
            lines = tuple(_rewritten(place, own.parents[0], commit))
        except HistoryError:
            continue
        if lines:
            yield FollowedReview(number, merge, own.parents[0], lines)


def _number(subject: str) -> int | None:
    match = _NUMBER.search(subject)
    return int(next(filter(None, match.groups()))) if match else None


def _rewritten(place: Repository, old: str, new: str) -> Iterator[tuple[str, int]]:
    for patch in diff_commits(place, old, new):
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
