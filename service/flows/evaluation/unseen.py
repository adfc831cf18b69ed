"""An author never enrolled (T3c): all is refitted without them, then their later code is scored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from fingerprint.drift.lexical import fit_ngram_neighbours
from fingerprint.evaluation.metrics import macro
from fingerprint.evaluation.novelty import BASE, LAMBDA, SIZE, TEAM, ngram_novelty, read_log_probs
from fingerprint.evaluation.protocol import Sample, cap_newest, cap_spread, only_authors
from fingerprint.evaluation.results import DetectionRow, Figure
from fingerprint.evaluation.tables import Detection, number
from fingerprint.lm.tokens import tokenize_passages
from fingerprint.passage import Corpus
from service.flows.evaluation.setup import Setup
from service.flows.evaluation.text import fit_ngrams
from service.flows.training import train_team_without

AGAINST = "unseen author"
CONTROL = "perplexity of the base (control)"
SIZES = "scored tokens"
"""Not a system: what the others are matched by."""


def detect_unseen(setup: Setup) -> list[DetectionRow]:
    """One row a system and left-out author, by hunk, and their mean.

    Left out of B and of the n-grams alike; with fewer than three authors there is no team to leave.
    """
    authors = setup.material.authors
    if len(authors) < 3 or not setup.config.unseen_authors:
        return []
    counts = {author: len(only_authors(setup.material.test, [author])) for author in authors}
    chosen = sorted(authors, key=lambda author: (-counts[author], author))[: setup.config.unseen_authors]
    rows = [row for number_, author in enumerate(chosen) for row in _rows(setup, author, number_ + 1)]
    return rows + list(_means(rows))


def _rows(setup: Setup, author: str, place: int) -> Iterator[DetectionRow]:
    """Rows of one left-out author; named by number, for this is about the method."""
    with setup.clock.phase(f"{AGAINST} {place}"):
        test = cap_spread(setup.material.test, setup.config.test_samples, setup.config.seed)
        theirs = only_authors(test, [author])
        team = [sample for sample in test if sample.author != author]
        novelty = _novelty(setup, author, [*team, *theirs])
    judge = Detection(
        f"{AGAINST} {place}", "hunk", tuple(s.group for s in team), tuple(s.group for s in theirs),
        setup.config.n_draws, sizes=novelty.pop(SIZES),
    )  # fmt: skip
    for name, values in novelty.items():
        yield judge.judge(name, values[: len(team)], values[len(team) :])


def _novelty(setup: Setup, author: str, samples: list[Sample]) -> dict[str, np.ndarray]:
    bench, routed = setup.bench, setup.bench.routed
    team = train_team_without(bench, setup.slices, author)
    states = {BASE: routed.zero_weights(), TEAM: team.state}
    passages = [passage for sample in samples for passage in sample.passages]
    owner = np.repeat(np.arange(len(samples)), [len(sample.passages) for sample in samples])
    digest = Corpus(tuple(passages)).digest

    def perplexity() -> Mapping[str, np.ndarray]:
        found = read_log_probs(passages, routed, states, bench.config.drift)
        rows = tokenize_passages(routed.base, passages, bench.config.drift.passage_tokens)
        sizes = np.bincount(
            [row.passage_index for row in rows], weights=[row.n_scored for row in rows], minlength=len(owner)
        )
        found["n_scored"] = sizes
        return {name: np.bincount(owner, weights=x, minlength=len(samples)) for name, x in found.items()}

    def ngrams() -> Mapping[str, np.ndarray]:
        others = setup.material.narrowed([name for name in setup.material.authors if name != author])
        train = cap_newest(others.train, setup.config.ngram_samples)
        classifier = fit_ngrams(others, others.train, setup.config)
        neighbours = fit_ngram_neighbours([sample.text for sample in train])
        found = ngram_novelty([sample.text for sample in samples], neighbours, classifier)
        return {name.replace("/", "-"): values for name, values in found.items()}

    facts = {"without": author, "passages": digest}
    sums = setup.arrays("log-probabilities without an author", perplexity, adapters=(), **facts)
    n_scored = np.maximum(sums["n_scored"], 1)
    return {
        SIZES: n_scored,
        SIZE: -n_scored,
        LAMBDA: (sums[BASE] - sums[TEAM]) / n_scored,
        CONTROL: -sums[BASE] / n_scored,
        **setup.arrays("n-grams without an author", ngrams, adapters=(), **facts),
    }


def _means(rows: list[DetectionRow]) -> Iterator[DetectionRow]:
    """The mean AUROC over left-out authors by system; each author counts alike."""
    for system in dict.fromkeys(row.system for row in rows):
        own = [row for row in rows if row.system == system]
        areas = [row.auroc.value for row in own if row.auroc.value is not None]
        matched = [row.matched.value for row in own if row.matched and row.matched.value is not None]
        yield DetectionRow(
            system=system, against=f"{AGAINST}, mean of {len(own)}", unit="hunk",
            n_team=sum(row.n_team for row in own), n_strangers=sum(row.n_strangers for row in own),
            auroc=Figure(value=number(macro(areas))), matched=Figure(value=number(macro(matched))),
            tpr_at_1=number(macro([row.tpr_at_1 for row in own if row.tpr_at_1 is not None])),
            tpr_at_5=number(macro([row.tpr_at_5 for row in own if row.tpr_at_5 is not None])),
        )  # fmt: skip
