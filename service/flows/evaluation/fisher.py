"""The base's routes read whole: one placement of all texts, and classifiers fitted on what may be known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fingerprint.adapters.population import shuffle_authors
from fingerprint.evaluation.attribution import SampleRows
from fingerprint.evaluation.fisher import fit_fisher_classifier, fit_fisher_space
from fingerprint.evaluation.protocol import Sample, cap_newest, cap_spread
from service.flows.evaluation.baselines import tokenize
from service.flows.evaluation.setup import Setup

SPREAD_SAMPLES = 256
"""Training texts on which every coordinate's spread is measured."""


@dataclass(frozen=True, eq=False)
class PlacedTexts:
    """Where the base's routes place every text of an evaluation.

    Attributes:
        known: row of ``values`` of every text before the cut that a classifier may be fitted on.
        values: [m, f]. judged: the past slice's and the test's texts [n, f], by part.
    """

    setup: Setup
    known: Mapping[tuple[str, str], int]
    values: np.ndarray
    judged: Mapping[str, np.ndarray]

    def score(self, part: str, train: Sequence[Sample], shuffled: int | None = None) -> np.ndarray:
        """Scores [n, K] of one part's texts by a classifier of the newest of ``train``.

        Args:
            shuffled: seed by which the authors of ``train`` are shuffled over commits, for a null.
        """
        material = self.setup.material
        chosen = _newest(self.setup, train)
        rows = [self.known[_key(sample)] for sample in chosen]
        labels = material.labels(chosen)
        if shuffled is not None:
            dealt = shuffle_authors([sample.passages[0] for sample in chosen], shuffled)
            labels = np.array([material.authors.index(passage.author) for passage in dealt])
        model = fit_fisher_classifier(self.values[rows], labels, len(material.authors))
        return model.score(self.judged[part])


def place_texts(setup: Setup, read: Mapping[str, SampleRows]) -> PlacedTexts:
    """Place what classifiers may be fitted on, up to the past slice or the cut, and the texts of ``read``."""
    material = setup.material
    train = _newest(setup, material.train)
    known = list({_key(sample): sample for sample in (*train, *_newest(setup, material.before))}.values())
    spread_on = tokenize(setup, cap_spread(train, SPREAD_SAMPLES))

    def compute() -> Mapping[str, np.ndarray]:
        routed, own = setup.bench.routed, tokenize(setup, known)
        n_tokens = own.n_tokens + spread_on.n_tokens + sum(part.n_tokens for part in read.values())
        count = setup.bench.counter("routes at the base", n_tokens)
        space = fit_fisher_space(routed, spread_on, progress=count)
        return {part: space.place(rows, count) for part, rows in {"known": own, **read}.items()}

    found = setup.arrays("Fisher vectors", compute, adapters=(), n_known=len(known))
    return PlacedTexts(
        setup, {_key(sample): i for i, sample in enumerate(known)}, found["known"],
        {part: found[part] for part in read},
    )  # fmt: skip


def _newest(setup: Setup, samples: Sequence[Sample]) -> list[Sample]:
    return cap_newest(samples, setup.config.fisher_samples)


def _key(sample: Sample) -> tuple[str, str]:
    return sample.group, sample.passages[0].path
