"""Calls that one author alone writes: what a team's way of writing would lose with them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from connectors.contribution import Contribution
from service.reports.pages.team import LoneIdiom

LEAST_COMMITS, LEAST_FILES = 4, 2
"""Below these a call is a passing thing."""
MOST = 15
_CALL = re.compile(r"(?<![\w.])((?:[A-Za-z_]\w*\.)?[A-Za-z_]\w{2,})\(")
_DEFINED = re.compile(r"\b(?:def|class|fn|func|function|fun|struct|impl|interface|trait)\s+([A-Za-z_]\w*)")
_KEYWORDS = frozenset(
    "and elif else except for foreach func function if not print return sizeof switch while with".split()
)


@dataclass
class _Seen:
    """What is known of one call. author: its only one so far; None once there were two."""

    author: str | None
    commits: set[str] = field(default_factory=set)
    files: set[str] = field(default_factory=set)
    newest: tuple[Contribution, str] | None = None


def lone_idioms(contributions: Iterable[Contribution], named: Mapping[str, str]) -> tuple[LoneIdiom, ...]:
    """Calls of one author in several commits and files, those of most commits first.

    Names that the history itself defines are left out: a helper and its caller are a topic. Files of
    one author alone still make topics look like idioms; the page shows lines, so that people can tell.

    Args:
        contributions: the team's, in any order. named: names of authors who opted in, by key.
    """
    seen: dict[str, _Seen] = {}
    defined: set[str] = set()
    for contribution in contributions:
        for line in (line for hunk in contribution.hunks for line in hunk.added):
            defined.update(_DEFINED.findall(line))
            for call in _CALL.findall(line):
                _note(seen, call, contribution, line)
    kept = [
        (call, found) for call, found in seen.items()
        if found.author is not None
        and len(found.commits) >= LEAST_COMMITS and len(found.files) >= LEAST_FILES
        and call.rpartition(".")[2] not in defined and call not in _KEYWORDS
    ]  # fmt: skip
    kept.sort(key=lambda item: (-len(item[1].commits), item[0]))
    return tuple(_idiom(call, found, named) for call, found in kept[:MOST])


def _note(seen: dict[str, _Seen], call: str, contribution: Contribution, line: str) -> None:
    found = seen.setdefault(call, _Seen(contribution.author))
    if found.author is None:
        return
    if found.author != contribution.author:
        found.author, found.newest = None, None
        found.commits.clear()
        found.files.clear()
        return
    found.commits.add(contribution.commit)
    found.files.add(contribution.path)
    if found.newest is None or contribution.authored_at >= found.newest[0].authored_at:
        found.newest = (contribution, line)


def _idiom(call: str, found: _Seen, named: Mapping[str, str]) -> LoneIdiom:
    assert found.newest is not None
    contribution, line = found.newest
    return LoneIdiom(
        f"{call}(", len(found.commits), len(found.files), contribution.authored_at, line[:200],
        contribution.path, named.get(contribution.author, ""),
    )  # fmt: skip
