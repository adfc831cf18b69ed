"""What was kept and what was dropped, counted by reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class DropReason(StrEnum):
    """Why a line, a file or a whole commit is nobody's code. The value is shown to people."""

    # whole commits
    MERGE = "merge"
    REVERT = "revert"
    CHERRY_PICK = "cherry-pick"
    SQUASHED = "squash of commits that are read themselves"
    REVIEW_SUGGESTION = "review suggestion"
    IGNORED_REVISION = "ignored revision"
    MECHANICAL_BOT = "mechanical bot"
    SHALLOW_BOUNDARY = "shallow boundary"
    BULK = "bulk commit"
    CODEMOD = "codemod"
    # whole files
    NOT_CODE = "not code"
    VENDORED = "vendored"
    GENERATED = "generated"
    LOCKFILE = "lockfile"
    MINIFIED = "minified"
    FIXTURE = "snapshot or fixture"
    SYMLINK = "symlink"
    SUBMODULE = "submodule"
    BINARY = "binary"
    HUGE = "huge file"
    UNDECODABLE = "not UTF-8"
    UNREADABLE = "missing object"
    WHITESPACE = "whitespace only"
    NEAR_DUPLICATE = "near-duplicate of another author"
    # single lines
    LICENCE = "licence header"
    MOVED = "moved or re-indented"


@dataclass(frozen=True, slots=True)
class Tally:
    """A count of added lines, and of the files and commits that they took with them whole."""

    lines: int = 0
    files: int = 0
    commits: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(self.lines + other.lines, self.files + other.files, self.commits + other.commits)


@dataclass(slots=True)
class Ledger:
    """Running account of an ingest or a review.

    ``a + b`` gives the account of both. ``notes`` are full sentences for people, without repeats.
    """

    kept: Tally = Tally()
    dropped: dict[DropReason, Tally] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def keep(self, lines: int = 0, files: int = 0, commits: int = 0) -> None:
        """Count what stays."""
        self.kept += Tally(lines, files, commits)

    def drop(self, reason: DropReason, lines: int = 0, files: int = 0, commits: int = 0) -> None:
        """Count what goes, and why."""
        if lines or files or commits:
            self.dropped[reason] = self.dropped.get(reason, Tally()) + Tally(lines, files, commits)

    def note(self, sentence: str) -> None:
        """Say something to the user once."""
        if sentence not in self.notes:
            self.notes.append(sentence)

    def add(self, other: Ledger) -> None:
        """Take another account into this one."""
        self.kept += other.kept
        for reason, tally in other.dropped.items():
            self.dropped[reason] = self.dropped.get(reason, Tally()) + tally
        for sentence in other.notes:
            self.note(sentence)

    def __add__(self, other: Ledger) -> Ledger:
        total = Ledger()
        total.add(self)
        total.add(other)
        return total

    @property
    def n_dropped_lines(self) -> int:
        """Added lines dropped, over all reasons."""
        return sum(tally.lines for tally in self.dropped.values())

    def to_json(self) -> dict[str, Any]:
        """A JSON-serialisable form; ``from_json`` reads it back."""
        return {
            "kept": _tally_to_json(self.kept),
            "dropped": {reason.name.lower(): _tally_to_json(t) for reason, t in sorted(self.dropped.items())},
            "notes": list(self.notes),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Ledger:
        """Read what ``to_json`` wrote. Raises KeyError on an unknown reason."""
        dropped = {DropReason[name.upper()]: Tally(**tally) for name, tally in value["dropped"].items()}
        return cls(Tally(**value["kept"]), dropped, list(value["notes"]))


def _tally_to_json(tally: Tally) -> dict[str, int]:
    return {"lines": tally.lines, "files": tally.files, "commits": tally.commits}
