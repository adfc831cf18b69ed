import numpy as np
import pytest

from fingerprint.drift.calibrate import (
    choose_cell,
    clopper_pearson,
    conformal_p_value,
    flagged_share,
    least_commits,
    recency_weights,
    share_below,
    threshold_at,
)


def test_ranks_by_hand() -> None:
    scores = np.array([1.0, 2.0, 2.0, 5.0])
    # four calibration scores, denominators of five; a tie counts as at least as extreme
    assert conformal_p_value(scores, 6.0) == 1 / 5
    assert conformal_p_value(scores, 5.0) == 2 / 5
    assert conformal_p_value(scores, 2.0) == 4 / 5
    assert conformal_p_value(scores, 0.0) == 1.0


def test_weighted_rank_by_hand() -> None:
    # half-life of one commit: weights 1/4 (older), 1/2 (newer), and 1 for the new score
    assert recency_weights(2, 1.0).tolist() == [0.25, 0.5]
    assert conformal_p_value(np.array([9.0, 0.0]), 5.0, half_life=1.0) == pytest.approx(1.25 / 1.75)


@pytest.mark.parametrize("level", [0.05, 0.1])
def test_exact_on_exchangeable_scores(level: float) -> None:
    draws = np.random.default_rng(0).exponential(size=(8000, 40))
    p_values = np.array([conformal_p_value(row[:-1], row[-1]) for row in draws])
    error = np.sqrt(level * (1 - level) / len(draws))
    # n + 1 = 40 is a multiple of 1 / level, so P(p <= level) is the level itself, not merely below it
    assert abs(np.mean(p_values <= level) - level) < 3.5 * error


def test_never_too_small_with_ties() -> None:
    draws = np.random.default_rng(1).integers(0, 3, size=(4000, 20)).astype(float)
    p_values = np.array([conformal_p_value(row[:-1], row[-1]) for row in draws])
    assert np.mean(p_values <= 0.1) <= 0.1


def test_threshold_is_the_first_flagged_score() -> None:
    scores = np.arange(39.0)
    assert threshold_at(scores, 0.05) == 38.0  # p(38) = 2/40
    assert threshold_at(np.arange(5.0), 0.05) == float("inf")


def test_cells_merge_upward_when_small() -> None:
    cells = {"all": np.arange(30.0), "python": np.arange(25.0), "go": np.arange(5.0)}
    assert choose_cell(cells, "python", 20).cell == "python"
    assert choose_cell(cells, "go", 20).cell == "all"
    assert choose_cell(cells, "rust", 20).n == 30


def test_least_commits_for_a_level() -> None:
    assert (least_commits(0.05), least_commits(0.1), least_commits(0.01)) == (19, 9, 99)


def test_flagged_share_and_interval() -> None:
    found = flagged_share(np.array([0.01, 0.05, 0.2, 0.9]), 0.05)
    assert (found.n_flagged, found.n, found.share) == (2, 4, 0.5)
    # published Clopper-Pearson values: 0/10 -> (0, .3085), 1/10 -> (.0025, .4450)
    assert clopper_pearson(0, 10) == (0.0, pytest.approx(0.3085, abs=1e-4))
    assert clopper_pearson(1, 10) == (pytest.approx(0.0025, abs=1e-4), pytest.approx(0.4450, abs=1e-4))
    assert clopper_pearson(0, 0) == (0.0, 1.0)


def test_share_below_is_a_percentile() -> None:
    assert share_below(np.array([1.0, 2.0, 3.0, 4.0]), 3.0) == 0.5
