"""What the attribution's systems are called, and how they are combined on the past slice."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from fingerprint.evaluation.combine import AuthorLogistic, SiteWeights, cross_fit
from fingerprint.evaluation.systems import (
    B8,
    BY_CELL,
    EVERYTHING,
    FISHER,
    FUSED,
    FUSED_FISHER,
    FUSED_LOGISTIC,
    LOGISTIC,
    SITES,
    TEXT_SYSTEMS,
)
from service.flows.evaluation.baselines import Scores, stack_systems
from service.flows.evaluation.setup import Setup

REFERENCE = "reference"


def fitted(
    setup: Setup,
    fit: Callable[[np.ndarray, np.ndarray, Sequence[str]], SiteWeights | AuthorLogistic],
    values: tuple[np.ndarray, np.ndarray],
) -> Scores:
    """A combination of features [n, K, F] of the past slice and of test, fitted on the past slice."""
    past, test = values
    labels = setup.material.labels(setup.material.past)
    groups = [sample.group for sample in setup.material.past]

    def part(rows: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
        model = fit(past[rows], labels[rows], [groups[i] for i in rows])
        return lambda other: model.score(past[other])

    return cross_fit(part, labels, groups), fit(past, labels, groups).score(test)


def stacks(setup: Setup, scores: Mapping[str, Scores]) -> dict[str, Scores]:
    """Every stack of text and routes whose parts are there."""
    parts = {
        FUSED: (*TEXT_SYSTEMS, SITES),
        FUSED_LOGISTIC: (*TEXT_SYSTEMS, LOGISTIC),
        FUSED_FISHER: (*TEXT_SYSTEMS, FISHER),
        EVERYTHING: (*TEXT_SYSTEMS, BY_CELL, B8, SITES),
    }
    return {
        name: stack_systems(setup, {part: scores[part] for part in systems})
        for name, systems in parts.items()
        if scores.keys() >= set(systems)
    }
