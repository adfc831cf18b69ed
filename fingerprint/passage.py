"""Text with marked spans, and ordered collections of it.

One rule makes a model's input from a hunk, in training, calibration and review alike: a header line
with the file's suffix and the hunk's section, then the hunk's context and added lines as they stand
in the new file. Deleted lines are left out. The added lines are the marked spans.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import accumulate, pairwise
from pathlib import PurePosixPath

from fingerprint.provenance import digest_of

CONTEXT_LINES = 3


@dataclass(frozen=True, slots=True)
class Passage:
    """A text and the parts of it that count.

    Attributes:
        text: what the model reads.
        spans: half-open character ranges of ``text``; a token is scored iff its first non-space
            character lies in one of them. Ordered, disjoint.
        path: the file's path, for display and cells; never shown to the model.
        language: language name, for display and cells.
        group: what is scored and calibrated as one: the commit or the pull request.
        author: key of the author, or "" when unknown.
        written_at: author time, seconds since the epoch (UTC).
        first_line: line number in the new file of the first line after the header.
    """

    text: str
    spans: tuple[tuple[int, int], ...]
    path: str
    language: str
    group: str = ""
    author: str = ""
    written_at: float = 0.0
    first_line: int = 1

    @property
    def marked(self) -> str:
        """The marked text, span after span."""
        return "".join(self.text[start:end] for start, end in self.spans)

    def head(self, n_characters: int) -> Passage:
        """Its first lines, up to that in which so many characters are marked; itself if none is left out.

        Args:
            n_characters: at least one.
        """
        left = n_characters
        for number, (start, end) in enumerate(self.spans):
            if left <= end - start:
                line_end = self.text.find("\n", start + left - 1, end) + 1 or end
                if (number, line_end) == (len(self.spans) - 1, end):
                    return self
                spans = (*self.spans[:number], (start, line_end))
                return replace(self, text=self.text[:line_end], spans=spans)
            left -= end - start
        return self


def passage_from_lines(
    lines: Sequence[tuple[bool, str]],
    *,
    path: str,
    language: str,
    section: str = "",
    group: str = "",
    author: str = "",
    written_at: float = 0.0,
    first_line: int = 1,
) -> Passage:
    """Build a Passage from new-file lines.

    Args:
        lines: (is_added, text) pairs in file order, without line ends.
        section: the hunk header's section text.

    Adjacent added lines share one span, which includes their line ends.
    """
    text = f"@@ {PurePosixPath(path).suffix} {section}".rstrip() + "\n"
    spans: list[tuple[int, int]] = []
    for is_added, line in lines:
        start, text = len(text), text + line + "\n"
        if not is_added:
            continue
        if spans and spans[-1][1] == start:
            spans[-1] = (spans[-1][0], len(text))
        else:
            spans.append((start, len(text)))
    return Passage(text, tuple(spans), path, language, group, author, written_at, first_line)


@dataclass(frozen=True, slots=True)
class Corpus:
    """Passages in time order, with a content digest."""

    passages: tuple[Passage, ...]

    @classmethod
    def of(cls, passages: Iterable[Passage]) -> Corpus:
        """Order passages by time, then group, path and line, so that the digest is stable."""
        key = lambda p: (p.written_at, p.group, p.path, p.first_line)  # noqa: E731
        return cls(tuple(sorted(passages, key=key)))

    @property
    def digest(self) -> str:
        """SHA-256 over every field of every passage."""
        return digest_of([asdict(passage) for passage in self.passages])

    @property
    def groups(self) -> tuple[str, ...]:
        """Distinct groups in order of first appearance."""
        return tuple(dict.fromkeys(passage.group for passage in self.passages))

    def where_author(self, author: str) -> Corpus:
        """The passages of one author."""
        return Corpus(tuple(p for p in self.passages if p.author == author))

    def where_groups(self, groups: Iterable[str]) -> Corpus:
        """The passages of the given groups."""
        wanted = set(groups)
        return Corpus(tuple(p for p in self.passages if p.group in wanted))

    def split_by_time(self, fractions: Sequence[float], most: int | None = None) -> tuple[Corpus, ...]:
        """Cut into consecutive slices of whole groups, by share of groups.

        Args:
            fractions: shares summing to 1, oldest first.
            most: groups of any slice but the first, which takes what the others leave; None: no limit.
        """
        if abs(sum(fractions) - 1) > 1e-9:
            raise ValueError(f"fractions must sum to 1, got {list(fractions)}")
        groups = self.groups
        ends = [round(total * len(groups)) for total in accumulate(fractions)]
        later = [end - start for start, end in pairwise(ends)]
        sizes = later if most is None else [min(size, most) for size in later]
        first = len(groups) - sum(sizes)
        bounds = [0, *accumulate(sizes, initial=first)]
        return tuple(self.where_groups(groups[start:end]) for start, end in pairwise(bounds))

    def __iter__(self) -> Iterator[Passage]:
        return iter(self.passages)

    def __len__(self) -> int:
        return len(self.passages)
