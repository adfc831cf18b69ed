"""The team's own lines, to be quoted: what it writes in places like this one. Torch-free."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from fingerprint import FingerprintError
from fingerprint.passage import Passage
from fingerprint.report import TeamLine

MOST_CHARACTERS = 2_000_000
_SUFFIXES = (48, 32, 24, 16, 12, 8, 6, 4, 3, 2, 1)
_LEAST_LEFT = 4
_LONGEST_QUOTE = 160
_BREAK = "\0"


@dataclass(frozen=True)
class TeamLines:
    """Chunks of adjacent lines that the team added, oldest first.

    Attributes:
        chunks: (text, path) pairs.
    """

    chunks: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, passages: Iterable[Passage], most_characters: int = MOST_CHARACTERS) -> TeamLines:
        """The marked text of passages in time order; the latest are kept when there is too much."""
        chunks: list[tuple[str, str]] = []
        for passage in passages:
            chunks += [(passage.text[start:end], passage.path) for start, end in passage.spans]
        kept, total = [], 0
        for text, path in reversed(dict.fromkeys(chunks)):
            total += len(text)
            if total > most_characters:
                break
            kept.append((text, path))
        return cls(tuple(reversed(kept)))

    def find(self, left: str, word: str, n: int = 2) -> tuple[TeamLine, ...]:
        """Up to n of the team's lines where ``word`` stands after a left context like this one.

        Args:
            left: the text before the place, whole lines back; the longest common end of it wins, then the
                latest line.
            word: what the team writes there; matched whole when it is a word. "" finds nothing.
        """
        found: dict[str, TeamLine] = {}
        # punctuation and white space stand everywhere: a place is alike only when more of its left is
        least = 1 if any(map(_is_word, word)) else _LEAST_LEFT
        for n_left in _SUFFIXES if word else ():
            if n_left < least or (n_left > len(left) and n_left != 1):
                continue
            for position in self._occurrences(left[-n_left:] + word, word):
                line = self._line_at(position)
                found.setdefault(line.text.strip(), line)
                if len(found) == n:
                    return tuple(found.values())
        return tuple(found.values())

    def save(self, path: Path) -> None:
        """Write one JSON array [text, path] a line."""
        path.write_text("".join(json.dumps(chunk) + "\n" for chunk in self.chunks), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> TeamLines:
        """Read what save wrote.

        Raises:
            FingerprintError: when the file is missing or damaged.
        """
        try:
            pairs = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
            return cls(tuple((str(text), str(place)) for text, place in pairs))
        except (OSError, ValueError, TypeError) as error:
            raise FingerprintError(
                f"No readable team lines in {path}: {error}. Profile the team again."
            ) from error

    @cached_property
    def _blob(self) -> str:
        return _BREAK.join(text for text, _ in self.chunks)

    @cached_property
    def _starts(self) -> list[int]:
        starts, at = [], 0
        for text, _ in self.chunks:
            starts.append(at)
            at += len(text) + 1
        return starts

    def _occurrences(self, key: str, word: str) -> Iterator[int]:
        """Positions of the word after its left context, latest first; whole words only."""
        end = len(self._blob)
        while (at := self._blob.rfind(key, 0, end)) >= 0:
            place, after = at + len(key) - len(word), at + len(key)
            if not _is_cut(self._blob, place, after):
                yield place
            end = at + len(key) - 1

    def _line_at(self, position: int) -> TeamLine:
        chunk = bisect_right(self._starts, position) - 1
        text, path = self.chunks[chunk]
        column = position - self._starts[chunk]
        start = text.rfind("\n", 0, column) + 1
        end = text.find("\n", column)
        line = text[start : end if end >= 0 else len(text)]
        return TeamLine(text=line.strip("\r")[:_LONGEST_QUOTE], path=path)


def _is_cut(text: str, start: int, end: int) -> bool:
    """Whether text[start:end] begins or ends inside an identifier."""

    def joins(left: int, right: int) -> bool:
        return left >= 0 and right < len(text) and _is_word(text[left]) and _is_word(text[right])

    return joins(start - 1, start) or joins(end - 1, end)


def _is_word(character: str) -> bool:
    return character.isalnum() or character == "_"
