from __future__ import annotations

from itertools import product
from math import log

import numpy as np
import pytest

from fingerprint import FingerprintError
from fingerprint.sae.compare import PairedFirings, compare_firings, summarise
from fingerprint.sae.config import RateShiftConfig
from fingerprint.sae.report import LatentShift

N_CLUSTERS, N_TOKENS = 40, 20_000
QUICK = RateShiftConfig(n_flips=999, n_draws=20)


def firings(start: np.ndarray, end: np.ndarray, n_tokens: int = N_TOKENS) -> PairedFirings:
    return PairedFirings(start, end, 2.0 * start.sum(0), 3.0 * end.sum(0), n_tokens)


def poisson(rng: np.random.Generator, expected: np.ndarray) -> np.ndarray:
    """Counts by cluster and latent, clusters of very different sizes."""
    sizes = rng.lognormal(size=N_CLUSTERS)
    return rng.poisson(np.outer(sizes / sizes.sum(), expected))


def naive_changes(found: PairedFirings) -> int:
    """The rule to be replaced: |ln of rates clamped at 1e-9| above .5."""
    rates = [np.maximum(counts.sum(0) / found.n_tokens, 1e-9) for counts in (found.start, found.end)]
    return int((np.abs(np.log(rates[1] / rates[0])) > 0.5).sum())


def by_latent(shifts: tuple[LatentShift, ...]) -> dict[int, LatentShift]:
    return {shift.latent: shift for shift in shifts}


def test_the_same_state_changes_nothing():
    rng = np.random.default_rng(0)
    counts = poisson(rng, rng.gamma(0.5, 200, size=300))
    same = firings(counts, counts.copy())
    shifts = compare_firings(same, QUICK)
    assert len(shifts) > 100
    assert {(s.p_value, s.q_value, s.log_ratio, s.low, s.high) for s in shifts} == {(1, 1, 0, 0, 0)}
    summary = summarise(same, shifts)
    assert (summary.n_changed, summary.median, summary.high, summary.divergence) == (0, 0, 0, 0)


def test_equal_rates_keep_the_false_discovery_rate_where_the_naive_rule_reports_many():
    """Every discovery is false here, so the rate is the share of repeats with any at all."""
    with_any, n_tested, naive, n_repeats = 0, [], [], 200
    for repeat in range(n_repeats):
        rng = np.random.default_rng(repeat)
        expected = rng.gamma(0.4, 60, size=150)  # many rare latents, as dictionaries have
        sizes = rng.lognormal(size=N_CLUSTERS)
        means = np.outer(sizes / sizes.sum(), expected)
        found = firings(rng.poisson(means), rng.poisson(means))
        shifts = compare_firings(found, QUICK.model_copy(update={"seed": repeat}))
        n_tested.append(len(shifts))
        with_any += any(shift.is_changed for shift in shifts)
        naive.append(naive_changes(found))
    assert with_any / n_repeats <= QUICK.false_discoveries == 0.05
    assert with_any > 0  # fine enough p-values to fail
    assert np.mean(n_tested) > 60
    assert np.mean(naive) > 20


def test_a_planted_threefold_rate_is_found():
    """150 latents at 50 events or more in the start state, five of them three times as often in the end."""
    n_found, n_false, planted = 0, 0, range(5)
    for repeat in range(20):
        rng = np.random.default_rng(repeat)
        expected = rng.uniform(60, 400, size=150)
        expected[:5] = 60
        sizes = rng.lognormal(0, 0.5, size=N_CLUSTERS)
        means = np.outer(sizes / sizes.sum(), expected)
        start = rng.poisson(means)
        means[:, :5] *= 3
        shifts = by_latent(compare_firings(firings(start, rng.poisson(means)), QUICK))
        n_found += sum(shifts[latent].is_changed for latent in planted)
        n_false += sum(s.is_changed for latent, s in shifts.items() if latent not in planted)
    assert n_found >= 0.95 * 100
    assert n_false <= 0.15 * n_found


def test_one_file_alone_is_no_change():
    """Tokens of one file are not independent: a hundred firings in one of them prove nothing."""
    start, end = np.ones((20, 2), int), np.ones((20, 2), int)
    end[3, 0] += 100
    end[:, 1] += 5
    shifts = by_latent(compare_firings(firings(start, end), QUICK))
    assert not shifts[0].is_changed
    assert shifts[0].p_value == 1  # flipping that one sign leaves the sum as large
    assert shifts[1].is_changed


