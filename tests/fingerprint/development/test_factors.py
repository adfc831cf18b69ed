"""The number of factors of planted responses, and of none."""

from __future__ import annotations

import numpy as np
import pytest

from fingerprint.development.factors import count_above, find_factors, permuted_values
from fingerprint.development.susceptibility import Draws, SusceptibilityError


def planted(n_factors: int, seed: int = 0, n_draws: int = 200):
    """Twelve observables and ten losses; the factors drive blocks of both, the rest is noise of their own."""
    rng = np.random.default_rng(seed)
    hidden = rng.standard_normal((2, n_draws, n_factors))
    phi = 0.5 * rng.standard_normal((2, n_draws, 12))
    losses = 0.5 * rng.standard_normal((2, n_draws, 10))
    for f in range(n_factors):
        phi[..., 3 * f : 3 * f + 3] += hidden[..., f : f + 1]
        hidden[..., f] *= 3 - f  # apart in strength, else factors are known up to a rotation only
        losses[..., 3 * f : 3 * f + 3] += hidden[..., f : f + 1]
    return Draws(phi, np.zeros((2, n_draws)), tuple(map(str, range(12)))), losses


@pytest.mark.parametrize("n_factors", [1, 2, 3])
def test_planted_factors_are_counted_and_their_blocks_found(n_factors):
    draws, losses = planted(n_factors)
    found = find_factors(draws, losses, n_nulls=99)
    assert found.n_factors == n_factors
    leading = {int(np.abs(found.columns[:, f]).argmax()) // 3 for f in range(n_factors)}
    assert leading == set(range(n_factors))


def test_without_an_answer_there_is_seldom_a_factor():
    counts = [find_factors(*planted(0, seed), n_nulls=39, seed=seed).n_factors for seed in range(20)]
    assert sum(count > 0 for count in counts) <= 4


def wander(rng: np.random.Generator, n: int) -> np.ndarray:
    """Two chains of AR(1), coefficient .8."""
    chain = rng.standard_normal((2, 200, n))
    for i in range(1, 200):
        chain[:, i] += 0.8 * chain[:, i - 1]
    return chain


def test_losses_that_move_together_make_no_factor_of_components_that_do_not_move_with_them():
    """Their chance covariances agree over all losses, which permuted columns take for structure."""
    names, by_permutation, by_both = tuple(map(str, range(12))), 0, 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        losses = wander(rng, 1) * np.repeat([1.0, -1.0], 5) + 0.01 * rng.standard_normal((2, 200, 10))
        found = find_factors(Draws(wander(rng, 12), np.zeros((2, 200)), names), losses, n_nulls=59)
        by_permutation += bool(found.values[0] > found.permuted[0])
        by_both += found.n_factors > 0
    assert by_permutation == 20 and by_both <= 4


def test_the_first_bound_comes_from_the_columns_own_entries():
    matrix = np.diag([5.0, 1.0, 1.0])
    assert (permuted_values(matrix, 20, 0)[:, 0] >= 5).all()
    assert (permuted_values(matrix, 20, 0)[:, 1] < 2).all()


def test_the_count_ends_at_the_first_below():
    assert count_above(np.array([3.0, 1, 2]), np.array([2.0, 2, 1])) == 1
    assert count_above(np.array([3.0, 2]), np.array([2.0, 1])) == 2


def test_one_column_has_no_factors():
    draws, losses = planted(1)
    with pytest.raises(SusceptibilityError, match="two of either"):
        find_factors(draws, losses[..., :1])
