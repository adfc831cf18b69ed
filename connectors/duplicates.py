"""Text that one author added and another adds again: cherry-picks by hand, copied files, re-landed work.

A table of fixed size remembers who last added each run of lines (cut by content, about three lines long), so
memory stays flat and old text is forgotten first.
"""

from __future__ import annotations

import base64
import hashlib
import zlib
from array import array
from collections import Counter
from collections.abc import Sequence
from typing import Any

SLOTS = 1 << 16
MIN_RUNS = 3  # below this a match says nothing
RUN_MODULUS = 3
SHARE = 0.8  # of the runs that one other author must own
_AUTHOR_BITS = 16


class DuplicateIndex:
    """Remembers recent runs and their authors; ``to_json`` carries it to the next run."""

    def __init__(self) -> None:
        self._table = array("Q", bytes(8 * SLOTS))
        self._authors: list[str] = [""]
        self._numbers: dict[str, int] = {"": 0}

    def claim(self, author: str, lines: Sequence[str]) -> bool:
        """Record added lines for an author, unless they are a near-duplicate of another author's.

        Returns:
            True if at least ``SHARE`` of the runs belong to one other author; the table is
            then left as it was.
        """
        runs = _runs(lines)
        if not runs:
            return False
        number, table = self._number(author), self._table
        owners = Counter(
            entry & 0xFFFF
            for run in runs
            if (entry := table[run & (SLOTS - 1)]) and entry >> _AUTHOR_BITS == run >> _AUTHOR_BITS
        )
        del owners[number]
        n_shared = max(owners.values(), default=0)
        if len(runs) >= MIN_RUNS and n_shared >= SHARE * len(runs):
            return True
        for run in runs:
            table[run & (SLOTS - 1)] = run & ~0xFFFF | number
        return False

    def _number(self, author: str) -> int:
        if author not in self._numbers:
            self._numbers[author] = len(self._authors) & 0xFFFF
            self._authors.append(author)
        return self._numbers[author]

    def to_json(self) -> dict[str, Any]:
        """A JSON-serialisable form; ``from_json`` reads it back."""
        packed = base64.b64encode(zlib.compress(self._table.tobytes(), 1)).decode()
        return {"authors": self._authors, "table": packed}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> DuplicateIndex:
        """Read what ``to_json`` wrote."""
        index = cls()
        index._table = array("Q", zlib.decompress(base64.b64decode(value["table"])))
        index._authors = list(value["authors"])
        index._numbers = {author: number for number, author in enumerate(index._authors)}
        return index


def _runs(lines: Sequence[str]) -> list[int]:
    """64-bit hashes of runs of non-blank lines without their margins.

    A run ends after a line whose length is a multiple of ``RUN_MODULUS``: where runs are cut depends on
    the text alone, so an insertion shifts only its own run.
    """
    stripped = [line for line in map(str.strip, lines) if line]
    ends = [at for at, line in enumerate(stripped, 1) if not len(line) % RUN_MODULUS]
    if not ends or ends[-1] != len(stripped):
        ends.append(len(stripped))
    starts = [0, *ends[:-1]]
    return [_hash("\n".join(stripped[start:end])) for start, end in zip(starts, ends, strict=True)]


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).digest(), "little")
