"""chi against closed forms under Gaussian posteriors; errors against repetition; opposite responders."""

from __future__ import annotations

import numpy as np
import pytest

from fingerprint.development.susceptibility import (
    Draws,
    Response,
    SusceptibilityError,
    block_of,
    measure_response,
    opposite_responders,
)


def gaussian(n_draws: int, seed: int = 0, d: int = 6):
    """Draws of w ~ N(mu, Sigma), observables a.w, quadratic losses; the exact chi beside them."""
    rng = np.random.default_rng(7)
    root = rng.standard_normal((d, d)) / 2
    sigma, mu = root @ root.T, rng.standard_normal(d)
    a = rng.standard_normal((4, d))
    hessians = [h @ h.T / d for h in rng.standard_normal((4, d, d))]
    centres = rng.standard_normal((4, d))
    w = np.random.default_rng(seed).multivariate_normal(mu, sigma, (2, n_draws))
    losses = np.stack(
        [0.5 * np.einsum("cti,ij,ctj->ct", w - m, h, w - m) for h, m in zip(hessians, centres, strict=True)],
        -1,
    )
    gradients = np.stack([h @ (mu - m) for h, m in zip(hessians, centres, strict=True)])
    exact = -a @ sigma @ (gradients[:3] - gradients[3]).T
    draws = Draws(w @ a.T, losses[..., 3], ("a", "b", "c", "d"))
    return draws, losses[..., :3], exact


def test_chi_of_a_gaussian_posterior_is_its_closed_form():
    draws, losses, exact = gaussian(20_000)
    found = measure_response(draws, losses)
    assert np.corrcoef(found.chi.ravel(), exact.ravel())[0, 1] > 0.9995
    assert (np.abs(found.chi - exact) < 5 * found.error).all()


def test_standard_errors_are_those_of_repetition():
    runs = [measure_response(*gaussian(100, seed)[:2]) for seed in range(150)]
    spread = np.std([run.chi for run in runs], axis=0)
    claimed = np.sqrt(np.mean([run.error**2 for run in runs], axis=0))
    np.testing.assert_allclose(claimed / spread, 1, atol=0.35)


def test_errors_see_that_draws_are_correlated():
    """An AR(1) chain of coefficient .9 holds a tenth of its draws in independent ones."""
    rng = np.random.default_rng(3)
    w = np.zeros((2, 2000, 2))
    for i in range(1, 2000):
        w[:, i] = 0.9 * w[:, i - 1] + rng.standard_normal((2, 2))
    draws = Draws(w[..., :1], np.zeros((2, 2000)), ("x",))
    by_blocks = measure_response(draws, w[..., 1:]).error[0, 0]
    as_if_free = measure_response(draws, w[..., 1:], n_blocks=2000).error[0, 0]
    assert by_blocks > 1.8 * as_if_free


def test_chi_of_a_data_set_is_the_mean_of_its_tokens():
    draws, losses, _ = gaussian(200)
    whole = measure_response(draws, losses.mean(-1, keepdims=True)).chi[:, 0]
    np.testing.assert_allclose(measure_response(draws, losses).chi.mean(1), whole)


def test_the_training_text_itself_shifts_nothing():
    draws, _, _ = gaussian(200)
    found = measure_response(draws, draws.loss[..., None])
    assert np.abs(found.chi).max() == 0 and np.abs(found.z).max() == 0


def response(z: list[list[float]]) -> Response:
    return Response(np.array(z), np.ones((len(z), 2)), 10)


def test_opposite_responders_are_those_that_answer_to_both_with_opposite_signs():
    rows = opposite_responders(
        response([[9, -9], [9, 9], [9, 0], [-8, 8], [0.1, -0.1]]),
        ["opposite", "same", "one", "turned", "none"], 0, 1,
    )  # fmt: skip
    assert {row.component for row in rows if row.is_opposite} == {"opposite", "turned"}
    assert rows[0].p_value <= rows[-1].p_value


def test_false_opposites_among_components_without_an_answer_are_rare():
    rng = np.random.default_rng(0)
    n = sum(
        row.is_opposite
        for _ in range(50)
        for row in opposite_responders(
            response(rng.standard_t(9, (40, 2)).tolist()), [str(i) for i in range(40)], 0, 1
        )
    )
    assert n <= 2


def test_blocks_never_mix_chains_and_too_few_draws_are_refused():
    assert block_of(2, 10, 4).tolist() == [0] * 5 + [1] * 5 + [2] * 5 + [3] * 5
    with pytest.raises(SusceptibilityError, match="draw more"):
        block_of(2, 9, 10)
    with pytest.raises(SusceptibilityError, match="diverged"):
        Draws(np.full((1, 4, 1), np.nan), np.zeros((1, 4)), ("x",))
    draws, losses, _ = gaussian(40)
    with pytest.raises(SusceptibilityError, match="2 x 40"):
        measure_response(draws, losses[:, 1:])
