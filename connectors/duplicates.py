"""Text that one author added and another adds again: cherry-picks by hand, copied files, re-landed work.

A table of fixed size remembers who last added each three-line shingle (a sample of half of them, chosen by
content), so memory stays flat and old text is forgotten first.
"""

from __future__ import annotations

import base64
import zlib
from array import array
from collections import Counter
from collections.abc import Sequence
from typing import Any

SLOTS = 1 << 16
MIN_SHINGLES = 4  # sampled; below this a match says nothing
SHARE = 0.8  # of the sampled shingles that one other author must own
_AUTHOR_BITS = 16
_PRIMES = 0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9


class DuplicateIndex:
    """Remembers recent shingles and their authors; ``to_json`` carries it to the next run."""

    def __init__(self) -> None:
        self._table = array("Q", bytes(8 * SLOTS))
        self._authors: list[str] = [""]
        self._numbers: dict[str, int] = {"": 0}

    def claim(self, author: str, lines: Sequence[str]) -> bool:
        """Record added lines for an author, unless they are a near-duplicate of another author's.

        Returns:
            True if at least ``SHARE`` of the sampled shingles belong to one other author; the table is
            then left as it was.
        """
        shingles = _shingles(lines)
        if not shingles:
            return False
        number, table = self._number(author), self._table
        owners = Counter(
            entry & 0xFFFF
            for shingle in shingles
            if (entry := table[shingle & (SLOTS - 1)]) and entry >> _AUTHOR_BITS == shingle >> _AUTHOR_BITS
        )
        del owners[number]
        if len(shingles) >= MIN_SHINGLES and owners:
            if owners.most_common(1)[0][1] >= SHARE * len(shingles):
                return True
        for shingle in shingles:
            table[shingle & (SLOTS - 1)] = shingle & ~0xFFFF | number
        return False

    def _number(self, author: str) -> int:
        if author not in self._numbers:
            self._numbers[author] = len(self._authors) & 0xFFFF
            self._authors.append(author)
        return self._numbers[author]

    def to_json(self) -> dict[str, Any]:
        """A JSON-serialisable form; ``from_json`` reads it back."""
        packed = base64.b85encode(zlib.compress(self._table.tobytes(), 1)).decode()
        return {"authors": self._authors, "table": packed}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> DuplicateIndex:
        """Read what ``to_json`` wrote."""
        index = cls()
        index._table = array("Q", zlib.decompress(base64.b85decode(value["table"])))
        index._authors = list(value["authors"])
        index._numbers = {author: number for number, author in enumerate(index._authors)}
        return index


def _shingles(lines: Sequence[str]) -> list[int]:
    """64-bit hashes of three adjacent non-blank lines without their margins, half of them by content."""
    stripped = [line for line in map(str.strip, lines) if line]
    codes = [zlib.crc32(line.encode("utf-8", "replace")) for line in stripped]
    p, q, r = _PRIMES
    hashed = [(a * p ^ b * q ^ c * r) & 0xFFFFFFFFFFFFFFFF for a, b, c in zip(codes, codes[1:], codes[2:])]
    # the low bits choose the slot, the high ones tell shingles apart, one in the middle samples
    return [h ^ (h >> 29) for h in hashed if h & 0x40000000]
