"""Connectors' nouns into fingerprint's: the one place that turns hunks into Passages.

Training, calibration and review go through `passages_of_hunk`, so that a model reads a hunk the same
way whether it came from history, from standard input or from the web.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from connectors.contribution import Contribution, FilePatch, Hunk
from connectors.filters import language_of
from fingerprint.passage import CONTEXT_LINES, Corpus, Passage, passage_from_lines


def corpus_of(contributions: Iterable[Contribution]) -> Corpus:
    """Every hunk of the contributions as a Passage, in time order; the group is the commit."""
    return Corpus.of(passage for item in contributions for passage in passages_of_contribution(item))


def passages_of_contribution(contribution: Contribution) -> Iterator[Passage]:
    """One Passage a hunk (several where a hunk carries more than three lines of context)."""
    for hunk in contribution.hunks:
        yield from (
            replace(passage, group=contribution.commit, author=contribution.author,
                    written_at=contribution.authored_at.timestamp())
            for passage in passages_of_hunk(hunk, contribution.path, contribution.language)
        )  # fmt: skip


def passages_of_patches(patches: Iterable[FilePatch]) -> tuple[Passage, ...]:
    """The hunks of a diff under review; files of no known language are left out."""
    return tuple(
        passage
        for patch in patches
        if (language := language_of(patch.path)) is not None
        for hunk in patch.hunks
        for passage in passages_of_hunk(hunk, patch.path, language)
    )


def passages_of_hunk(hunk: Hunk, path: str, language: str) -> Iterator[Passage]:
    """Passages of one hunk under the one rule of context: at most three lines around a change.

    git's default diff follows the rule already. A diff made with more context is cut to it, which can
    part one hunk into several; only the first then knows the enclosing definition.
    """
    section = hunk.section
    for lines, first_line in _cut_to_context(hunk):
        if any(is_added and text.strip() for is_added, text in lines):
            yield passage_from_lines(
                lines, path=path, language=language, section=section, first_line=first_line
            )
        section = ""


def _cut_to_context(hunk: Hunk) -> Iterator[tuple[list[tuple[bool, str]], int]]:
    """Runs of (is_added, text) new-file lines, each with the number of its first line."""
    run: list[tuple[bool, str]] = []
    number = first = max(1, hunk.new_start)
    for line, is_near in zip(hunk.lines, _near_changes(hunk.lines), strict=True):
        if line.startswith("-"):
            continue
        if is_near:
            first = first if run else number
            run.append((line.startswith("+"), line[1:]))
        elif run:
            yield run, first
            run = []
        number += 1
    if run:
        yield run, first


def _near_changes(lines: Sequence[str]) -> list[bool]:
    """Whether each line is a change or among the three context lines next to one."""
    is_near = [not line.startswith(" ") for line in lines]
    for order in (range(len(lines)), range(len(lines) - 1, -1, -1)):
        distance = CONTEXT_LINES + 1
        for position in order:
            distance = 0 if not lines[position].startswith(" ") else distance + 1
            is_near[position] = is_near[position] or distance <= CONTEXT_LINES
    return is_near


def spread_passages(passages: tuple[Passage, ...], n_tokens: int) -> list[Passage]:
    """Every k-th passage, so that about n_tokens are read (four characters a token)."""
    total = sum(len(passage.marked) for passage in passages) / 4
    return list(passages[:: max(1, round(total / n_tokens))])
