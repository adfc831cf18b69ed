import numpy as np
import pytest

from fingerprint.evaluation.metrics import (
    auroc,
    balanced_top,
    centre_rows,
    cluster_bootstrap,
    detection_bootstrap,
    equal_error_rate,
    macro_auroc,
    pool_by_group,
    tpr_at_fpr,
)


def test_rows_are_centred_over_authors() -> None:
    assert centre_rows(np.array([[1.0, 3.0], [10.0, 4.0]])).tolist() == [[-1.0, 1.0], [3.0, -3.0]]


def test_auroc_counts_pairs_and_half_ties() -> None:
    # six pairs: 3>1, 3>2, 2>1 win, 2=2 ties, 0<1, 0<2 lose: (3 + 1/2) / 6
    assert auroc(np.array([3.0, 2.0, 0.0]), np.array([1.0, 2.0])) == pytest.approx(3.5 / 6)
    assert np.isnan(auroc(np.array([]), np.array([1.0])))


def test_equal_error_rate_by_hand() -> None:
    # threshold 3: one of four positives missed (1/4), one of four negatives flagged (1/4)
    assert equal_error_rate(np.array([2.0, 4, 5, 6]), np.array([0.0, 1, 1.5, 3])) == pytest.approx(0.25)
    assert equal_error_rate(np.array([5.0, 6]), np.array([1.0, 2])) == 0
    assert equal_error_rate(np.array([1.0, 2]), np.array([5.0, 6])) == 1


def test_tpr_never_exceeds_the_allowed_false_alarms() -> None:
    negative = np.arange(100.0)
    assert tpr_at_fpr(np.array([98.5, 99.5, 97.0, 200.0]), negative, 0.01) == 0.75
    # 5 % of 100 is five: all above 94 count
    assert tpr_at_fpr(np.array([94.0, 94.5]), negative, 0.05) == 0.5
    # ten negatives allow none at 1 %
    assert tpr_at_fpr(np.array([9.0, 9.5]), np.arange(10.0), 0.01) == 0.5
    # ties with the highest negative are not flagged
    assert tpr_at_fpr(np.array([1.0]), np.ones(50), 0.05) == 0


def test_macro_auroc_weighs_authors_equally_and_skips_the_absent() -> None:
    scores = np.array([[2.0, 1.0, 9.0], [3.0, 2.0, 9.0], [2.5, 2.0, 9.0]])
    labels = np.array([0, 0, 1])
    # author 0: own 2 and 3 against 2.5 -> 1/2; author 1: own 2 against 1 and 2 -> (1 + 1/2)/2;
    # author 2 has no text
    assert macro_auroc(scores, labels) == pytest.approx((0.5 + 0.75) / 2)


def test_balanced_accuracy_and_ties() -> None:
    scores = np.array([[3.0, 1, 2], [0, 1, 2], [5, 1, 2], [1, 1, 1]])
    labels = np.array([0, 0, 2, 2])
    # author 0: right, wrong; author 2: wrong, tied (wrong)
    assert balanced_top(scores, labels) == pytest.approx(0.25)
    # among two: author 0 right and wrong; author 2 right (second), tie of three is third: wrong
    assert balanced_top(scores, labels, 2) == pytest.approx(0.5)
    assert balanced_top(scores, labels, 3) == 1


def test_bootstrap_resamples_whole_clusters() -> None:
    values = np.array([0.0, 0.0, 0.0, 1.0, 1.0, 1.0])
    clusters = ["a", "a", "a", "b", "b", "b"]
    found = cluster_bootstrap(lambda rows: float(values[rows].mean()), clusters, n_draws=400)
    # only three outcomes exist: {0, .5, 1}, each drawn more often than 2.5 %
    assert (found.value, found.low, found.high) == (0.5, 0.0, 1.0)
    singles = cluster_bootstrap(
        lambda rows: float(values[rows].mean()), [str(i) for i in range(6)], n_draws=400
    )
    assert 0 < singles.low < singles.high < 1


def test_bootstrap_interval_matches_the_standard_error_of_a_mean() -> None:
    values = np.random.default_rng(0).normal(size=400)
    found = cluster_bootstrap(
        lambda rows: float(values[rows].mean()), [str(i) for i in range(400)], n_draws=2000
    )
    half_width = 1.96 * values.std() / 20
    assert found.high - found.low == pytest.approx(2 * half_width, rel=0.08)


def test_detection_interval_ignores_draws_without_both_kinds() -> None:
    found = detection_bootstrap(auroc, np.array([2.0, 1.0]), np.array([True, False]), ["a", "b"], n_draws=50)
    assert (found.value, found.low, found.high) == (1.0, 1.0, 1.0)


def test_pooling_is_token_weighted_and_keeps_order() -> None:
    scores = np.array([[1.0, 0.0], [4.0, 0.0], [7.0, 1.0]])
    pooled, labels, groups = pool_by_group(
        scores, np.array([1, 1, 0]), ["y", "y", "x"], weights=np.array([1.0, 2.0, 5.0])
    )
    assert pooled.tolist() == [[3.0, 0.0], [7.0, 1.0]]
    assert (labels.tolist(), groups) == ([1, 0], ["y", "x"])
