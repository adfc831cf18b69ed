import numpy as np
import pytest

from fingerprint import FingerprintError
from fingerprint.evaluation.metrics import cluster_bootstrap, equal_error_rate, macro_auroc
from fingerprint.evaluation.significance import (
    benjamini_hochberg,
    compare_across_repositories,
    paired_difference,
)


def names(n: int) -> list[str]:
    return [str(i) for i in range(n)]


def test_bootstrap_covers_a_gaussian_mean() -> None:
    rng = np.random.default_rng(0)
    draws = rng.normal(size=(150, 50))
    covered = 0
    for i, values in enumerate(draws):
        found = cluster_bootstrap(
            lambda rows, v=values: float(v[rows].mean()), names(50), n_draws=200, seed=i
        )
        covered += found.low <= 0 <= found.high
    # nominal .95, the percentile interval about .94 at n = 50; four binomial errors at 150 trials
    assert abs(covered / 150 - 0.94) < 4 * np.sqrt(0.94 * 0.06 / 150)


def test_interval_by_hunks_would_be_too_narrow() -> None:
    """Hunks that repeat their commit carry no more than the commit."""
    commits = np.random.default_rng(1).normal(size=40)
    values, clusters = np.repeat(commits, 10), [str(i) for i in range(40) for _ in range(10)]
    by_commit = cluster_bootstrap(lambda rows: float(values[rows].mean()), clusters, n_draws=400)
    by_hunk = cluster_bootstrap(lambda rows: float(values[rows].mean()), names(400), n_draws=400)
    ratio = (by_commit.high - by_commit.low) / (by_hunk.high - by_hunk.low)
    assert ratio == pytest.approx(np.sqrt(10), rel=0.2)


def test_pairing_cancels_what_both_systems_share() -> None:
    rng = np.random.default_rng(2)
    hard = rng.normal(size=200)
    first, second = hard + 0.1 + 0.05 * rng.normal(size=200), hard
    found = paired_difference(
        lambda rows: float(first[rows].mean()), lambda rows: float(second[rows].mean()), names(200)
    )
    alone = cluster_bootstrap(lambda rows: float(first[rows].mean()), names(200))
    assert 0 < found.interval.low < 0.1 < found.interval.high
    assert (found.p_value, found.n_clusters) == (2 / 1001, 200)
    assert alone.low < 0  # unpaired, the same gain drowns


def test_a_system_does_not_differ_from_itself() -> None:
    scores, labels = np.random.default_rng(3).normal(size=(60, 3)), np.arange(60) % 3

    def area(rows: np.ndarray) -> float:
        return macro_auroc(scores[rows], labels[rows])

    found = paired_difference(area, area, names(60), n_draws=50)
    assert (found.interval.value, found.interval.low, found.interval.high, found.p_value) == (0, 0, 0, 1)


def test_difference_of_any_figure() -> None:
    flags = np.arange(80) % 2 == 0
    good, bad = np.where(flags, 3.0, 0.0), np.zeros(80)

    def errors(scores: np.ndarray):
        return lambda rows: equal_error_rate(scores[rows][flags[rows]], scores[rows][~flags[rows]])

    found = paired_difference(errors(good), errors(bad), names(80), n_draws=50)
    assert found.interval.value == -0.5
    assert found.interval.high < 0


def test_paired_p_value_holds_its_level() -> None:
    rng = np.random.default_rng(4)
    p_values = []
    for i in range(120):
        a, b = rng.normal(size=(2, 40))
        p_values.append(
            paired_difference(
                lambda rows, a=a: float(a[rows].mean()),
                lambda rows, b=b: float(b[rows].mean()),
                names(40),
                n_draws=99,
                seed=i,
            ).p_value
        )
    share = np.mean(np.array(p_values) <= 0.1)
    # the percentile bootstrap is a little liberal at n = 40: nominal .1, about .11
    assert abs(share - 0.11) < 3.5 * np.sqrt(0.11 * 0.89 / 120)


def test_six_wins_of_six_reach_the_floor() -> None:
    found = compare_across_repositories(np.array([0.01, 0.02, 0.03, 0.04, 0.05, 0.06]))
    assert (found.n, found.n_won, found.p_value, found.floor) == (6, 6, 0.03125, 0.03125)
    assert compare_across_repositories(np.arange(1.0, 13)).p_value == pytest.approx(0.000488, abs=1e-6)


def test_ties_and_zeros_are_exact_too() -> None:
    # ranks 2, 2, 2 (of the ones), 4, 5; the negative sum is 2: of 32 patterns 4 are as low, 8 on both sides
    found = compare_across_repositories(np.array([1.0, 1.0, 2.0, -1.0, 3.0, 0.0]))
    assert (found.n, found.n_won, found.p_value) == (5, 4, 0.25)


def test_missing_differences_are_refused() -> None:
    with pytest.raises(FingerprintError, match="NaN in 1 of 2"):
        compare_across_repositories(np.array([np.nan, 1.0]))
    with pytest.raises(FingerprintError, match="2 zeros"):
        compare_across_repositories(np.zeros(2))


def test_benjamini_hochberg_by_hand() -> None:
    table = {("T1", "S3"): 0.01, ("T1", "S5"): 0.02, ("T2", "S3"): 0.03, ("T2", "S5"): 0.5}
    # adjusted: .01 4/1, .02 4/2, .03 4/3, made monotone from the right: .04, .04, .04, .5
    found = benjamini_hochberg(table, 0.05)
    assert [round(row.adjusted, 10) for row in found.values()] == [0.04, 0.04, 0.04, 0.5]
    assert [row.is_found for row in found.values()] == [True, True, True, False]
    assert list(found) == list(table)
    assert not any(row.is_found for row in benjamini_hochberg(table, 0.039).values())
    assert benjamini_hochberg({}) == {}
    with pytest.raises(FingerprintError, match="leave these cells out"):
        benjamini_hochberg({"a": 0.1, "b": float("nan")})


def test_benjamini_hochberg_holds_the_false_discovery_rate() -> None:
    rng = np.random.default_rng(5)
    shares = []
    for _ in range(400):
        p_values = rng.uniform(size=20)
        p_values[:5] = rng.uniform(size=5) * 1e-3
        found = [row.is_found for row in benjamini_hochberg(dict(enumerate(p_values)), 0.2).values()]
        shares.append(sum(found[5:]) / max(1, sum(found)))
    # the rate is exactly q m0 / m = .15 for independent p-values
    assert abs(np.mean(shares) - 0.15) < 3.5 * np.std(shares) / np.sqrt(400)
