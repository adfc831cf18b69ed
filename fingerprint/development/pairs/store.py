"""Pairs on disk, and as passages that a model reads. Torch-free."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from fingerprint import FingerprintError
from fingerprint.passage import Passage
from fingerprint.storage import read_format, write_json

FORMAT = 1
_FILE = "pairs.json"
HEADER = "@@ .py\n"
"""The line that stands before every passage's code, as in a review."""


class StoredPairsError(FingerprintError):
    """Stored pairs are missing, damaged or of another format."""


@dataclass(frozen=True)
class Pair:
    """A correct program and one that its tests kill.

    Attributes:
        task: source and name of the task. operator: that made the mutant. correct, incorrect: programs.
            span, changed_span: half-open character ranges of the two that differ. tokens_changed: Python
            tokens in the longer range. verdict: how the tests see it: "not true", "raises" or "out of
            bounds". n_failed, n_tests: tests failed and run; 0 of 0 out of bounds. is_subtle: few tokens
            changed, and at most half of the tests see it, by a false answer.
    """

    task: str
    operator: str
    correct: str
    incorrect: str
    span: tuple[int, int]
    changed_span: tuple[int, int]
    tokens_changed: int
    verdict: str
    n_failed: int
    n_tests: int
    is_subtle: bool


@dataclass(frozen=True)
class Tally:
    """What became of one operator's mutants.

    Attributes:
        operator: its name. tried: run against tests. killed: by a test. survived: every test passed.
            no_import: not even a program. kept: as pairs. subtle: of those kept.
    """

    operator: str
    tried: int
    killed: int
    survived: int
    no_import: int
    kept: int
    subtle: int


@dataclass(frozen=True)
class PairSet:
    """Pairs and how they came about.

    Attributes:
        pairs: in the order they were chosen: any first part is balanced over operators. tallies: by
            operator. refused: tasks whose own code fails its tests. digest: of tasks and dials.
    """

    pairs: tuple[Pair, ...]
    tallies: tuple[Tally, ...]
    refused: tuple[str, ...]
    digest: str

    def save(self, directory: Path) -> None:
        """Write pairs.json."""
        write_json(directory / _FILE, {"format": FORMAT, **asdict(self)})

    @classmethod
    def load(cls, directory: Path) -> PairSet:
        """Read what ``save`` wrote.

        Raises:
            StoredPairsError: missing, damaged, or of another format.
        """
        stored = read_format(
            directory / _FILE,
            FORMAT,
            StoredPairsError,
            what=f"pairs in {directory}",
            remedy="Make them again",
        )
        return cls(
            tuple(_pair(one) for one in stored["pairs"]),
            tuple(Tally(**one) for one in stored["tallies"]),
            tuple(stored["refused"]),
            stored["digest"],
        )


Scored = Literal["program", "change"]
"""What of a pair is scored: the whole program, or from the change to the end of its line."""


def pair_passages(pairs: Sequence[Pair], scored: Scored = "program") -> tuple[list[Passage], list[Passage]]:
    """The correct and the incorrect programs as passages, pair by pair.

    Scoring "change", a deletion leaves nothing of its own: the line that follows it is scored, which is where
    a model could notice; where nothing follows, the last line is. Where nothing but brackets is left of a
    line, those just before the change are scored too.
    """
    correct = [_passage(pair, pair.correct, pair.span, scored) for pair in pairs]
    return correct, [_passage(pair, pair.incorrect, pair.changed_span, scored) for pair in pairs]


def _passage(pair: Pair, code: str, span: tuple[int, int], scored: Scored) -> Passage:
    start, end = (0, len(code)) if scored == "program" else _to_line_end(code, span)
    marked = (len(HEADER) + start, len(HEADER) + end)
    return Passage(HEADER + code, (marked,), "pair.py", "Python", group=pair.task)


def _to_line_end(code: str, span: tuple[int, int]) -> tuple[int, int]:
    start = span[0]
    if not code[start:].strip():
        start = code.rstrip().rfind("\n") + 1
    line_end = code.find("\n", max(span[1], start + 1))
    end = len(code) if line_end < 0 else line_end + 1
    if not any(character.isalnum() for character in code[start:end]):
        # brackets and a line end join the brackets before them in one token, which starts further left
        while start and not code[start - 1].isalnum() and code[start - 1] != "\n":
            start -= 1
    return start, end


def _pair(stored: dict) -> Pair:
    return Pair(**{**stored, "span": tuple(stored["span"]), "changed_span": tuple(stored["changed_span"])})
