import numpy as np
import pytest

from fingerprint import FingerprintError
from fingerprint.drift.martingale import (
    conditional_bets,
    jumper_bets,
    log_wealth,
    online_p_values,
    power_bets,
    sequential_evidence,
)

RNG = np.random.default_rng


def error(share: float, n: int) -> float:
    """Three and a half binomial standard errors."""
    return 3.5 * np.sqrt(share * (1 - share) / n)


def ever_reaches(bets: np.ndarray, level: float) -> bool:
    return bool(log_wealth(bets).max() >= -np.log(level))


def test_p_values_by_hand() -> None:
    reference, stream = np.array([1.0, 2.0, 3.0]), np.array([4.0, 2.0, 0.0])
    u = 1 - RNG(7).random(3)
    # above all: u / 4; then among 1 2 3 4: two above, one tie; then among five: all above
    wanted = [u[0] / 4, (2 + 2 * u[1]) / 5, (5 + u[2]) / 6]
    assert online_p_values(reference, stream, seed=7) == pytest.approx(wanted)


def test_p_values_are_uniform_and_independent() -> None:
    found = np.array(
        [online_p_values(x[:10], x[10:], seed=i) for i, x in enumerate(RNG(0).normal(size=(1500, 14)))]
    )
    for level in (0.05, 0.3, 0.9):
        assert np.mean(found <= level) == pytest.approx(level, abs=error(level, found.size))
    correlations = np.corrcoef(found.T)[np.triu_indices(4, 1)]
    assert np.abs(correlations).max() < 3.5 / np.sqrt(1500)


def test_ties_are_broken_fairly() -> None:
    found = np.array([online_p_values(np.zeros(5), np.zeros(6), seed=i) for i in range(800)])
    assert np.mean(found <= 0.1) == pytest.approx(0.1, abs=error(0.1, found.size))


@pytest.mark.parametrize("bets", [power_bets, jumper_bets])
def test_bets_are_fair_on_uniform_p_values(bets) -> None:
    # the mean over a uniform p, by p = v^10, which takes the pole at zero away
    v = (np.arange(400) + 0.5) / 400
    p_values, weights = v**10, 10 * v**9 / 400
    first = np.array([bets(np.array([p]))[0] for p in p_values])
    assert weights @ first == pytest.approx(1, abs=1e-3)
    # whatever came before, the next bet is fair too
    after = np.array([bets(np.array([0.01, 0.9, p]))[2] for p in p_values])
    assert weights @ after == pytest.approx(1, abs=1e-3)


def test_power_bets_by_hand() -> None:
    # without sharing out, wealth is the mean over kappa of the product of kappa p^(kappa - 1)
    p_values, kappas = np.array([0.2, 0.05, 0.6]), np.array([0.1, 0.2, 0.3, 0.5, 0.7, 0.85, 1.0])
    wealth = np.mean([np.prod(kappa * p_values ** (kappa - 1)) for kappa in kappas])
    assert np.exp(log_wealth(power_bets(p_values, jump=0.0))[-1]) == pytest.approx(wealth)


def test_simple_jumper_by_hand() -> None:
    # one item: the mean over leans -1, 0, 1 is 1; a second p of .1 after .1: leans weigh 1.4, 1 and .6
    # less a hundredth shared out, and pay 1.4, 1 and .6
    after = np.array([1.4, 1.0, 0.6]) / 3 * 0.99 + 0.01 / 3
    assert jumper_bets(np.array([0.1, 0.1])) == pytest.approx([1, after @ [1.4, 1.0, 0.6]])


@pytest.mark.parametrize("bets", [power_bets, jumper_bets])
def test_ville_bounds_false_alarms(bets) -> None:
    level, n = 0.2, 400
    draws = RNG(1).normal(size=(n, 100))
    crossed = [ever_reaches(bets(online_p_values(x[:20], x[20:], i)), level) for i, x in enumerate(draws)]
    assert np.mean(crossed) <= level + error(level, n)
    assert np.mean(crossed) > 0.01  # the bound is not kept by never betting


def test_a_fixed_reference_must_not_be_reused() -> None:
    rng, crossed = RNG(2), []
    for x in rng.normal(size=(100, 220)):
        n_above = 20 - np.searchsorted(np.sort(x[:20]), x[20:])
        p_values = (n_above + rng.random(200)) / 21  # each one uniform, all together not independent
        crossed.append(ever_reaches(jumper_bets(p_values), 0.05))
    assert np.mean(crossed) > 0.25


