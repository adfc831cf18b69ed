"""What someone wrote, where and when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from connectors.identity.author import Credit


class FileStatus(StrEnum):
    """What a patch does to a file."""

    ADDED = "added"
    MODIFIED = "modified"
    DELETED = "deleted"
    RENAMED = "renamed"


@dataclass(frozen=True, slots=True)
class Hunk:
    """One contiguous change of a unified diff.

    Attributes:
        old_start: first line (1-based) in the old file.
        old_count: lines taken from the old file.
        new_start: first line (1-based) in the new file.
        new_count: lines present in the new file.
        section: text git prints after the second ``@@`` (usually the enclosing definition), or "".
        lines: body lines with their one-character prefix (" ", "+" or "-"), without line ends.
    """

    old_start: int
    old_count: int
    new_start: int
    new_count: int
    section: str
    lines: tuple[str, ...]

    @property
    def added(self) -> tuple[str, ...]:
        """The added lines without their prefix."""
        return tuple([line[1:] for line in self.lines if line[:1] == "+"])

    @property
    def added_numbers(self) -> tuple[int, ...]:
        """Line numbers of the added lines in the new file."""
        new = [line[:1] == "+" for line in self.lines if line[:1] in {"+", " "}]
        return tuple(self.new_start + i for i, is_added in enumerate(new) if is_added)

    @property
    def deleted(self) -> tuple[str, ...]:
        """The deleted lines without their prefix."""
        return tuple([line[1:] for line in self.lines if line[:1] == "-"])


@dataclass(frozen=True, slots=True)
class FilePatch:
    """One file's part of a unified diff. ``hunks`` is empty for binary files and pure renames.

    Attributes:
        path: path after the change (before it, for a deleted file).
        old_path: path before the change (after it, for an added file).
        old_mode: git's file mode before, such as "100644"; "" when the diff does not say.
        mode: git's file mode after: "120000" is a symlink, "160000" a submodule; "" when not said.
    """

    path: str
    old_path: str
    status: FileStatus
    hunks: tuple[Hunk, ...]
    is_binary: bool = False
    old_mode: str = ""
    mode: str = ""


@dataclass(frozen=True, slots=True)
class Contribution:
    """One author's added hunks in one file of one commit: the unit that trains and calibrates.

    Attributes:
        commit: full object id of the commit.
        author: key of the resolved ``Author`` (see ``connectors.identity.author``).
        authored_at: author time with its offset from UTC.
        path: path in the repository after the commit.
        language: language name as in ``connectors.filters.language_of``.
        hunks: hunks that kept at least one added line after filtering.
        credit: how the commit's author was decided: label, agents, requester, evidence.
    """

    commit: str
    author: str
    authored_at: datetime
    path: str
    language: str
    hunks: tuple[Hunk, ...]
    credit: Credit | None = None

    @property
    def n_added(self) -> int:
        """Added lines over all hunks."""
        return sum(len(hunk.added) for hunk in self.hunks)
