"""The sample's files while its history is written: ordered pieces of lines, joined into text."""

from __future__ import annotations

import ast
import random
import re
from bisect import insort
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from service.sample.rendering import render_imports
from service.sample.source import Binding, Chunk
from service.sample.style import Style

_LICENCE = ("# Copyright (c) 2024 Acme Works Ltd.", "# SPDX-License-Identifier: Apache-2.0")
_LOGGER_USE = re.compile(r"\b(log|logger)\.\w+\(")
_TYPING = ("Any", "Iterator")

Order = tuple[int, int, int]
"""Region (licence, header, imports, logger, definitions), place in the region, part."""


@dataclass(frozen=True, slots=True, order=True)
class Piece:
    """Some lines of a file, with the blank lines above them."""

    order: Order
    lines: tuple[str, ...]


@dataclass(slots=True)
class Draft:
    """A file in the making."""

    path: str
    pieces: list[Piece] = field(default_factory=list)
    bound: set[str] = field(default_factory=set)
    classes: set[str] = field(default_factory=set)

    def text(self) -> str:
        """The file as it stands."""
        lines = [line for piece in self.pieces for line in piece.lines]
        while lines and not lines[0]:
            lines = lines[1:]
        return "\n".join(lines) + "\n"

    def copy(self) -> Draft:
        """An independent copy."""
        return Draft(self.path, list(self.pieces), set(self.bound), set(self.classes))

    def add(self, piece: Piece) -> int:
        """Insert a piece; returns its number of characters."""
        insort(self.pieces, piece)
        return sum(len(line) + 1 for line in piece.lines)

    def add_chunk(self, chunk: Chunk, lines: list[str], style: Style, logger: str) -> int:
        """Add an author's rendering of a chunk, its imports and a header; returns characters added."""
        added = 0 if self.pieces else self._add_header(style)
        added += self._add_imports(chunk.bindings, lines, style, logger)
        blanks = ("",) if chunk.continues else ("", "")
        self.classes |= {chunk.opens} - {""}
        return added + self.add(Piece((4, chunk.position, 0), (*blanks, *lines)))

    def _add_header(self, style: Style) -> int:
        about = PurePosixPath(self.path)
        words = f"{about.stem.replace('_', ' ')} for {about.parent.name}"
        if style.docstring == "banner":
            return self.add(Piece((1, 0, 0), ("#" + "=" * 58, f"# {about.name} -- {words}", "#" + "=" * 58)))
        mark = '"""' if style.quote == "double" else "'''"
        return self.add(Piece((1, 0, 0), (f"{mark}{words.capitalize()}.{mark}",)))

    def _add_imports(self, bindings: Iterable[Binding], lines: list[str], style: Style, logger: str) -> int:
        code = "\n".join(lines)
        needed = list(bindings)
        if style.annotations == "full":
            needed += [Binding("typing", name) for name in _TYPING if re.search(rf"\b{name}\b", code)]
        used = _LOGGER_USE.search(code)
        needed += [Binding("logging")] if used else []
        new = [binding for binding in needed if binding.bound not in self.bound]
        added = 0
        if new:
            self.bound |= {binding.bound for binding in new}
            place = len([piece for piece in self.pieces if piece.order[0] == 2])
            blanks = () if place else ("",)
            added += self.add(
                Piece((2, place, 0), (*blanks, *render_imports(list(dict.fromkeys(new)), style)))
            )
        if used and used.group(1) not in self.bound:
            self.bound.add(used.group(1))
            mark = '"' if style.quote == "double" else "'"
            line = f"{used.group(1)} = logging.getLogger({mark}{logger}{mark})"
            added += self.add(Piece((3, int(used.group(1) == "logger"), 0), ("", line)))
        return added

    def add_licence(self) -> None:
        """Put the licence header on top."""
        self.add(Piece((0, 0, 0), (*_LICENCE, "")))

    def replace(self, old: re.Pattern[str], new: str) -> bool:
        """Replace in every line, as a codemod does; returns whether anything changed."""
        pieces = [Piece(p.order, tuple(old.sub(new, line) for line in p.lines)) for p in self.pieces]
        has_changed = pieces != self.pieces
        self.pieces = pieces
        return has_changed

    def hold_back(self, chunk: Chunk, rng: random.Random) -> Piece | None:
        """Take one block out of a chunk just added, for a later commit; None where nothing can be missed."""
        i = next((i for i, p in enumerate(self.pieces) if p.order == (4, chunk.position, 0)), None)
        if i is None:
            return None
        lines = self.pieces[i].lines
        spans = _missable(lines, bool(chunk.continues))
        if not spans:
            return None
        start, end = rng.choice(spans)
        order = self.pieces[i].order[:2]
        self.pieces[i : i + 1] = [Piece((*order, 0), lines[:start]), Piece((*order, 2), lines[end:])]
        return Piece((*order, 1), lines[start:end])


def _missable(lines: tuple[str, ...], is_indented: bool) -> list[tuple[int, int]]:
    """Line spans (from, to) of blocks of 5-20 lines without which the code still parses."""
    head = ["class _:"] if is_indented else []
    tree = ast.parse("\n".join([*head, *lines]))
    spans: list[tuple[int, int]] = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef) or len(node.body) < 3:
            continue
        for statement in node.body[1:-1]:
            if not isinstance(statement, ast.If | ast.For | ast.While | ast.With):
                continue
            start, end = statement.lineno - 1 - len(head), (statement.end_lineno or 0) - len(head)
            while lines[start - 1].lstrip().startswith("#") or not lines[start - 1]:
                start -= 1
            if 4 <= end - start <= 20:
                spans.append((start, end))
    return spans
