"""Line notes that coding agents leave in ``refs/notes/ai``: who wrote which added lines, as reported.

The format is the Git AI standard's authorship log (schema ``authorship/3.0.0``): per file the keys of who
wrote which line ranges, then ``---``, then JSON that says what the keys mean. Nothing is guessed: a line
that no key covers is unattested, which does not mean that a person wrote it.
"""

from __future__ import annotations

import json
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from connectors import ConnectorError

REF = "refs/notes/ai"
SCHEMA = "authorship/3."
HUMAN = "h_"


class NoteError(ConnectorError):
    """A line note that cannot be read."""


@dataclass(frozen=True, slots=True)
class Attested:
    """Added lines of one file, by who is recorded as having written them.

    Attributes:
        by_tool: lines by agent tool. n_human: lines recorded as typed by a person.
    """

    by_tool: Counter[str] = field(default_factory=Counter)
    n_human: int = 0

    @property
    def n_agent(self) -> int:
        """Lines of every agent."""
        return self.by_tool.total()


Ranges = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class LineNote:
    """One commit's note.

    Attributes:
        files: by path, (writer, line ranges) in order; the writer is a tool's name, or "" for a person.
    """

    files: dict[str, tuple[tuple[str, Ranges], ...]]

    def attested(self, path: str, added: Iterable[int]) -> Attested:
        """Who wrote the given lines (1-based, of the new file)."""
        lines = sorted(added)
        n_lines: Counter[str] = Counter()
        for writer, ranges in self.files.get(path, ()):
            n_lines[writer] += sum(
                bisect_right(lines, last) - bisect_left(lines, first) for first, last in ranges
            )
        return Attested(Counter({tool: n for tool, n in n_lines.items() if tool and n > 0}), n_lines[""])


def parse_note(text: str) -> LineNote:
    """Read a note.

    Raises:
        NoteError: not an authorship log of a known version.
    """
    head, separator, tail = text.partition("\n---\n") if not text.startswith("---\n") else ("", "-", text[4:])
    if not separator:
        raise NoteError(f"expected attested lines, '---' and JSON, saw {text[:40]!r}")
    try:
        facts = json.loads(tail)
    except ValueError as error:
        raise NoteError(f"expected JSON after '---': {error}") from error
    if not isinstance(facts, dict) or not str(facts.get("schema_version", "")).startswith(SCHEMA):
        raise NoteError(f"expected schema {SCHEMA}x, saw {facts!r:.60}")
    return LineNote(_files(head, facts))


def _files(head: str, facts: dict[str, Any]) -> dict[str, tuple[tuple[str, Ranges], ...]]:
    files: dict[str, list[tuple[str, Ranges]]] = {}
    path = ""
    for line in head.split("\n"):
        if not line.strip():
            continue
        if not line.startswith(" "):
            path = line[1:-1] if len(line) > 1 and line[0] == line[-1] == '"' else line
            files.setdefault(path, [])
            continue
        key, _, ranges = line.strip().partition(" ")
        if not path:
            raise NoteError(f"expected a path before the lines {line!r}")
        files[path].append((_writer(key, facts), _ranges(ranges)))
    return {name: tuple(entries) for name, entries in files.items()}


def _writer(key: str, facts: dict[str, Any]) -> str:
    """The tool behind a key, "" for a person."""
    if key.startswith(HUMAN):
        return ""
    name = key.partition("::")[0]
    for records in (facts.get("sessions"), facts.get("prompts")):
        try:
            return str(records[name]["agent_id"]["tool"]).strip().lower() or "unknown"  # pyright: ignore[reportOptionalSubscript] - any JSON may stand there
        except (KeyError, TypeError):
            continue
    return "unknown"  # lines of an agent whose record is gone are still an agent's


def _ranges(text: str) -> Ranges:
    found = []
    for part in text.split(","):
        first, _, last = part.strip().partition("-")
        try:
            found.append((int(first), int(last or first)))
        except ValueError as error:
            raise NoteError(f"expected line ranges such as 3-4,7, saw {text!r:.60}") from error
    return tuple(found)
