"""Authors at work: which chunks go into which commit, in whose hand."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from service import ServiceError
from service.sample.drafts import Draft, Piece
from service.sample.people import Person
from service.sample.rendering import render_chunk
from service.sample.source import Chunk, read_chunks

_N_CANDIDATES = 6
_STOCK = 60
_GROWTH = {"mara": 1.2, "tomasz": 1.6, "priya": 1.6, "agent": 2.1, "stranger": 1.7}
"""About how much longer a chunk gets in an author's hand."""


@dataclass(frozen=True, slots=True)
class Change:
    """What one commit writes: paths, size in added lines and characters, a subject line."""

    paths: tuple[str, ...]
    n_lines: int
    n_characters: int
    subject: str


@dataclass(slots=True)
class Desk:
    """The chunks that can still be written, and the files written so far.

    Attributes:
        modules: standard library files not opened yet.
        drafts: files by the path their chunks name.
        ready: chunks whose class, if they continue one, is in its file.
        waiting: further methods, by the file and class that they wait for.
        held: blocks held back from a chunk, by author: the author adds them later.
        logger: name given to loggers.
    """

    modules: Iterator[Path]
    rng: random.Random
    drafts: dict[str, Draft] = field(default_factory=dict)
    ready: list[Chunk] = field(default_factory=list)
    waiting: dict[tuple[str, str], list[Chunk]] = field(default_factory=dict)
    held: dict[str, list[tuple[str, Piece, str]]] = field(default_factory=dict)
    logger: str = "acme"

    def keep_stocked(self) -> None:
        """Open modules whenever few chunks are left to choose from."""
        if len(self.ready) < _STOCK:
            self.open_modules(2)

    def snapshot(self) -> Desk:
        """A copy of files, stock and held blocks, for ``restore``."""
        drafts = {key: draft.copy() for key, draft in self.drafts.items()}
        held = {key: list(blocks) for key, blocks in self.held.items()}
        return Desk(self.modules, self.rng, drafts, list(self.ready), dict(self.waiting), held, self.logger)

    def restore(self, before: Desk) -> None:
        """Take back what was written since, without making its chunks available again."""
        left = set(self.ready)
        self.drafts, self.waiting, self.held = before.drafts, before.waiting, before.held
        self.ready = [chunk for chunk in before.ready if chunk in left]

    def open_modules(self, n: int) -> None:
        """Make the chunks of ``n`` more modules available."""
        opened = 0
        while opened < n:
            path = next(self.modules, None)
            if path is None:
                raise ServiceError(
                    "Python's standard library here is too small for the sample; ask for a smaller scale"
                )
            chunks = read_chunks(path)
            if (
                len(chunks) < 4
                or chunks[0].path in self.drafts
                or any(c.path == chunks[0].path for c in self.ready)
            ):
                continue
            opened += 1
            for chunk in chunks:
                if chunk.continues:
                    self.waiting.setdefault((chunk.path, chunk.continues), []).append(chunk)
                else:
                    self.ready.append(chunk)

    def write(
        self, person: Person, n_lines: int, limit: int, allowed: Callable[[str], bool], n_files: int = 4
    ) -> Change | None:
        """Add chunks of about ``n_lines``, at most ``limit``, in at most ``n_files``; None if none fits."""
        written: list[tuple[Chunk, int, int]] = []
        while (so_far := sum(n for _, n, _ in written)) < max(1, 0.8 * n_lines):
            paths = {chunk.path for chunk, _, _ in written}
            chunk = self._pick(person, n_lines - so_far, limit - so_far, allowed, paths, n_files)
            if chunk is None:
                break
            added = self._add(person, chunk)
            if added is not None:
                written.append((chunk, *added))
        if not written:
            return None
        keys = dict.fromkeys(chunk.path for chunk, _, _ in written)
        paths = tuple(self.drafts[key].path for key in keys)
        n_characters = sum(size for _, _, size in written)
        return Change(
            paths, sum(n for _, n, _ in written), n_characters, _subject([c for c, _, _ in written], self.rng)
        )

    def write_held(self, person: Person, allowed: Callable[[str], bool]) -> Change | None:
        """Add a block that the author held back earlier; None if there is none."""
        held = self.held.get(person.key, [])
        for i, (key, piece, title) in enumerate(held):
            if allowed(key):
                del held[i]
                size = self.drafts[key].add(piece)
                return Change(
                    (self.drafts[key].path,), len(piece.lines), size, f"Handle one more case in {title}"
                )
        return None

    def _pick(
        self,
        person: Person,
        n_lines: float,
        limit: float,
        allowed: Callable[[str], bool],
        paths: set[str],
        n_files: int,
    ) -> Chunk | None:
        """Of a few random chunks the one whose size is closest; files already in the commit come first."""
        growth = _GROWTH[person.key]
        found: list[tuple[float, int]] = []
        for i in self.rng.sample(range(len(self.ready)), len(self.ready)):
            chunk = self.ready[i]
            size = growth * chunk.source.count("\n") + 4
            is_crowded = len(paths) >= n_files and chunk.path not in paths
            if size <= limit and allowed(chunk.path) and not is_crowded:
                found.append((abs(size - n_lines) - (8 if chunk.path in paths else 0), i))
            if len(found) == _N_CANDIDATES:
                break
        return self.ready.pop(min(found)[1]) if found else None

    def _add(self, person: Person, chunk: Chunk) -> tuple[int, int] | None:
        """Lines and characters added, or None where the chunk cannot be rendered; its class is lost then."""
        lines = render_chunk(chunk, person.style, self.rng)
        if lines is None:
            self.waiting.pop((chunk.path, chunk.opens), None)
            return None
        draft = self.drafts.setdefault(chunk.path, Draft(chunk.path))
        before = draft.text().count("\n") if draft.pieces else 0
        size = draft.add_chunk(chunk, lines, person.style, self.logger)
        if chunk.opens:
            self.ready.extend(self.waiting.pop((chunk.path, chunk.opens), []))
        if self.rng.random() < 0.35 and (piece := draft.hold_back(chunk, self.rng)) is not None:
            self.held.setdefault(person.key, []).append((chunk.path, piece, chunk.title))
            size -= sum(len(line) + 1 for line in piece.lines)
        return draft.text().count("\n") - before, size


def commit_size(rng: random.Random) -> int:
    """Added lines of one commit: log-normal, median 33, from 6 to 130."""
    return min(130, max(6, round(rng.lognormvariate(3.5, 0.7))))


def _subject(chunks: list[Chunk], rng: random.Random) -> str:
    first = chunks[0]
    area = PurePosixPath(first.path).parent.name
    if first.continues:
        return f"{rng.choice(['Extend', 'Complete'])} {first.continues} with {first.title}"
    verb = rng.choice(["Add", "Introduce", "Provide", "Implement"])
    return f"{verb} {first.title}" + (
        f" and {len(chunks) - 1} more to {area}" if len(chunks) > 1 else f" to {area}"
    )
