"""Another repository's commits with names, literals and comments masked (T3a): is it more than vocabulary?

Masked, a text keeps keywords, operators and layout (S7). The team's adapter is trained on masked code and the
n-grams read masked code, so that neither meets markers for the first time in the diff. The score is of the
verdict's kind: low ``Lambda_team``, by size, and the n-grams' distance, both on the scale of the team's dev
commits; the routes' own part is left out for its time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from fingerprint.drift.lexical import LexicalView, fit_ngram_neighbours, team_texts
from fingerprint.drift.nonconformity import NGRAMS, ROUTES, fuse
from fingerprint.drift.reference import cap_commits
from fingerprint.evaluation.novelty import (
    LAMBDA,
    NEIGHBOURS,
    UNITS,
    Side,
    Texts,
    perplexity_novelty,
)
from fingerprint.evaluation.results import DetectionRow
from fingerprint.evaluation.views import view_passages
from fingerprint.passage import Corpus
from fingerprint.routing.extract import Measures
from fingerprint.routing.team import Normaliser, fit_normaliser
from service.flows.evaluation.detection import judge_between, some_commits
from service.flows.evaluation.log_ratios import read_log_ratios
from service.flows.evaluation.setup import Setup
from service.flows.training import train_team_on

BOTH = "Lambda_team and n-grams fused"


def detect_masked(setup: Setup) -> list[DetectionRow]:
    """Rows by commit and by hunk; none without another repository."""
    other = setup.other
    if other is None:
        return []
    slices = setup.slices
    with setup.clock.phase("masked"):
        train, dev = _masked(slices.train), _masked(slices.dev)
        team = train_team_on(setup.bench, train, dev, "team, masked")
        near = fit_ngram_neighbours(team_texts(train, setup.bench.config.drift.lexical_texts))

        def read(corpus: Corpus, whose: str) -> Side:
            passages = cap_commits(_masked(some_commits(corpus, setup)), setup.config.commit_tokens)
            side = read_log_ratios(setup, f"masked log-probabilities of {whose}", team, passages)
            counts = near.counts([passage.marked for passage in passages])
            return replace(side, measures=replace(side.measures, counts=counts))

        usual = read(slices.dev, "dev").measures
        normaliser, _ = fit_normaliser(_scored(usual.by_group()), setup.bench.config.drift)
        lexical = LexicalView.fit(near, usual)
        sides = read(slices.held_out, "the team"), read(other.slices[3], other.name)
        languages = sorted({passage.language for passage in dev})
        return list(_rows(setup, f"{other.name}, masked", sides, languages, normaliser, lexical))


def _masked(corpus: Corpus) -> Corpus:
    """What of a corpus can be masked, in its order."""
    return Corpus(view_passages(corpus.passages, "masked").passages)


def _scored(measures: Measures) -> Measures:
    return measures.take(np.flatnonzero(measures.n_scored > 0))


def _rows(
    setup: Setup, against: str, sides: tuple[Side, Side], languages: list[str], normaliser: Normaliser,
    lexical: LexicalView,
) -> Iterator[DetectionRow]:  # fmt: skip
    config = setup.config
    for unit in UNITS:
        least = config.least_commit_tokens if unit == "commit" else config.least_hunk_tokens
        team, others = (side.texts(unit).scorable(languages, least) for side in sides)
        judge = judge_between(setup, against, unit, team, others)
        if judge is None:
            continue
        novelty = [_novelty(texts, normaliser, lexical) for texts in (team, others)]
        yield from (judge.judge(name, novelty[0][name], novelty[1][name]) for name in novelty[0])


def _novelty(texts: Texts, normaliser: Normaliser, lexical: LexicalView) -> dict[str, np.ndarray]:
    measures = texts.measures
    parts = {ROUTES: normaliser.low_log_ratio(measures), NGRAMS: lexical.score(measures)}
    return {
        BOTH: fuse(parts),
        LAMBDA: -measures.log_ratio / measures.n_scored,
        NEIGHBOURS: lexical.neighbours.score(texts.added),
        **perplexity_novelty(texts),
    }
