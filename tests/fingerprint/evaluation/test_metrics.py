import numpy as np
import pytest

from fingerprint.evaluation.metrics import (
    auroc,
    bag_commits,
    balanced_top,
    centre_rows,
    cluster_bootstrap,
    detection_bootstrap,
    directory_concordance,
    equal_error_rate,
    macro_auroc,
    pool_by_group,
    tpr_at_fpr,
    verification_eer,
    verification_trials,
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
    pooled, labels, groups, weights = pool_by_group(
        scores, np.array([1, 1, 0]), ["y", "y", "x"], weights=np.array([1.0, 2.0, 5.0])
    )
    assert pooled.tolist() == [[3.0, 0.0], [7.0, 1.0]]
    assert (labels.tolist(), groups, weights.tolist()) == ([1, 0], ["y", "x"], [3.0, 5.0])


def test_claims_are_centred_and_judged_by_one_threshold() -> None:
    scores = np.array([[3.0, 1.0, 2.0], [101.0, 103.0, 102.0]])
    target, other = verification_trials(scores, np.array([0, 1]))
    assert target.tolist() == [1, 1]
    assert sorted(other.tolist()) == [-1, -1, 0, 0]
    assert verification_eer(scores, np.array([0, 1])) == 0
    # text 0 claimed for the second of three: one of two true claims and one of four false ones above zero
    assert verification_eer(scores, np.array([2, 1])) == pytest.approx((0.5 + 0.25) / 2)


def test_concordance_compares_within_directories_only() -> None:
    scores = np.array([[2.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.5, 0.0], [-9.0, 9.0]])
    labels = np.array([0, 0, 1, 1, 0])
    # lean to a in src: own 2 and 1 against other -1 and 1.5: three of four pairs; the last text is alone
    assert directory_concordance(scores, labels, ["src", "src", "src", "src", "docs"]) == 0.75
    # in one directory its lean of -18 loses both its pairs
    assert directory_concordance(scores, labels, ["src"] * 5) == 0.5
    assert np.isnan(directory_concordance(scores, labels, ["a", "b", "c", "d", "e"]))


def test_concordance_weighs_pairs_of_all_authors_alike() -> None:
    scores = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [9.0, 0.0, 0.0]])
    # a over b is right; of c's text every lean is wrong (a over c) or even (b against c: 0 against 1)
    assert directory_concordance(scores, np.array([0, 1, 2]), ["d"] * 3) == pytest.approx(2 / 3)


def test_bags_pool_whole_commits_once() -> None:
    commits = [f"{author}{i}" for author in "ab" for i in range(25)]
    groups = [commit for commit in commits for _ in range(3)]
    labels = np.array([int(commit[0] == "b") for commit in groups])
    number = np.repeat(np.arange(50.0), 3)
    scores = np.stack([number, number**2], axis=1)
    bags, bag_labels = bag_commits(scores, labels, groups, size=10, seed=1)
    assert bag_labels.tolist() == [0, 0, 1, 1]
    again = bag_commits(scores, labels, groups, size=10, seed=1)[0]
    assert np.array_equal(bags, again)
    assert not np.array_equal(bags, bag_commits(scores, labels, groups, size=10, seed=2)[0])
    # bags of all commits: their mean is the mean over commits, whatever the draw
    whole, _ = bag_commits(scores, labels, groups, size=5, seed=3)
    assert whole[:5, 0].mean() == pytest.approx(12)
    assert whole[5:, 1].mean() == pytest.approx(np.mean(np.arange(25.0, 50) ** 2))


def test_a_large_commit_weighs_no_more_in_a_bag() -> None:
    scores = np.array([[0.0, 1.0]] * 9 + [[1.0, 0.0]])
    bags, _ = bag_commits(scores, np.zeros(10, dtype=int), ["big"] * 9 + ["small"], size=2)
    assert bags.tolist() == [[0.5, 0.5]]
    assert bag_commits(scores, np.zeros(10, dtype=int), ["one"] * 10, size=2)[0].shape == (0, 2)


def test_pooling_lowers_the_error() -> None:
    rng = np.random.default_rng(4)
    labels = np.repeat([0, 1], 300)
    scores = np.eye(2)[labels] * 0.5 + rng.normal(size=(600, 2))
    bags, bag_labels = bag_commits(scores, labels, [str(i) for i in range(600)])
    assert macro_auroc(scores, labels) < 0.7
    assert macro_auroc(bags, bag_labels) > 0.85
