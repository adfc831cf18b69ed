"""The base's routes read whole: one placement of all texts, and classifiers fitted on what may be known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fingerprint.adapters.population import MOST_OWN, shuffle_authors
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

    def score(self, part: str, train: Sequence[Sample], labels: np.ndarray | None = None) -> np.ndarray:
        """Scores [n, K] of one part's texts by a classifier of the newest of ``train``.

        Args:
            labels: author columns of these newest instead of their own (``shuffled``).
        """
        chosen = _newest(self.setup, train)
        rows = [self.known[_key(sample)] for sample in chosen]
        labels = self.setup.material.labels(chosen) if labels is None else labels
        model = fit_fisher_classifier(self.values[rows], labels, len(self.setup.material.authors))
        return model.score(self.judged[part])

    def shuffled(self, train: Sequence[Sample], seed: int) -> np.ndarray | None:
        """Author columns of the newest of ``train``, shuffled over commits within calendar quarters.

        None where that changes next to nothing, because authors wrote at different times: no null.
        """
        chosen, authors = _newest(self.setup, train), self.setup.material.authors
        dealt = shuffle_authors([sample.passages[0] for sample in chosen], seed)
        labels = np.array([authors.index(passage.author) for passage in dealt])
        return None if np.mean(labels == self.setup.material.labels(chosen)) > MOST_OWN else labels


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
