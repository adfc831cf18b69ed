from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fingerprint.config import DriftConfig
from fingerprint.drift.lexical import LexicalView, SizeTrend, fit_ngram_neighbours
from fingerprint.drift.nonconformity import NGRAMS, ROUTES, Nonconformity, fuse
from fingerprint.evaluation.metrics import auroc
from fingerprint.provenance import Provenance
from fingerprint.routing.combination import RULES
from fingerprint.routing.team import fit_normaliser
from fingerprint.signature import TeamSignature
from tests.fingerprint.drift.test_power import synthetic


def test_routes_are_on_the_scale_of_dev_whatever_the_rule() -> None:
    """Else a rule that squares would drown the n-grams."""
    rng = np.random.default_rng(0)
    for rule in RULES:
        config = DriftConfig(combination=rule)
        normaliser, dev = fit_normaliser(synthetic(200, 1), config)
        scorer = Nonconformity.fit(normaliser, None, dev.statistics.score(rule))
        own = scorer.parts(synthetic(300, int(rng.integers(9, 99))))[ROUTES]
        assert abs(np.median(own)) < 0.35, rule
        assert 0.5 < own.std() < 1.8, rule


def test_two_views_together_tell_more_than_either() -> None:
    rng = np.random.default_rng(3)
    routes = np.concatenate([rng.normal(0, 1, 300), rng.normal(1, 1, 300)])
    ngrams = np.concatenate([rng.normal(0, 1, 300), rng.normal(1, 1, 300)])
    fused = fuse({ROUTES: routes, NGRAMS: ngrams})
    alone = max(auroc(one[300:], one[:300]) for one in (routes, ngrams))
    assert auroc(fused[300:], fused[:300]) > alone + 0.03
    assert fused[:300].std() == pytest.approx(1, abs=0.1)
    assert fuse({ROUTES: routes}) == pytest.approx(routes)


def test_a_signature_gives_the_same_scores_back() -> None:
    normaliser, dev = fit_normaliser(synthetic(80, 1), DriftConfig())
    neighbours = fit_ngram_neighbours(["a = 1\n", "a = 1\n", "b = 2\n"])
    lexical = LexicalView(neighbours, SizeTrend(0.9, -0.05, 0.1))
    scorer = Nonconformity.fit(normaliser, lexical, dev.statistics.score(normaliser.combination))
    signature = TeamSignature(
        scorer.to_readings(), {},
        {"view": scorer.view, "combination": normaliser.combination,
         "normaliser_languages": list(normaliser.languages)},
        Provenance("b", "r", "a", "c", "d", 0),
    )  # fmt: skip
    again = Nonconformity.of_team(signature)
    counts = neighbours.counts(["a = 1\n", "b = 3\n", "", "c", "a = 1\nb = 2\n"])
    text = replace(synthetic(5, 2), counts=counts)
    assert again.score(text) == pytest.approx(scorer.score(text))
    parts = again.parts(text)
    assert list(parts) == [ROUTES, NGRAMS]
    assert again.score(text) == pytest.approx((parts[ROUTES] + parts[NGRAMS]) / np.sqrt(2))
    assert again.of_routes().score(text) == pytest.approx(parts[ROUTES])
    assert (again.view, again.of_routes().view) == ("fused", "routes")
