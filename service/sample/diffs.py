"""New diffs against the sample's head, with the places where the author's habits show."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from service import ServiceError
from service.sample.people import TEAM, Person
from service.sample.repository import diff_against_head
from service.sample.traces import PlantedHabit, find_traces, habits_of
from service.sample.writing import Desk

_MIN_LINES, _MAX_LINES, _MAX_FILES = 80, 150, 4
_HUNK = re.compile(r"^@@ -\d+(?:,\d+)? \+(\d+)(?:,\d+)? @@")


@dataclass(frozen=True, slots=True)
class PlantedSpan:
    """Text of an added line that realises a habit.

    Attributes:
        path: file in the repository.
        line: line in the new file, from 1.
        start: first column, from 0.
        end: column after the last.
        text: what stands there.
        habit: ``dimension:choice``, as in the truth.
        is_departure: whether all three engineers have another choice in that dimension.
    """

    path: str
    line: int
    start: int
    end: int
    text: str
    habit: str
    is_departure: bool


@dataclass(frozen=True, slots=True)
class SampleDiff:
    """One new diff.

    Attributes:
        text: as ``git diff`` prints it against the head.
        author: who wrote it.
        planted: where the author's habits show, by path and line.
    """

    text: str
    author: Person
    planted: tuple[PlantedSpan, ...]


def write_diff(path: Path, desk: Desk, person: Person) -> SampleDiff:
    """A diff of 80-150 added lines over two to four files, in a person's hand.

    The desk's files stay as they are; the chunks are used up.
    """
    desk.keep_stocked()
    before = desk.snapshot()
    n_lines, paths = 0, set[str]()
    while n_lines < _MIN_LINES or len(paths) < 2:
        keys = {key for key, draft in desk.drafts.items() if draft.path in paths}
        allowed = _next_file(keys, set(before.drafts))
        change = desk.write(person, 40 if n_lines < 60 else 25, _MAX_LINES - n_lines, allowed, n_files=1)
        if change is None:
            break
        n_lines += change.n_lines
        paths |= set(change.paths)
    if n_lines < _MIN_LINES // 2:
        raise ServiceError(
            f"the sample has too few unused functions left for a new diff by {person.name}; try another seed"
        )
    texts = {draft.path: draft.text() for draft in desk.drafts.values() if draft.path in paths}
    desk.restore(before)
    text = diff_against_head(path, texts)
    return SampleDiff(text, person, _planted(text, texts, person))


def _next_file(used: set[str], known: set[str]) -> Callable[[str], bool]:
    """A known file first, then others, and the same ones again once there are four."""
    if not used:
        return lambda key: key in known
    is_full = len(used) >= _MAX_FILES
    return lambda key: (key in used) == is_full


def added_lines(diff: str) -> dict[str, set[int]]:
    """Line numbers in the new files of the lines that a diff adds."""
    added: dict[str, set[int]] = {}
    path, number = "", 0
    for line in diff.splitlines():
        if line.startswith("+++ "):
            path = line.removeprefix("+++ b/")
        elif match := _HUNK.match(line):
            number = int(match.group(1))
        elif path and line.startswith("+"):
            added.setdefault(path, set()).add(number)
            number += 1
        elif path and line.startswith(" "):
            number += 1
        elif line.startswith("diff --git"):
            path = ""
    return added


def _planted(diff: str, texts: dict[str, str], person: Person) -> tuple[PlantedSpan, ...]:
    added = added_lines(diff)
    spans: list[PlantedSpan] = []
    for path, text in texts.items():
        lines = text.splitlines()
        for habit in habits_of(person.style):
            is_departure = _departs(habit)
            for line, start, end in find_traces(text, habit):
                if line in added.get(path, ()):
                    found = lines[line - 1][start:end]
                    spans.append(PlantedSpan(path, line, start, end, found, habit.name, is_departure))
    return tuple(sorted(spans, key=lambda span: (span.path, span.line, span.start, span.end)))


def _departs(habit: PlantedHabit) -> bool:
    return all(person.style.choices()[habit.dimension] != habit.choice for person in TEAM)
