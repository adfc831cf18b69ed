"""What an evaluation reads before any model: history, the cut, enrolment, samples, n-grams."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from connectors.identity.author import AuthorKind
from fingerprint.evaluation.baselines import NgramClassifier, fit_ngram_classifier
from fingerprint.evaluation.config import EvaluationConfig
from fingerprint.evaluation.protocol import (
    Sample,
    Standing,
    cap_newest,
    cap_spread,
    enrol_authors,
    labels_of,
    only_authors,
    samples_of,
)
from fingerprint.passage import Corpus
from service import ServiceError
from service.flows.evaluation.manifest import Change
from service.flows.ingest import ingest
from service.flows.team import TeamChoice, agents_code, enrol
from service.settings import Settings


@dataclass(frozen=True)
class HistoryChoice:
    """What of a repository is read, and where it is cut.

    Attributes:
        rev: the newest commit. cut: seconds since the epoch; the test slice starts there, else by share.
        authors: keys who may take part; empty for everybody. merged: author key -> key of the same person.
        changes: known changes of convention.
    """

    rev: str = "HEAD"
    cut: float | None = None
    authors: tuple[str, ...] = ()
    merged: Mapping[str, str] = field(default_factory=dict)
    changes: tuple[Change, ...] = ()


@dataclass(frozen=True)
class History:
    """One repository's human code, cut by time.

    Attributes:
        name: the repository's name, for people.
        slices: train, dev, calibration and test passages of every human author; all of train, dev and
            calibration is older than all of test.
        left_out: added lines that are not the team's, by reason.
        n_authors: human authors seen. agents: passages after the cut by declared agent, alone or with a
            person.
    """

    name: str
    slices: tuple[Corpus, ...]
    left_out: dict[str, int]
    n_authors: int
    agents: dict[str, Corpus]

    @property
    def cut(self) -> float:
        """Author time of the first test commit, seconds since the epoch."""
        return self.slices[3].passages[0].written_at

    def facts(self) -> dict[str, float | int | str | None]:
        """Sizes and dates for the table."""
        names = ("train", "dev", "calibration", "test")
        found: dict[str, float | int | str | None] = {"authors": self.n_authors}
        for name, corpus in zip(names, self.slices, strict=True):
            found[f"{name}_commits"] = len(corpus.groups)
            found[f"{name}_from"] = date_of(corpus.passages[0].written_at) if len(corpus) else None
        found["last"] = date_of(self.slices[3].passages[-1].written_at)
        return found | {f"left out: {reason}": n for reason, n in sorted(self.left_out.items())}


def name_of(repository: Path) -> str:
    """A repository's name: a git directory called "repo" or ".git" goes by its folder."""
    path = repository.resolve()
    return path.parent.name if path.name in {"repo", ".git"} else path.name


def date_of(seconds: float) -> str:
    """A day, in UTC."""
    return datetime.fromtimestamp(seconds, UTC).date().isoformat()


def read_history_of(
    repository: Path, settings: Settings, config: EvaluationConfig, choice: HistoryChoice | None = None
) -> History:
    """Ingest a repository and cut its human history by time.

    Files whose objects are missing (snapshots lack large ones) are left out, and counted.

    Raises:
        ConnectorError: it cannot be read.
    """
    choice = choice or HistoryChoice()
    found = ingest(repository, settings, skip_missing=True, rev=choice.rev)
    enrolled = enrol(found.store, found.authors, TeamChoice())
    humans = {author.key for author in found.authors if author.kind is AuthorKind.HUMAN}
    passages = (replace(p, author=choice.merged.get(p.author, p.author)) for p in enrolled.corpus)
    corpus = Corpus(tuple(p for p in passages if p.author in humans))
    present = {passage.author for passage in corpus}
    slices = _slices(corpus, config, choice.cut)
    cut = slices[3].passages[0].written_at if len(slices[3]) else float("inf")
    agents = {
        agent: Corpus(tuple(passage for passage in code if passage.written_at >= cut))
        for agent, code in agents_code(found.store, found.authors).items()
    }
    return History(name_of(repository), slices, enrolled.left_out, len(present), agents)


