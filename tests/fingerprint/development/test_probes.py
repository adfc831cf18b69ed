"""E.2's checks: a planted direction is recovered, shuffled labels give .5, identical pairs do not differ."""

from __future__ import annotations

import numpy as np
import pytest

from fingerprint import FingerprintError
from fingerprint.development.probes import (
    best_latent,
    cross_validate,
    difference_of_means,
    logistic,
    measure_probe,
    shuffled_aurocs,
    shuffled_directions,
)

D = 32


def planted(seed: int, strength: float, n: int = 240, n_groups: int = 48):
    """Rows with ``strength`` times a unit vector added to the positives; groups have one label each."""
    rng = np.random.default_rng(seed)
    direction = rng.standard_normal(D)
    direction /= np.linalg.norm(direction)
    groups = [f"g{i % n_groups}" for i in range(n)]
    labels = np.array([(i % n_groups) % 2 == 0 for i in range(n)])
    rows = rng.standard_normal((n, D)) * 0.5 + strength * labels[:, None] * direction
    return rows, labels, groups, direction


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


@pytest.mark.parametrize("fit", [difference_of_means, logistic])
def test_a_planted_direction_is_recovered(fit) -> None:
    rows, labels, groups, direction = planted(0, 3.0, n=960)
    assert cosine(fit(rows, labels, groups), direction) > 0.95
    assert cross_validate(rows, labels, groups, fit).auroc > 0.99


def test_scaling_a_column_does_not_move_the_logistic_scores() -> None:
    rows, labels, groups, _ = planted(1, 1.0)
    scaled = rows * np.linspace(0.01, 100, D)
    first, second = (cross_validate(one, labels, groups, logistic) for one in (rows, scaled))
    np.testing.assert_allclose(first.scores, second.scores, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("fit", [difference_of_means, logistic])
def test_shuffled_labels_give_a_half(fit) -> None:
    rows, labels, groups, _ = planted(2, 3.0, n=96)
    found = shuffled_aurocs(rows, labels, groups, fit, n_shuffles=12)
    assert abs(found.mean() - 0.5) < 0.05


def test_in_sample_separation_of_noise_is_not_reported() -> None:
    """More dimensions than units: the mean difference separates the units it was fitted on, and no others."""
    labels, groups = np.arange(40) % 2 == 0, [f"g{i}" for i in range(40)]
    found = []
    for seed in range(8):
        rows = np.random.default_rng(seed).standard_normal((40, 400))
        inside = rows @ difference_of_means(rows, labels, groups)
        assert inside[labels].min() > inside[~labels].max()
        found.append(measure_probe(rows, labels, groups, difference_of_means, n_draws=50, n_shuffles=8))
    assert abs(np.mean([one.auroc for one in found]) - 0.5) < 0.08
    assert sum(one.low < 0.5 < one.high for one in found) >= 6
    assert sum(one.p_value > 0.12 for one in found) >= 6


def test_groups_never_stand_on_both_sides() -> None:
    rows, labels, groups, _ = planted(3, 1.0)
    seen: list[set[str]] = []

    def fit(rows, labels, groups):
        seen.append(set(groups))
        return difference_of_means(rows, labels, groups)

    found = cross_validate(rows, labels, groups, fit)
    for number, train in enumerate(seen):
        assert not train & {g for g, fold in zip(found.groups, found.fold, strict=True) if fold == number}
    assert len(seen) == 5 and (found.fold >= 0).all()


def test_a_kind_held_out_is_a_fold_and_its_tasks_train_nothing() -> None:
    rows, labels, groups, _ = planted(4, 3.0)
    kinds = [f"operator {i % 3}" for i in range(len(labels))]
    found = cross_validate(rows, labels, groups, difference_of_means, hold_out=kinds)
    assert found.auroc > 0.9 and set(found.fold) == {0, 1, 2}


def test_a_changed_text_is_scored_by_a_probe_that_saw_neither_form() -> None:
    rows, labels, groups, direction = planted(5, 3.0)
    hidden = rows - np.outer(rows @ direction, direction)
    plain = cross_validate(rows, labels, groups, difference_of_means)
    changed = cross_validate(rows, labels, groups, difference_of_means, tested=hidden)
    assert plain.auroc > 0.99 and abs(changed.auroc - 0.5) < 0.15


def test_folds_of_another_level_do_not_move_the_auroc() -> None:
    rows, labels, groups, _ = planted(6, 1.0)
    found = cross_validate(rows, labels, groups, difference_of_means)
    before = found.auroc
    found.scores[:] += 100 * found.fold
    assert found.auroc == pytest.approx(before)


def test_the_best_latent_is_signed_and_alone() -> None:
    rng = np.random.default_rng(0)
    rows = np.abs(rng.standard_normal((60, 10)))
    labels = np.arange(60) % 2 == 0
    rows[labels, 4] *= 0.1
    direction = best_latent(rows, labels, [f"g{i}" for i in range(60)])
    assert direction[4] == -1.0 and np.abs(direction).sum() == 1.0


def test_shuffled_directions_do_not_point_at_the_label() -> None:
    rows, labels, groups, direction = planted(7, 3.0)
    null = shuffled_directions(rows, labels, groups, difference_of_means, n_shuffles=50)
    own = cosine(difference_of_means(rows, labels, groups), direction)
    assert own > max(abs(cosine(one, direction)) for one in null)


def test_one_group_of_a_label_cannot_be_probed() -> None:
    rows, labels = np.eye(4), np.array([True, False, False, False])
    with pytest.raises(FingerprintError, match="at least two groups"):
        cross_validate(rows, labels, list("abcd"), difference_of_means)


def test_folds_have_like_shares_of_either_label_and_like_sizes() -> None:
    """Commits of one label and of very unequal size, tasks with both, and a rare label."""
    rng = np.random.default_rng(0)
    sizes = rng.integers(1, 12, 60)
    groups = [f"g{i}" for i, size in enumerate(sizes) for _ in range(size)]
    labels = np.array([i % 5 == 0 for i, size in enumerate(sizes) for _ in range(size)])
    found = cross_validate(rng.standard_normal((len(labels), 2)), labels, groups, difference_of_means)
    counts = np.array([[(found.fold == n).sum(), (labels & (found.fold == n)).sum()] for n in range(5)])
    assert counts[:, 0].max() <= 1.35 * counts[:, 0].min()
    assert counts[:, 1].min() > 0 and counts[:, 1].max() <= 2 * counts[:, 1].min()
