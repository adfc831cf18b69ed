"""An author never enrolled (T3c): all is refitted without them, then their later code is scored.

By hunk, by commit and by ten commits; and commit after commit, the evidence against what the others wrote
just before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from fingerprint.drift.lexical import fit_ngram_neighbours
from fingerprint.evaluation.metrics import bag_commits, macro, pool_by_group
from fingerprint.evaluation.novelty import (
    BASE,
    LAMBDA,
    LEAST_BAGS,
    NEIGHBOURS,
    ngram_novelty,
)
from fingerprint.evaluation.protocol import Sample, cap_newest, cap_spread, only_authors
from fingerprint.evaluation.results import DetectionRow, Figure, SequenceRow
from fingerprint.evaluation.sequences import Stream, judge_streams, streams_of
from fingerprint.evaluation.systems import PERPLEXITY, SIZE
from fingerprint.evaluation.tables import judge_sides, number
from fingerprint.passage import Corpus
from service.flows.evaluation.detection import LEAST_TEXTS
from service.flows.evaluation.log_ratios import read_log_ratios
from service.flows.evaluation.sequences import AGAINST as OTHERS
from service.flows.evaluation.setup import Setup
from service.flows.evaluation.text import fit_ngrams
from service.flows.training import train_team_without

AGAINST = "unseen author"
SIZES = "scored tokens"
"""Not a system: what the others are matched by."""


@dataclass(frozen=True)
class Unseen:
    """Tables of this part, named as in ``Evaluation``."""

    detection: tuple[DetectionRow, ...] = ()
    sequences: tuple[SequenceRow, ...] = ()


def detect_unseen(setup: Setup) -> Unseen:
    """Rows of every left-out author, and of their mean.

    Left out of B and of the n-grams alike; with fewer than three authors there is no team to leave.
    """
    authors = setup.material.authors
    if len(authors) < 3 or not setup.config.unseen_authors:
        return Unseen()
    counts = {author: len(only_authors(setup.material.test, [author])) for author in authors}
    chosen = sorted(authors, key=lambda author: (-counts[author], author))[: setup.config.unseen_authors]
    rows: list[DetectionRow] = []
    scored: list[Scored] = []
    for place, author in enumerate(chosen, 1):
        with setup.clock.phase(f"{AGAINST} {place}"):
            scored.append(_score(setup, author))
        rows += rows_of(scored[-1], place, setup.config.n_draws)
    return Unseen((*rows, *_means(rows)), tuple(sequences_of(scored)))


@dataclass(frozen=True)
class Commits:
    """Names, authors, times, scored tokens and novelties [c] of commits."""

    names: tuple[str, ...]
    authors: np.ndarray
    written_at: np.ndarray
    sizes: np.ndarray
    novelty: dict[str, np.ndarray]


@dataclass(frozen=True)
class Scored:
    """Test samples and their novelty [n] by system, one author having been left out."""

    author: str
    samples: list[Sample]
    novelty: dict[str, np.ndarray]
    sizes: np.ndarray

    @cached_property
    def commits(self) -> Commits:
        """The same by commit, weighted by scored tokens."""
        groups = [sample.group for sample in self.samples]
        authors, labels = np.unique([sample.author for sample in self.samples], return_inverse=True)
        columns = np.column_stack(list(self.novelty.values()))
        pooled, labels, names, sizes = pool_by_group(columns, labels, groups, self.sizes)
        first = {sample.group: sample.written_at for sample in reversed(self.samples)}
        written_at = np.array([first[name] for name in names])
        novelty = {name: pooled[:, i] for i, name in enumerate(self.novelty)} | {SIZE: -sizes}
        return Commits(tuple(names), authors[labels], written_at, sizes, novelty)


def _score(setup: Setup, author: str) -> Scored:
    test = cap_spread(setup.material.test, setup.config.test_samples, setup.config.seed)
    theirs = only_authors(test, [author])
    samples = [*(sample for sample in test if sample.author != author), *theirs]
    novelty = _novelty(setup, author, samples)
    return Scored(author, samples, novelty, novelty.pop(SIZES))


def rows_of(scored: Scored, place: int, n_draws: int) -> Iterator[DetectionRow]:
    """Rows of one left-out author; named by number, for this is about the method."""
    against = f"{AGAINST} {place}"
    groups = [sample.group for sample in scored.samples]
    is_theirs = np.array([sample.author == scored.author for sample in scored.samples])
    yield from judge_sides(
        against, "hunk", scored.novelty, is_theirs, groups, sizes=scored.sizes, n_draws=n_draws
    )
    commits = scored.commits
    at = commits.authors == scored.author
    if min(at.sum(), (~at).sum()) >= LEAST_TEXTS:
        yield from judge_sides(
            against, "commit", commits.novelty, at, commits.names, sizes=commits.sizes, n_draws=n_draws
        )
    labels = np.unique(commits.authors, return_inverse=True)[1]
    bags, owner = bag_commits(np.column_stack(list(commits.novelty.values())), labels, commits.names)
    in_bag = owner == labels[np.flatnonzero(at)[0]]
    if min(in_bag.sum(), (~in_bag).sum()) >= LEAST_BAGS:
        pooled = {name: bags[:, i] for i, name in enumerate(commits.novelty)}
        clusters = [str(i) for i in range(len(bags))]
        yield from judge_sides(against, "ten commits", pooled, in_bag, clusters, sizes=None, n_draws=n_draws)


def sequences_of(scored: list[Scored]) -> Iterator[SequenceRow]:
    """Streams of the left-out authors, and of those who stayed, against the others' commits just before.

    All left-out authors together: one has a stream or two.
    """
    for system in (LAMBDA, NEIGHBOURS):
        for who, is_left_out in ((f"{AGAINST}s", True), (f"{AGAINST}s: those who stayed", False)):
            streams = (pair for one in scored for pair in _streams(one, system, is_left_out=is_left_out))
            row = judge_streams(who, system, OTHERS, streams)
            if row is not None:
                yield row


def _streams(scored: Scored, system: str, *, is_left_out: bool) -> Iterator[tuple[Stream, np.ndarray]]:
    """Streams of one side, each with the others' scores before it; the left-out author is nobody's other."""
    commits = scored.commits
    authors, written_at, novelty = commits.authors, commits.written_at, commits.novelty[system]
    own = np.flatnonzero((authors == scored.author) == is_left_out)
    for stream in streams_of(novelty[own], authors[own].tolist(), written_at[own]):
        others = (authors != scored.author) & (authors != stream.author) & (written_at < stream.begins)
        yield stream, novelty[others]


def _novelty(setup: Setup, author: str, samples: list[Sample]) -> dict[str, np.ndarray]:
    team = train_team_without(setup.bench, setup.slices, author)
    passages = [passage for sample in samples for passage in sample.passages]
    owner = np.repeat(np.arange(len(samples)), [len(sample.passages) for sample in samples])
    read = read_log_ratios(setup, "log-probabilities without an author", team, passages)
    base, log_ratio, n_scored = (
        np.bincount(owner, weights=values, minlength=len(samples))
        for values in (read.log_probs[BASE], read.measures.log_ratio, read.measures.n_scored)
    )

    def ngrams() -> Mapping[str, np.ndarray]:
        others = setup.material.narrowed([name for name in setup.material.authors if name != author])
        train = cap_newest(others.train, setup.config.ngram_samples)
        classifier = fit_ngrams(others, others.train, setup.config)
        neighbours = fit_ngram_neighbours([sample.text for sample in train])
        found = ngram_novelty([sample.text for sample in samples], neighbours, classifier)
        return {name.replace("/", "-"): values for name, values in found.items()}

    facts = {"without": author, "passages": Corpus(tuple(passages)).digest}
    n_scored = np.maximum(n_scored, 1)
    return {
        SIZES: n_scored,
        SIZE: -n_scored,
        LAMBDA: -log_ratio / n_scored,
        PERPLEXITY: -base / n_scored,
        **setup.arrays("n-grams without an author", ngrams, adapters=(), **facts),
    }


def _means(rows: list[DetectionRow]) -> Iterator[DetectionRow]:
    """The mean AUROC over left-out authors by system and unit; each author counts alike."""
    for unit, system in dict.fromkeys((row.unit, row.system) for row in rows):
        own = [row for row in rows if (row.unit, row.system) == (unit, system)]
        areas = [row.auroc.value for row in own if row.auroc.value is not None]
        matched = [row.matched.value for row in own if row.matched and row.matched.value is not None]
        yield DetectionRow(
            system=system, against=f"{AGAINST}, mean of {len(own)}", unit=unit,
            n_team=sum(row.n_team for row in own), n_strangers=sum(row.n_strangers for row in own),
            auroc=Figure(value=number(macro(areas))), matched=Figure(value=number(macro(matched))),
            tpr_at_1=number(macro([row.tpr_at_1 for row in own if row.tpr_at_1 is not None])),
            tpr_at_5=number(macro([row.tpr_at_5 for row in own if row.tpr_at_5 is not None])),
        )  # fmt: skip
