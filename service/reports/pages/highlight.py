"""Lines of code as pieces for a page: a colour by kind of word, the places of findings marked.

The template escapes what is shown. Characters that cannot be seen are written out here, so that a line reads
as the machine reads it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby

from pygments.lexer import Lexer
from pygments.lexers import get_lexer_by_name
from pygments.token import Comment, Keyword, Number, String
from pygments.util import ClassNotFound

from connectors.languages import language_of
from service.reports.escape import visible

MOST_CHARACTERS = 60_000
LONGEST_LINE = 2_000
"""Beyond these nothing is coloured: a lexer's time must not hang on what a stranger wrote."""
_CLASSES = ((Comment, "c"), (String, "s"), (Number, "m"), (Keyword, "k"))


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of one line. css: "k", "s", "c", "m" or ""; mark: id of the finding that lies on it, or ""."""

    text: str
    css: str = ""
    mark: str = ""


@dataclass(frozen=True, slots=True)
class MarkedSpan:
    """Columns start to end of a line, and what to mark them with."""

    start: int
    end: int
    mark: str


def pieces_of(
    lines: Sequence[str], path: str, marks: Mapping[int, Sequence[MarkedSpan]]
) -> list[list[Piece]]:
    """Every line's pieces.

    Args:
        lines: one side of a hunk, without line ends. marks: by index of the line.
    """
    colours = _colours(lines, path)
    return [_pieces(line, colours[i], marks.get(i, ())) for i, line in enumerate(lines)]


def _pieces(line: str, colours: Sequence[str], marks: Sequence[MarkedSpan]) -> list[Piece]:
    owner = [""] * len(line)
    for span in marks:
        for column in range(span.start, min(span.end, len(line))):
            owner[column] = span.mark
    runs = groupby(range(len(line)), key=lambda i: (colours[i], owner[i]))
    return [Piece(visible("".join(line[i] for i in run)), css, mark) for (css, mark), run in runs]


def _colours(lines: Sequence[str], path: str) -> list[list[str]]:
    """A class for every character of every line."""
    plain = [[""] * len(line) for line in lines]
    lexer = _lexer(language_of(path) or "")
    too_long = sum(map(len, lines)) > MOST_CHARACTERS or any(len(line) > LONGEST_LINE for line in lines)
    if lexer is None or too_long:
        return plain
    row, column = 0, 0
    for _, kind, text in lexer.get_tokens_unprocessed("\n".join(lines)):
        css = next((name for family, name in _CLASSES if kind in family), "")
        for character in text:
            if character == "\n":
                row, column = row + 1, 0
            else:
                plain[row][column] = css
                column += 1
    return plain


@cache
def _lexer(language: str) -> Lexer | None:
    try:
        return get_lexer_by_name(language) if language else None
    except ClassNotFound:
        return None
