import numpy as np
import pytest
from scipy.stats import beta

from fingerprint import FingerprintError
from fingerprint.drift.calibrate import clopper_pearson
from fingerprint.drift.martingale import jumper_bets, online_p_values, power_bets
from fingerprint.drift.stream import (
    conformal_alarms,
    judge_alarms,
    quantile_alarms,
    realised_share,
    restart_alarms,
    ville_alarms,
)

RNG = np.random.default_rng


def error(share: float, n: float) -> float:
    """Three and a half binomial standard errors."""
    return 3.5 * np.sqrt(share * (1 - share) / n)


def drifting(n: int) -> np.ndarray:
    """Scores that climb by three standard deviations."""
    return RNG(0).normal(size=n) + np.linspace(0, 3, n)


def test_exact_level_on_an_exchangeable_stream() -> None:
    # 19 + 20 k scores: the level is reached exactly at every twentieth item, and from below at the others
    scores = RNG(1).normal(size=3019)
    found = conformal_alarms(scores[:19], scores[19:], 0.05)
    n_past = 20 + np.arange(3000)
    wanted = float(np.mean(np.floor(0.05 * n_past + 1e-9) / n_past))
    assert np.mean(found.is_flagged) == pytest.approx(wanted, abs=error(wanted, 3000))


def test_p_values_by_hand() -> None:
    calibration, stream = np.array([1.0, 2.0, 3.0]), np.array([4.0, 2.5, 0.0])
    growing = conformal_alarms(calibration, stream, 0.25)
    assert growing.p_values.tolist() == [1 / 4, 3 / 5, 6 / 6]
    assert growing.is_flagged.tolist() == [True, False, False]
    assert conformal_alarms(calibration, stream, 0.25, is_growing=False).p_values.tolist() == [
        1 / 4,
        2 / 4,
        1,
    ]
    # of the newest two scores: {2, 3}, {3, 4}, {4, 2.5}
    assert conformal_alarms(calibration, stream, 0.25, window=2).p_values.tolist() == [1 / 3, 1, 1]
    # a half-life of one item: weights 1/8, 1/4, 1/2 and 1 for the new one
    first = conformal_alarms(calibration, np.array([2.5]), 0.25, half_life=1.0).p_values[0]
    assert first == pytest.approx(1.5 / 1.875)


def test_recency_follows_slow_drift() -> None:
    calibration, stream = RNG(2).normal(size=200), drifting(1500)
    fixed = conformal_alarms(calibration, stream, 0.05, is_growing=False).is_flagged.mean()
    grown = conformal_alarms(calibration, stream, 0.05).is_flagged.mean()
    recent = conformal_alarms(calibration, stream, 0.05, half_life=60.0).is_flagged.mean()
    assert fixed > 0.4
    assert grown > 0.1
    assert recent < 0.08