def test_p_values_are_those_of_all_sign_patterns():
    rng = np.random.default_rng(1)
    start, end = rng.poisson(8, size=(10, 6)), rng.poisson(11, size=(10, 6))
    moved = end - start
    sums = np.array([np.array(signs) @ moved for signs in product([-1, 1], repeat=10)])
    exact = (np.abs(sums) >= np.abs(moved.sum(0))).mean(0)
    shifts = by_latent(compare_firings(firings(start, end), QUICK.model_copy(update={"n_flips": 39_999})))
    assert [shifts[i].p_value for i in range(6)] == pytest.approx(exact.tolist(), abs=0.01)


def test_a_single_changed_latent_passes_the_correction_over_many():
    """With 999 patterns alone no p-value is below .001, and .05 / 400 is asked for."""
    rng = np.random.default_rng(2)
    start, end = rng.poisson(5, size=(30, 400)), rng.poisson(5, size=(30, 400))
    start[:, 0], end[:, 0] = 2, 8
    shifts = compare_firings(firings(start, end), QUICK)
    assert [shift.latent for shift in shifts if shift.is_changed] == [0]
    assert shifts[0].p_value == pytest.approx(1 / 16_001)


def test_rare_latents_are_left_out():
    """One firing against none reads ln((1 / 10558) / 1e-9) = 11.46 under the naive rule."""
    start, end = np.zeros((20, 4), int), np.zeros((20, 4), int)
    end[0, 0] = 1
    start[:4, 1], end[:4, 1] = 50, 90  # four clusters
    start[:19, 2] = 1  # 19 events
    start[:19, 3], end[0, 3] = 1, 1  # 20 events
    found = firings(start, end, n_tokens=10_558)
    assert log(1 / 10_558 / 1e-9) == pytest.approx(11.4586, abs=1e-4)
    assert naive_changes(found) >= 2
    assert found.log_ratios[0] == pytest.approx(log(1.5 / 0.5))
    assert [shift.latent for shift in compare_firings(found, QUICK)] == [3]


def test_the_figures_of_a_latent():
    start, end = np.full((10, 1), 4), np.full((10, 1), 6)
    config = QUICK.model_copy(update={"n_flips": 39_999})
    (shift,) = compare_firings(firings(start, end, n_tokens=1000), config)
    assert (shift.start_events, shift.end_events, shift.n_clusters) == (40, 60, 10)
    assert (shift.start_rate, shift.end_rate) == (0.04, 0.06)
    assert shift.log_ratio == pytest.approx(log(60.5 / 40.5))
    assert (shift.low, shift.high) == pytest.approx((shift.log_ratio, shift.log_ratio))  # clusters are alike
    assert (shift.start_mean, shift.end_mean) == (2.0, 3.0)
    assert shift.p_value == pytest.approx(2 / 2**10, abs=0.001)
    appeared = np.zeros((10, 1), int)
    (shift,) = compare_firings(firings(appeared, end), QUICK)
    assert (shift.start_mean, shift.end_mean) == (None, 3.0)


def test_intervals_cover_the_true_ratio():
    covered, n_repeats = 0, 40
    for repeat in range(n_repeats):
        rng = np.random.default_rng(repeat)
        sizes = rng.lognormal(0, 0.5, size=(N_CLUSTERS, 1))
        start = rng.poisson(10 * sizes @ np.ones((1, 5)))
        end = rng.poisson(15 * sizes @ np.ones((1, 5)))
        shifts = compare_firings(firings(start, end), QUICK.model_copy(update={"n_draws": 400}))
        covered += sum(shift.low <= log(1.5) <= shift.high for shift in shifts)
    assert 0.88 <= covered / (5 * n_repeats) <= 0.99


def test_divergence_by_hand():
    found = firings(np.array([[3, 1]]), np.array([[1, 3]]))
    # p = (.75, .25), q = (.25, .75), m = (.5, .5): each KL to m is .75 ln 1.5 + .25 ln .5
    by_hand = (0.75 * log(1.5) + 0.25 * log(0.5)) / log(2)
    assert found.divergence == pytest.approx(by_hand)
    assert firings(np.array([[1, 0]]), np.array([[0, 1]])).divergence == pytest.approx(1)
    assert firings(np.array([[7, 3, 11]]), np.array([[21, 9, 33]])).divergence == pytest.approx(0, abs=1e-12)
    with pytest.raises(FingerprintError, match="No latent fires"):
        _ = firings(np.zeros((3, 2), int), np.ones((3, 2), int)).divergence


def test_nothing_above_the_floors_is_an_empty_table():
    found = firings(np.eye(6, dtype=int), np.eye(6, dtype=int)[::-1].copy())
    assert compare_firings(found, QUICK) == ()
    assert summarise(found, ()).n_tested == 0