def _slices(corpus: Corpus, config: EvaluationConfig, cut: float | None) -> tuple[Corpus, ...]:
    """Train, dev and calibration before the cut, test after it."""
    before = sum(config.slices[:3])
    if cut is None:
        older, newer = corpus.split_by_time([before, config.slices[3]])
    else:
        older = Corpus(tuple(p for p in corpus if p.written_at < cut))
        newer = Corpus(tuple(p for p in corpus if p.written_at >= cut))
    shares = [share / before for share in config.slices[:3]]
    return (*older.split_by_time(shares, config.slice_commits), newer)


@dataclass(frozen=True)
class Material:
    """Who takes part, and on which samples every system is judged.

    Attributes:
        standings: every author's. authors: those who take part, in column order; nobody where nobody has
            enough code on both sides of the cut, and then the samples before it are everybody's.
        train: all their training samples. past: of the calibration slice, capped: later than what trained
            or stopped any adapter, and what combinations are fitted on. test: after the cut, capped.
        before: all samples before the cut.
    """

    standings: tuple[Standing, ...]
    authors: tuple[str, ...]
    train: tuple[Sample, ...]
    past: tuple[Sample, ...]
    test: tuple[Sample, ...]
    before: tuple[Sample, ...]

    def labels(self, samples: Sequence[Sample]) -> np.ndarray:
        """Author columns of samples."""
        return labels_of(samples, self.authors)

    def narrowed(self, authors: Sequence[str]) -> Material:
        """The same without the others, for instance those with too few tokens to train on."""
        kept = tuple(author for author in self.authors if author in set(authors))
        parts = (tuple(only_authors(part, kept)) for part in (self.train, self.past, self.test, self.before))
        return Material(self.standings, kept, *parts)


def choose_material(
    history: History, config: EvaluationConfig, allowed: Sequence[str] = (), *, may_be_nobody: bool = False
) -> Material:
    """Enrol authors (of the allowed ones, if any are named) and draw samples.

    A text that repeats an older one counts once, where it is oldest.

    Args:
        may_be_nobody: without an author on both sides of the cut ``train`` and ``before`` hold everybody's
            samples, and nobody is judged.

    Raises:
        ServiceError: nobody has enough code on both sides of the cut.
    """
    every = samples_of(passage for corpus in history.slices for passage in corpus)
    every = only_authors(every, allowed) if allowed else every
    slice_of = {group: i for i, corpus in enumerate(history.slices) for group in corpus.groups}
    parts: list[list[Sample]] = [[], [], [], []]
    for sample in every:
        parts[slice_of[sample.group]].append(sample)
    standings = enrol_authors(parts[0], parts[1] + parts[2], parts[3], config.enrolment)
    authors = tuple(row.author for row in standings if row.is_enrolled)
    if not authors and may_be_nobody:
        before = parts[0] + parts[1] + parts[2]
        return Material(tuple(standings), (), tuple(parts[0]), (), (), tuple(before))
    if not authors:
        raise ServiceError(nobody_enrolled(history, config))
    train, dev, calibration, test = (only_authors(part, authors) for part in parts)
    return Material(
        tuple(standings), authors, tuple(train),
        tuple(cap_spread(calibration, config.past_samples, config.seed)),
        tuple(cap_spread(test, config.test_samples, config.seed)),
        tuple(train + dev + calibration),
    )  # fmt: skip


def nobody_enrolled(history: History, config: EvaluationConfig) -> str:
    """What is missing where nobody takes part, and what to do."""
    rule = config.enrolment
    return (
        f"no author of {history.name} has {rule.least_samples} hunk samples in {rule.least_commits} commits "
        f"before {date_of(history.cut)} and {rule.least_test_samples} samples after it; move the cut with "
        "--test-share, or lower --authors-min"
    )


def fit_ngrams(material: Material, samples: Sequence[Sample], config: EvaluationConfig) -> NgramClassifier:
    """B1 on the newest samples of every author."""
    chosen = cap_newest(samples, config.ngram_samples)
    return fit_ngram_classifier([s.text for s in chosen], material.labels(chosen), len(material.authors))


def team_slices(history: History, authors: Sequence[str]) -> tuple[Corpus, ...]:
    """The four slices with the code of these authors alone, of everybody where there are none."""
    if not authors:
        return history.slices
    wanted = set(authors)
    return tuple(Corpus(tuple(p for p in corpus if p.author in wanted)) for corpus in history.slices)


def anonymous(corpus: Corpus) -> Corpus:
    """The same code with one author: another repository is one null "team"."""
    return Corpus(tuple(replace(passage, author="") for passage in corpus))