@pytest.mark.parametrize("step", [0.005, 0.05])
@pytest.mark.parametrize("jump", [0.0, 3.0, -3.0])
def test_adaptive_level_keeps_its_long_run_rate_under_any_drift(step, jump) -> None:
    level, n = 0.1, 2000
    stream = drifting(n) + jump * (np.arange(n) > n // 2)
    found = conformal_alarms(RNG(3).normal(size=100), stream, level, step=step, is_growing=False)
    bound = (max(level, 1 - level) + step) / (step * n)
    assert abs(found.is_flagged.mean() - level) <= bound
    # with calibration left as it was, the plain level is nowhere near
    plain = conformal_alarms(RNG(3).normal(size=100), stream, level, is_growing=False)
    assert abs(plain.is_flagged.mean() - level) > 0.05


def test_adaptive_level_by_hand() -> None:
    found = conformal_alarms(np.arange(9.0), np.array([20.0, -5.0, 20.0]), 0.1, step=0.5)
    # 1/10 <= .1 is flagged: .1 + .5 (.1 - 1) = -.35; nothing is flagged: -.3, and there 2/12 is not either
    assert found.levels == pytest.approx([0.1, -0.35, -0.3])
    assert found.is_flagged.tolist() == [True, False, False]


def test_tracked_quantile_keeps_its_long_run_rate() -> None:
    calibration, stream, rate = RNG(4).normal(size=100), drifting(2000), 0.05
    found = quantile_alarms(calibration, stream, 0.1, rate)
    eta = rate * np.ptp(calibration)
    span = np.ptp(np.concatenate([calibration, stream]))
    assert abs(found.is_flagged.mean() - 0.1) <= (span / eta + 1) / 2000
    assert found.thresholds[-1] > found.thresholds[0] + 2


def test_tracked_quantile_by_hand() -> None:
    found = quantile_alarms(np.arange(11.0), np.array([10.0, 20.0, 0.0]), 0.1, rate=0.1)
    # starts at 9, steps of 1: up .9 after each flag
    assert found.thresholds == pytest.approx([9, 9.9, 10.8])
    assert found.is_flagged.tolist() == [True, True, False]
    with pytest.raises(FingerprintError, match=r"differ, got 3 times 1"):
        quantile_alarms(np.ones(3), np.ones(3), 0.1)


def test_single_items_get_the_exact_binomial_interval() -> None:
    is_flagged = np.arange(100) % 10 == 0
    found = realised_share(is_flagged, [str(i) for i in range(100)], 0.05)
    assert (found.n_flagged, found.n, found.share) == (10, 100, 0.1)
    assert (found.low, found.high) == pytest.approx(clopper_pearson(10, 100))


def test_repeated_items_count_once() -> None:
    once = np.arange(40) % 8 == 0
    clusters = [str(i) for i in range(40) for _ in range(5)]
    found = realised_share(np.repeat(once, 5), clusters, 0.05)
    # 40 clusters of five equal items: 40 items, but for the few-clusters factor on the design effect
    n = 40 * 39 / 40 * 199 / 195
    low, high = beta.ppf(0.025, n / 8, n * 7 / 8 + 1), beta.ppf(0.975, n / 8 + 1, n * 7 / 8)
    assert (found.low, found.high) == (pytest.approx(low, abs=0.01), pytest.approx(high, abs=0.01))
    assert found.high - found.low > 1.8 * np.diff(clopper_pearson(25, 200))


def test_no_flag_is_judged_by_clusters() -> None:
    found = realised_share(np.zeros(200, dtype=bool), [str(i // 20) for i in range(200)], 0.05)
    assert (found.low, found.high) == (0, pytest.approx(clopper_pearson(0, 10)[1]))
    empty = realised_share(np.zeros(0, dtype=bool), [], 0.05)
    assert (empty.share, empty.low, empty.high) == (None, 0, 1)


def test_clustered_interval_covers() -> None:
    rng, covered, n = RNG(5), 0, 300
    clusters = [str(i) for i in range(60) for _ in range(5)]
    for _ in range(n):
        risk = np.repeat(rng.beta(0.5, 4.5, size=60), 5)  # mean .1, items of a cluster alike
        found = realised_share(rng.uniform(size=300) < risk, clusters, 0.1)
        covered += found.low <= 0.1 <= found.high
    assert covered / n >= 0.95 - error(0.95, n)


def test_alarms_start_anew() -> None:
    bets = np.array([5.0, 5.0, 1.0, 30.0, 0.1, 20.0])
    assert ville_alarms(bets, 0.05).tolist() == [1, 3]  # 25; then 30; then 2
    # (0 + 1) 5 = 5, (5 + 1) 5 = 30 is an alarm; then 1, (1 + 1) 30 = 60 an alarm; .1, 22
    assert restart_alarms(bets, 21.0).tolist() == [1, 3, 5]


@pytest.mark.parametrize("bets", [power_bets, jumper_bets])
def test_items_between_false_alarms(bets) -> None:
    wanted, n = 40.0, 12_000
    scores = RNG(6).normal(size=n + 100)
    found = restart_alarms(bets(online_p_values(scores[:100], scores[100:])), wanted)
    gaps = np.diff(np.concatenate([[-1], found]))
    assert gaps.mean() >= wanted - 3.5 * gaps.std() / np.sqrt(len(gaps))
    assert judge_alarms(found, n, n).false_per_500 == pytest.approx(len(found) * 500 / n)


def test_delay_is_counted_from_the_change() -> None:
    alarms = np.array([3, 50, 107, 120])
    found = judge_alarms(alarms, 100, 200)
    assert (found.delay, found.n_false, found.false_per_500) == (8, 2, 10)
    assert judge_alarms(alarms, 120, 200).delay == 1
    assert judge_alarms(alarms, 150, 200).delay is None
    assert judge_alarms(alarms, 0, 200).false_per_500 is None
    with pytest.raises(FingerprintError, match="between item 0 and 200"):
        judge_alarms(alarms, 201, 200)


def test_restarts_find_a_late_change_sooner() -> None:
    delays = {"ville": [], "restart": []}
    for i in range(20):
        rng = RNG(i)
        stream = np.concatenate([rng.normal(size=400), rng.normal(1, 1, 200)])
        bets = power_bets(online_p_values(rng.normal(size=200), stream, i))
        for name, alarms in (("ville", ville_alarms(bets, 0.05)), ("restart", restart_alarms(bets))):
            delays[name].append(judge_alarms(alarms, 400, 600).delay or 200)
    assert np.median(delays["restart"]) < np.median(delays["ville"])
    assert np.median(delays["restart"]) < 25


def test_bad_input_says_what_to_do() -> None:
    with pytest.raises(FingerprintError, match="calibrate first"):
        conformal_alarms(np.zeros(0), np.zeros(3), 0.05)
    with pytest.raises(FingerprintError, match="between 0 and 1"):
        conformal_alarms(np.zeros(3), np.zeros(3), 1.0)


def test_calibration_that_rolls_on_follows_a_team_that_changed() -> None:
    rng = np.random.default_rng(4)
    past, later = rng.normal(0, 1, 100), rng.normal(2, 1, 400)
    rolled = conformal_alarms(past, later, 0.05, window=100).p_values
    assert rolled[0] == pytest.approx((1 + np.sum(past >= later[0])) / 101)
    assert np.mean(rolled[:20] <= 0.05) > 0.4
    assert np.mean(rolled[150:] <= 0.05) == pytest.approx(0.05, abs=0.03)
    assert len(conformal_alarms(past, later[:0], 0.05, window=100).p_values) == 0
