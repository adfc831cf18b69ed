"""Other people's code: what the team's null adapter learns, and what the power curve is measured on."""

from __future__ import annotations

import re
import sysconfig
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from connectors.filters import language_of, path_drop_reason
from connectors.git.history import read_history
from fingerprint.passage import CONTEXT_LINES, Corpus, Passage, passage_from_lines
from service import ServiceError
from service.flows.passages import corpus_of

_SKIPPED = {
    "site-packages",
    "dist-packages",
    "test",
    "tests",
    "idlelib",
    "lib2to3",
    "__pycache__",
    "node_modules",
}
_SECTION = re.compile(r"[A-Za-z_$]")  # git's own default for the text after the second @@
_CHARACTERS_PER_TOKEN = 5
"""More than a token has on average, so that the text never falls short of its budget."""
_LARGEST_FILE = 200_000
_MOST_LINES = 120
_MOST_OF_A_FILE = 200
"""Lines read of one file, so that no file makes up much of the whole."""


@dataclass(frozen=True)
class ForeignCode:
    """Code that is not the team's.

    Attributes:
        name: where it is from, for people.
        corpus: in the form of hunks; a file (or commit) is a group.
    """

    name: str
    corpus: Corpus


def read_foreign(path: Path | None, sizes: Sequence[int], n_tokens: int, seed: int) -> ForeignCode:
    """Foreign code from a git repository, a directory, or (None) Python's standard library.

    Args:
        sizes: added lines of the team's hunks; a plain directory's files are cut into hunks as large.
        n_tokens: tokens wanted, roughly.
        seed: which part of the source is taken, when it is larger.

    Raises:
        ServiceError: no code there. ConnectorError: the repository cannot be read.
    """
    source = Path(sysconfig.get_path("stdlib")) if path is None else path
    name = "Python's standard library" if path is None else path.name
    if (source / ".git").exists() or (source / "HEAD").exists():
        passages = corpus_of(iter(read_history(source, since=None))).passages
        passages = _take(_by_group(passages), n_tokens, seed)
    else:
        passages = _take(
            (list(_hunks_of(file, source, sizes, seed)) for file in _files(source, seed)), n_tokens
        )
    if not passages:
        raise ServiceError(f"no code found in {source}; give another --null-repo")
    return ForeignCode(name, Corpus.of(passages))


def _by_group(passages: Sequence[Passage]) -> list[list[Passage]]:
    groups: dict[str, list[Passage]] = {}
    for passage in passages:
        groups.setdefault(passage.group, []).append(replace(passage, author=""))
    return list(groups.values())


def _take(
    groups: Iterator[list[Passage]] | list[list[Passage]], n_tokens: int, seed: int | None = None
) -> list[Passage]:
    """Whole groups until there is text enough, in order or (with a seed) shuffled."""
    if seed is not None:
        ordered = list(groups)
        groups = iter([ordered[i] for i in np.random.default_rng(seed).permutation(len(ordered))])
    chosen: list[Passage] = []
    n_characters = 0
    for group in groups:
        if n_characters >= n_tokens * _CHARACTERS_PER_TOKEN:
            break
        chosen += group
        n_characters += sum(len(passage.marked) for passage in group)
    return chosen


def _files(source: Path, seed: int) -> Iterator[Path]:
    """Code files below a directory, shuffled."""
    found = sorted(
        path for path in source.rglob("*")
        if not _SKIPPED & set(path.relative_to(source).parts)
        and path_drop_reason(path.relative_to(source).as_posix()) is None
        and path.is_file() and path.stat().st_size <= _LARGEST_FILE
    )  # fmt: skip
    for i in np.random.default_rng(seed).permutation(len(found)):
        yield found[i]


def _hunks_of(file: Path, source: Path, sizes: Sequence[int], seed: int) -> Iterator[Passage]:
    """A file cut into hunks of the given sizes, each with three lines of context and its section."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()[:_MOST_OF_A_FILE]
    except (OSError, UnicodeDecodeError):
        return
    path = file.relative_to(source).as_posix()
    rng = np.random.default_rng([seed, len(lines)])
    language, start, section = language_of(path), 0, ""
    assert language is not None
    while start < len(lines):
        end = min(start + min(int(rng.choice(sizes)) if len(sizes) else 20, _MOST_LINES), len(lines))
        first = max(0, start - CONTEXT_LINES)
        shown = [(start <= n < end, lines[n]) for n in range(first, min(end + CONTEXT_LINES, len(lines)))]
        if any(is_added and text.strip() for is_added, text in shown):
            yield passage_from_lines(
                shown, path=path, language=language, section=section, group=path, first_line=first + 1
            )
        section = next((line for line in reversed(lines[first:end]) if _SECTION.match(line)), section)[:80]
        start = end
