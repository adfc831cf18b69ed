"""What people may say to the app in a comment: a short list of verbs, nothing that sets a value."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

MAX_REASON = 200
_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})")
_LINE = re.compile(r"^/routeprint[ \t]+([a-z]+)\b[ \t]*(.*)$")
_UNTIL = re.compile(r"(?:^|\s)until=(\d{4}-\d{2}-\d{2})(?=\s|$)")


class Verb(StrEnum):
    """The commands."""

    SCORE = "score"
    EXPLAIN = "explain"
    ACCEPT = "accept"
    IGNORE = "ignore"


@dataclass(frozen=True, slots=True)
class Command:
    """One command. reason, until: of ``ignore`` and ``accept``; the text is untrusted."""

    verb: Verb
    reason: str = ""
    until: date | None = None


_VERBS = {verb.value for verb in Verb}


def parse_command(body: str) -> Command | None:
    """The first command of a comment: a line that starts with it, outside code blocks and quotations."""
    fence = ""
    for line in body.splitlines():
        mark = _FENCE.match(line)
        if mark:
            closes = fence and mark[1][0] == fence[0] and len(mark[1]) >= len(fence)
            fence = "" if closes else fence or mark[1]
            continue
        found = None if fence else _LINE.match(line)
        if found and found[1] in _VERBS:
            return _command(Verb(found[1]), found[2])
    return None


def _command(verb: Verb, rest: str) -> Command:
    until = _UNTIL.search(rest)
    reason = _UNTIL.sub(" ", rest).strip()[:MAX_REASON]
    return Command(verb, reason, _date(until[1]) if until else None)


def _date(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None