@pytest.mark.parametrize("draw", ["normal", "coin", "constant"])
def test_conditional_bets_hold_with_and_without_ties(draw) -> None:
    level, delta, n = 0.1, 0.05, 150
    rng, crossed = RNG(3), []
    for _ in range(n):
        x = {"normal": rng.normal(size=240), "coin": rng.integers(0, 2, 240) * 1.0, "constant": np.ones(240)}[
            draw
        ]
        crossed.append(ever_reaches(conditional_bets(x[:40], x[40:], delta, on_both_sides=True), level))
    total = level + delta
    assert np.mean(crossed) <= total + error(total, n)


def test_conditional_bets_need_their_band() -> None:
    # delta near 2 makes the band nothing: a finite reference taken for the truth
    draws = RNG(3).normal(size=(60, 240))
    crossed = [ever_reaches(conditional_bets(x[:40], x[40:], 1.9999, on_both_sides=True), 0.1) for x in draws]
    assert np.mean(crossed) > 0.1 + error(0.1, 60)


def test_conditional_bets_are_fair_given_a_reference_inside_its_band() -> None:
    # the reference is the quantiles themselves: the bet after a run of large scores, over the distribution
    reference = (np.arange(100) + 0.5) / 100
    lead = np.full(30, 0.95)
    nexts = (np.arange(500) + 0.5) / 500
    bets = np.array([conditional_bets(reference, np.append(lead, u))[-1] for u in nexts])
    assert bets.max() > 1.05  # it does bet
    assert bets.mean() < 1
    # shifted by less than its band of .136, still fair
    shifted = np.array([conditional_bets(reference, np.append(lead, min(1.0, u + 0.13)))[-1] for u in nexts])
    assert shifted.mean() <= 1


def test_conditional_bets_by_hand() -> None:
    reference, stream = np.arange(200.0), np.array([500.0, 500.0])
    eps = np.sqrt(np.log(40) / 400)
    edge, cost = 0.5 / (0.5 + eps), eps / (0.5 + eps)
    # the first item meets no bet; the Newton step from zero is capped at one half
    step = 2 / (2 - np.log(3)) * (edge - cost) / (1 + (edge - cost) ** 2)
    lean = min(0.5, step)
    assert conditional_bets(reference, stream) == pytest.approx([1, 1 + lean * (edge - cost)])
    # smaller scores are bet on only where asked
    assert conditional_bets(reference, -stream)[1] == 1
    assert conditional_bets(reference, -stream, on_both_sides=True)[1] == pytest.approx(
        1 + lean * (edge - cost)
    )


@pytest.mark.parametrize("kind", ["power", "jumper", "conditional"])
def test_wealth_grows_after_a_change(kind) -> None:
    rng = RNG(4)
    reference = rng.normal(size=200)
    stream = np.concatenate([rng.normal(size=100), rng.normal(1.5, 1, 150)])
    p_values = online_p_values(reference, stream)
    bets = {
        "power": lambda: power_bets(p_values),
        "jumper": lambda: jumper_bets(p_values),
        "conditional": lambda: conditional_bets(reference, stream),
    }[kind]()
    wealth = log_wealth(bets)
    assert wealth[99] < np.log(20)
    assert wealth[-1] - wealth[99] > np.log(1000)


def test_evidence_over_one_authors_requests() -> None:
    rng = RNG(5)
    team, level, n = rng.normal(size=60), 0.1, 400
    assert sequential_evidence(team, rng.normal(2.5, 1, 8))[-1] < 0.01
    draws = rng.normal(size=(n, 60))
    # the p-value after any number of requests, at its best
    least = [sequential_evidence(x[:30], x[30:], seed=i)[-1] for i, x in enumerate(draws)]
    assert np.mean(np.array(least) <= level) <= level + error(level, n)
    found = sequential_evidence(team, rng.normal(size=20))
    assert np.all(np.diff(found) <= 0)
    assert found[0] <= 1
    with pytest.raises(FingerprintError, match="calibrate first"):
        sequential_evidence(np.zeros(0), team)
