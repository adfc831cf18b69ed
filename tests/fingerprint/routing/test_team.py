from __future__ import annotations

import numpy as np
import pytest

from fingerprint import FingerprintError
from fingerprint.config import DriftConfig
from fingerprint.passage import Corpus, passage_from_lines
from fingerprint.provenance import Provenance
from fingerprint.routing.combination import RULES
from fingerprint.routing.extract import Measures
from fingerprint.routing.team import Normaliser, fit_moments, fit_normaliser, slice_team
from fingerprint.signature import TeamSignature


def joined(first: Measures, second: Measures) -> list[np.ndarray]:
    names = ("n_scored", "log_ratio", "phi", "magnitude", "gap")
    return [np.concatenate([getattr(first, name), getattr(second, name)]) for name in names]


def synthetic(n: int, seed: int, *, shift: float = 0.0, sizes=(20, 2000), language: str = "go") -> Measures:
    """Commits whose per-token means have variance between + within / n_tokens, with correlated phi."""
    rng = np.random.default_rng(seed)
    tokens = np.exp(rng.uniform(*np.log(sizes), size=n)).round()
    spread = np.sqrt(0.02 + 4.0 / tokens)
    common = rng.normal(size=(n, 1))
    phi = 0.1 + spread[:, None] * (0.7 * common + 0.7 * rng.normal(size=(n, 36))) + shift
    log_ratio = 0.5 + spread * rng.normal(size=n) + shift
    return Measures(
        tuple(f"c{i}" for i in range(n)), (language,) * n, tokens, log_ratio * tokens, phi * tokens[:, None],
        np.zeros((n, 6)), np.zeros(n),
    )  # fmt: skip


def test_moments_are_recovered() -> None:
    rng = np.random.default_rng(0)
    tokens = np.exp(rng.uniform(np.log(20), np.log(5000), size=4000))
    x = 3.0 + np.sqrt(0.04 + 9.0 / tokens) * rng.normal(size=4000)
    mean, (between, within) = fit_moments(x, tokens)
    assert mean == pytest.approx(3.0, abs=0.02)
    assert between == pytest.approx(0.04, rel=0.1)
    assert within == pytest.approx(9.0, rel=0.1)


def test_standardised_on_new_commits_of_any_size() -> None:
    normaliser, _ = fit_normaliser(synthetic(150, 1), DriftConfig())
    for sizes in ((20, 40), (1000, 2000)):
        statistics = normaliser.statistics(synthetic(400, 2, sizes=sizes))
        assert abs(np.mean(statistics.log_ratio)) < 0.25
        assert np.std(statistics.log_ratio) == pytest.approx(1.0, abs=0.2)
        assert abs(np.median(statistics.distance)) < 0.5


def test_shifted_text_scores_higher() -> None:
    normaliser, _ = fit_normaliser(synthetic(60, 1), DriftConfig())
    own, text = normaliser.statistics(synthetic(200, 2)), synthetic(200, 3, shift=-1.0)
    for rule in RULES:
        shifted = normaliser.statistics(text).score(rule)
        assert np.median(shifted) > np.quantile(own.score(rule), 0.95), rule


def test_dev_commits_are_standardised_by_folds_without_them() -> None:
    commits = synthetic(60, 1)
    normaliser, dev = fit_normaliser(commits, DriftConfig())
    assert dev.n_scored.tolist() == commits.n_scored.tolist()
    inside = normaliser.statistics(commits)
    # a commit that fitted its own mean and covariance looks nearer than it is
    assert np.mean(dev.statistics.mahalanobis) > np.mean(inside.mahalanobis)
    assert np.corrcoef(dev.statistics.log_ratio, inside.log_ratio)[0, 1] > 0.95


def test_languages_have_their_own_means_drawn_to_the_whole() -> None:
    go, rust = synthetic(40, 1), synthetic(40, 2, shift=1.0, language="rust")
    both = Measures(go.groups + rust.groups, go.languages + rust.languages, *joined(go, rust), counts=None)
    normaliser, _ = fit_normaliser(both, DriftConfig())
    assert normaliser.languages == ("go", "rust")
    whole, first, second = normaliser.log_ratio_mean
    assert 0.5 < first < whole < second < 1.5
    unknown = synthetic(5, 3, language="zig")
    assert np.isfinite(normaliser.score(unknown)).all()


def test_readings_round_trip() -> None:
    normaliser, _ = fit_normaliser(synthetic(30, 1), DriftConfig())
    again = Normaliser.from_readings(normaliser.to_readings(), normaliser.languages)
    text = synthetic(3, 9)
    assert again.score(text) == pytest.approx(normaliser.score(text))
    with pytest.raises(FingerprintError, match="Profile again"):
        Normaliser.from_readings({}, ())


def test_a_signature_of_another_version_is_refused() -> None:
    normaliser, _ = fit_normaliser(synthetic(30, 1), DriftConfig())
    facts = {"normaliser_languages": list(normaliser.languages), "combination": "far"}
    provenance = Provenance("b", "r", "a", "c", "d", 0)
    signature = TeamSignature(normaliser.to_readings(), {}, facts, provenance)
    assert Normaliser.of_team(signature).combination == "far"
    old = TeamSignature(signature.readings, {}, {"normaliser_languages": ["go"]}, provenance)
    with pytest.raises(FingerprintError, match=r"names the rule None.*Profile again"):
        Normaliser.of_team(old)


def test_too_few_commits() -> None:
    with pytest.raises(FingerprintError, match="5 dev commits with at least 10 scored tokens, need 8"):
        fit_normaliser(synthetic(5, 1), DriftConfig())


def test_identical_commits_do_not_divide_by_zero() -> None:
    same = synthetic(20, 1)
    same = Measures(
        same.groups,
        same.languages,
        same.n_scored,
        0.5 * same.n_scored,
        np.zeros((20, 36)),
        same.magnitude,
        same.gap,
    )
    statistics = fit_normaliser(same, DriftConfig())[0].statistics(same)
    assert all(np.isfinite(statistics.score(rule)).all() for rule in RULES)


def test_slices_are_by_time() -> None:
    corpus = Corpus.of(
        passage_from_lines([(True, "x")], path="a", language="go", group=str(i), written_at=float(i))
        for i in range(20)
    )
    slices = slice_team(corpus, DriftConfig())
    assert [len(one) for one in slices] == [12, 3, 4, 1]
    assert slices.held_out.groups == ("19",)


def test_in_a_long_history_training_reaches_nearer_to_now() -> None:
    corpus = Corpus.of(
        passage_from_lines([(True, "x")], path="a", language="go", group=str(i), written_at=float(i))
        for i in range(40)
    )
    slices = slice_team(corpus, DriftConfig(slice_commits=5))
    assert [len(one) for one in slices] == [28, 5, 5, 2]
    assert [group for one in slices for group in one.groups] == list(corpus.groups)
