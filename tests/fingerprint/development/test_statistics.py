from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ttest_ind, ttest_rel

from fingerprint.development.statistics import (
    is_crossed,
    largest_t_null,
    paired_differences,
    search_latents,
    shuffle_labels,
    t_statistics,
)


def test_welch_is_scipys() -> None:
    rng = np.random.default_rng(0)
    rows, labels = rng.standard_normal((30, 4)) * [1, 2, 3, 4] + 50, np.arange(30) < 11
    groups = [f"g{i}" for i in range(30)]
    expected = np.asarray(ttest_ind(rows[labels], rows[~labels], equal_var=False))[0]
    np.testing.assert_allclose(t_statistics(rows, labels, groups), expected, rtol=1e-9)


def test_pairs_are_tested_as_pairs() -> None:
    rng = np.random.default_rng(1)
    level = 10 * rng.standard_normal((12, 1))
    first, second = level + rng.standard_normal((12, 3)), level + rng.standard_normal((12, 3))
    rows, labels = np.concatenate([first, second]), np.arange(24) < 12
    groups = [f"task {i % 12}" for i in range(24)]
    assert is_crossed(labels, groups)
    np.testing.assert_allclose(
        t_statistics(rows, labels, groups), ttest_rel(first, second).statistic, rtol=1e-9
    )


def test_identical_pairs_do_not_differ() -> None:
    rows = np.repeat(np.random.default_rng(2).standard_normal((6, 5)), 2, axis=0)
    labels, groups = np.arange(12) % 2 == 0, [f"task {i // 2}" for i in range(12)]
    assert not paired_differences(rows, labels, groups).any()
    assert not t_statistics(rows, labels, groups).any()


def test_labels_are_exchanged_within_tasks_and_between_commits() -> None:
    rng = np.random.default_rng(0)
    labels = np.array([True, False, True, False, True, True, False, False])
    groups = ["t1", "t1", "t2", "t2", "c1", "c1", "c2", "c2"]
    seen = [shuffle_labels(labels, groups, rng) for _ in range(60)]
    for one in seen:
        assert one[0] != one[1] and one[2] != one[3] and one[4] == one[5] != one[6] == one[7]
    assert len({tuple(one) for one in seen}) == 8


@pytest.mark.parametrize("crossed", [False, True])
def test_the_largest_t_of_noise_keeps_its_level(crossed) -> None:
    """Of 40 null searches over 50 features, about 5 % find anything at .05."""
    n_found = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        latents = np.abs(rng.standard_normal((40, 50))) ** 2
        labels = np.arange(40) % 2 == 0
        groups = [f"g{i // 2 if crossed else i}" for i in range(40)]
        n_found += search_latents({0: latents}, labels, groups, n_shuffles=40, seed=seed).n_found > 0
    assert n_found <= 6


def test_planted_latents_lead_both_searches() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(100) % 2 == 0
    groups = [f"g{i}" for i in range(100)]
    latents = {layer: np.maximum(rng.standard_normal((100, 50)), 0) for layer in (1, 3)}
    latents[3][labels, 7] += 1.5
    latents[1][:, 9] = np.where(labels, 0.0, 0.01 * (1 + rng.random(100)))
    latents[1][:, 20] = 0.0
    found = search_latents(latents, labels, groups, n_shuffles=100)
    best, steer = found.predictors[0], found.steering[0]
    assert (steer.layer, steer.latent, steer.separation) == (1, 9, -1.0)
    assert (3, 7) in {(one.layer, one.latent) for one in found.predictors[:2]} and best.p_value <= 0.02
    assert found.n_tested == 99 and 2 <= found.n_found <= 5


def test_the_null_grows_with_what_is_searched() -> None:
    rng = np.random.default_rng(0)
    rows, labels = rng.standard_normal((40, 200)), np.arange(40) % 2 == 0
    groups = [f"g{i}" for i in range(40)]
    one, many = (largest_t_null(rows[:, :k], labels, groups, n_shuffles=50, seed=0) for k in (1, 200))
    assert np.median(many) > np.median(one) + 1.5
