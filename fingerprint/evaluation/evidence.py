"""Closed-set scores as evidence: does this author's claim hold (T2), and can the probabilities be believed?

Everything is fitted on a past slice and judged on the test slice. Torch-free.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fingerprint.evaluation.likelihood import (
    abstention_threshold,
    c_at_1,
    calibration_error,
    cllr,
    fit_ratios,
    fit_temperature,
    min_cllr,
    top_confidence,
)
from fingerprint.evaluation.metrics import (
    Labels,
    Scores,
    auroc,
    cluster_bootstrap,
    equal_error_rate,
    verification_trials,
)
from fingerprint.evaluation.results import EvidenceRow
from fingerprint.evaluation.tables import figure, number


@dataclass(frozen=True, eq=False)
class Texts:
    """Scores of one slice's texts: row-centred scores [n, k], author columns [n], commit of each [n]."""

    scores: Scores
    labels: Labels
    groups: Sequence[str]


def judge_evidence(system: str, unit: str, past: Texts, test: Texts, *, n_draws: int) -> EvidenceRow:
    """Verification and calibration of one system on one unit; the past slice fits, the test slice judges.

    A claim is a text with one candidate author; its score is centred over the candidates.
    """
    target, other = verification_trials(test.scores, test.labels)
    ratios = fit_ratios(*verification_trials(past.scores, past.labels))
    temperature = fit_temperature(past.scores, past.labels)
    threshold = abstention_threshold(*top_confidence(temperature.probabilities(past.scores), past.labels))
    confidence, is_right = top_confidence(temperature.probabilities(test.scores), test.labels)
    is_answered = confidence >= threshold
    area = cluster_bootstrap(
        lambda rows: auroc(*verification_trials(test.scores[rows], test.labels[rows])),
        test.groups,
        n_draws=n_draws,
    )
    return EvidenceRow(
        system=system,
        unit=unit,
        n=len(test.labels),
        auroc=figure(area),
        eer=number(equal_error_rate(target, other)),
        cllr=number(cllr(ratios.ratios(target), ratios.ratios(other))),
        min_cllr=number(min_cllr(target, other)),
        calibration_error=number(calibration_error(confidence, is_right)),
        confidence=number(float(np.mean(confidence))),
        accuracy=number(float(np.mean(is_right))),
        answered=number(float(np.mean(is_answered))),
        c_at_1=number(c_at_1(is_right, is_answered)),
    )
