"""Remarked hunks among the others of their diff: by hand, with a planted signal, and without one."""

from __future__ import annotations

import numpy as np
import pytest

from fingerprint.evaluation.metrics import stratified_auroc
from fingerprint.evaluation.remarks import RemarkRanking, TooFewRemarks, contrast_remarks, rank_remarks
from fingerprint.evaluation.significance import PairedDifference


def ranked(values: np.ndarray, is_remarked: np.ndarray, changes: list[str], **more: object) -> RemarkRanking:
    found = rank_remarks(values, is_remarked, changes, **more)  # pyright: ignore[reportArgumentType]
    assert isinstance(found, RemarkRanking)
    return found


def drawn(shift: float, n_changes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Changes of eight hunks, two of them remarked on; every change has a level of its own."""
    rng = np.random.default_rng(seed)
    is_remarked = np.tile(np.arange(8) < 2, n_changes)
    level = np.repeat(rng.normal(scale=20, size=n_changes), 8)
    values = level + rng.normal(size=8 * n_changes) + shift * is_remarked
    return values, is_remarked, [f"#{k}" for k in range(n_changes) for _ in range(8)]


def test_by_hand():
    # five changes: remarked 3, 1 beside 2, 0: wins 1 + 1 + 0 + 1 = 3 of 4
    one, flags = [3.0, 1.0, 2.0, 0.0], [True, True, False, False]
    # a sixth: remarked 5 beside 5, 6: a tie and a loss, .5 of 2
    values = np.array(one * 5 + [5.0, 5.0, 6.0])
    is_remarked = np.array(flags * 5 + [True, False, False])
    changes = [f"#{k}" for k in range(5) for _ in range(4)] + ["#5"] * 3
    found = ranked(values, is_remarked, changes)
    assert found.interval.value == pytest.approx((5 * 3 + 0.5) / (5 * 4 + 2))
    assert (found.n_remarked, found.n_hunks, found.n_changes, found.n_pairs) == (11, 23, 6, 22)
    strata = np.unique(changes, return_inverse=True)[1]
    assert found.interval.value == pytest.approx(stratified_auroc(values, is_remarked, strata))


def test_the_exact_chance_of_shuffles():
    """Ten remarked hunks, one beside another each: all ten on top happens once in 2^10 shuffles."""
    values = np.array([1.0, 0.0] * 10)
    found = ranked(values, values > 0, [str(k // 2) for k in range(20)], n_shuffles=20_000)
    assert found.interval.value == found.interval.low == found.interval.high == 1.0
    assert found.p_value == pytest.approx(2**-10, abs=4 * (2**-10 / 20_000) ** 0.5)


def test_a_planted_signal_is_found_through_the_levels_of_the_changes():
    found = ranked(*drawn(1.0, 60))
    # two normals one deviation apart: Phi(1 / sqrt 2) = .760
    assert found.interval.low < 0.760 < found.interval.high
    assert found.interval.low > 0.5
    assert found.p_value < 0.001


def test_without_a_signal_nothing_is_found():
    found = [ranked(*drawn(0.0, 20, seed), n_draws=200, n_shuffles=200) for seed in range(40)]
    mean = float(np.mean([one.interval.value for one in found]))
    assert abs(mean - 0.5) < 4 * 0.3 / (40 * 20 * 2) ** 0.5
    # the interval by 20 changes is a little narrow: about .93
    assert sum(one.interval.low <= 0.5 <= one.interval.high for one in found) >= 32
    assert sum(one.p_value <= 0.1 for one in found) <= 10


def test_ties_are_chance():
    values, is_remarked, changes = drawn(0.0, 8)
    found = ranked(np.zeros_like(values), is_remarked, changes)
    assert (found.interval.value, found.interval.low, found.interval.high, found.p_value) == (
        0.5,
        0.5,
        0.5,
        1,
    )


def test_a_change_at_several_commits_is_resampled_whole_and_paired_apart():
    values, is_remarked, diffs = drawn(0.5, 40)
    changes = [f"#{int(name[1:]) // 4}" for name in diffs]
    apart, whole = ranked(values, is_remarked, diffs), ranked(values, is_remarked, changes, diffs=diffs)
    assert whole.interval.value == apart.interval.value
    assert (whole.n_changes, whole.n_pairs) == (10, apart.n_pairs)
    merged = ranked(values, is_remarked, changes)
    assert merged.n_pairs > whole.n_pairs


@pytest.mark.parametrize(
    ("n_changes", "n_both", "kept"),
    [(4, 8, (8, 4)), (9, 9, (9, 9)), (10, 10, None), (10, 4, (4, 4)), (0, 0, (0, 0))],
)
def test_too_few_are_refused(n_changes: int, n_both: int, kept: tuple[int, int] | None):
    """Changes of which all hunks were remarked on make no pair."""
    two = n_changes == 4
    flags = [[True, True, False] if two else [True, k >= n_both] for k in range(n_changes)]
    is_remarked = np.array([flag for own in flags for flag in own], dtype=bool)
    changes = [str(k) for k, own in enumerate(flags) for _ in own]
    found = rank_remarks(np.arange(len(changes), dtype=float), is_remarked, changes)
    if kept is None:
        assert isinstance(found, RemarkRanking)
    else:
        assert isinstance(found, TooFewRemarks)
        assert (found.n_remarked, found.n_changes) == kept
        assert f"{kept[0]} remarked hunks in {kept[1]} changes" in found.reason
        assert "need 10 in 5" in found.reason


def test_drift_is_held_against_a_control_on_the_same_pairs():
    values, is_remarked, changes = drawn(1.0, 60)
    noise = np.random.default_rng(1).normal(size=len(values))
    found = contrast_remarks(values, noise, is_remarked, changes)
    assert isinstance(found, PairedDifference)
    alone = [ranked(one, is_remarked, changes).interval.value for one in (values, noise)]
    assert found.interval.value == pytest.approx(alone[0] - max(alone[1], 1 - alone[1]))
    assert found.n_clusters == 60
    assert found.interval.low > 0
    assert found.p_value < 0.01


def test_a_control_is_read_in_its_better_direction():
    """What ranks as the control does, or just the other way round, is no better than it."""
    values, is_remarked, changes = drawn(1.0, 20)
    for control in (values, -values):
        found = contrast_remarks(values, control, is_remarked, changes)
        assert isinstance(found, PairedDifference)
        assert (found.interval.value, found.interval.low, found.interval.high, found.p_value) == (0, 0, 0, 1)
    few = contrast_remarks(values[:16], values[:16], is_remarked[:16], changes[:16])
    assert few == TooFewRemarks(4, 2)
