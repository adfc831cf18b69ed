"""Learning coefficients that are known, and diagnostics on series whose faults are planted."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fingerprint.development.config import SamplerConfig
from fingerprint.development.gauge import canonical_lora
from fingerprint.development.llc import (
    batch_error,
    chain_error,
    effective_draws,
    late_drift,
    learning_coefficient,
    split_r_hat,
)
from fingerprint.development.reduced_rank import reduced_rank_coefficient
from fingerprint.development.sampling import sample
from fingerprint.development.trace import Trace

COPIES = 64


def noise(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def autoregressive(phi: float, n_chains: int, n: int) -> np.ndarray:
    steps, values = noise(0, n_chains, n), np.zeros((n_chains, n))
    for t in range(1, n):
        values[:, t] = phi * values[:, t - 1] + steps[:, t]
    return values


def made_up(values: np.ndarray, n_params: int = 100) -> Trace:
    """A trace whose n beta (L - L*) is the given array."""
    return Trace(
        {"loss": 2.0 + values / 50}, {"loss": np.array(2.0)}, values, (), n_params, 1e-4, 1.0, 0.1, 50.0, 1.0,
        0.0,
    )  # fmt: skip


@pytest.mark.parametrize("phi", [0.0, 0.5, 0.9])
def test_effective_draws_of_a_first_order_series(phi: float):
    values = autoregressive(phi, 4, 4000)
    assert effective_draws(values) == pytest.approx(16_000 * (1 - phi) / (1 + phi), rel=0.2)
    error = (values.var() / effective_draws(values)) ** 0.5
    assert batch_error(values) == pytest.approx(error, rel=0.35)
    assert split_r_hat(values) == pytest.approx(1, abs=0.02)


def test_chains_at_different_heights_are_told():
    values = noise(0, 4, 400) + 2 * np.arange(4)[:, None]
    assert split_r_hat(values) > 1.5
    assert effective_draws(values) < 20
    assert chain_error(values) > 5 * batch_error(noise(0, 4, 400))
    found = learning_coefficient(made_up(values + 10))
    assert "chains disagree" in found.flags and found.se == pytest.approx(found.se_chains)


def test_a_drift_in_the_second_half_is_told():
    steady = noise(1, 4, 400)
    slope, se = late_drift(steady + 4 * np.linspace(-1, 1, 400))
    assert slope == pytest.approx(4, abs=4 * se) and slope > 5 * se
    assert "still drifting" in learning_coefficient(made_up(steady + 20 + np.linspace(0, 9, 400))).flags
    assert "still drifting" not in learning_coefficient(made_up(steady + 20)).flags


def test_negative_is_flagged_and_kept_and_above_half_the_parameters_is_refused():
    below = learning_coefficient(made_up(noise(0, 2, 100) - 7))
    assert below.value == pytest.approx(-7, abs=0.5) and not below.is_refused
    assert any(flag.startswith("negative") for flag in below.flags)
    above = learning_coefficient(made_up(noise(0, 2, 100) + 60))
    assert above.is_refused and above.value > 50 and any("d/2" in flag for flag in above.flags)
    assert learning_coefficient(made_up(noise(0, 2, 100) + 40)).flags == ()


def test_one_chain_has_no_error_of_chains():
    found = learning_coefficient(made_up(noise(0, 1, 100) + 40))
    assert np.isnan(found.se_chains) and found.se == found.se_batches


# --------------------------------------------------------------------------------- known coefficients


def coefficient(loss, params: dict, cfg: SamplerConfig, copies: int = 1, **options) -> float:
    star = {name: w.detach().clone() for name, w in params.items()}
    trace = sample(params, star, lambda _: loss(), lambda: {"loss": loss()}, cfg, **options)
    return learning_coefficient(trace).value / copies


BLOCKS = SamplerConfig(n_beta=1e3, gamma=1.0, n_chains=1, n_draws=100, burn_in=400, steps_between=3)


def test_blocks_add_up_and_a_dead_parameter_has_none():
    u, v, dead = torch.zeros(COPIES, 4), torch.zeros(COPIES, 6), torch.zeros(5)
    loss = lambda: 0.5 * u.square().sum() + v.square().sum() + 0 * dead.sum()  # noqa: E731
    first, second, both, none = (
        coefficient(loss, params, BLOCKS, COPIES)
        for params in ({"u": u}, {"v": v}, {"u": u, "v": v}, {"dead": dead})
    )
    assert none == 0
    assert first == pytest.approx(2, rel=0.1) and second == pytest.approx(3, rel=0.1)
    assert both == pytest.approx(first + second, rel=0.05)
    half = torch.arange(6) < 3
    masks = {"v": half.expand(COPIES, 6)}
    assert coefficient(loss, {"v": v}, BLOCKS, COPIES, masks=masks) == pytest.approx(1.5, rel=0.1)


@pytest.mark.parametrize(
    ("M", "N", "r", "r0", "wanted"),
    [(8, 8, 2, 2, 14), (8, 8, 2, 1, 11), (8, 8, 2, 0, 7.5), (8, 6, 3, 1, 11.5)],
)
def test_the_coefficient_of_reduced_rank_regression(M: int, N: int, r: int, r0: int, wanted: float):
    assert reduced_rank_coefficient(M, N, r, r0) == wanted


def test_the_cases_outside_the_triangle():
    """Aoyagi & Watanabe 2005, cases 2 to 4, by hand: r M / 2, r N / 2 and M N / 2 at true rank 0."""
    assert reduced_rank_coefficient(2, 9, 3, 0) == 3 * 2 / 2
    assert reduced_rank_coefficient(9, 2, 3, 0) == 3 * 2 / 2
    assert reduced_rank_coefficient(2, 2, 9, 0) == 2 * 2 / 2


@pytest.mark.slow
@pytest.mark.parametrize(("M", "N", "r", "r0"), [(8, 8, 2, 2), (8, 8, 2, 1), (8, 8, 2, 0), (8, 6, 3, 1)])
def test_the_coefficient_of_a_lora_reads_how_much_rank_is_used(M: int, N: int, r: int, r0: int):
    generator = torch.Generator().manual_seed(0)
    copies = 16
    Q = torch.linalg.qr(torch.randn(N, max(r0, 1), generator=generator)).Q[:, :r0]
    P = torch.linalg.qr(torch.randn(M, max(r0, 1), generator=generator)).Q[:, :r0]
    teacher = Q @ P.T
    A, B = canonical_lora(torch.cat([P.T, torch.zeros(r - r0, M)]), torch.cat([Q, torch.zeros(N, r - r0)], 1))
    params = {"A": A.expand(copies, r, M).clone(), "B": B.expand(copies, N, r).clone()}

    def loss():  # x ~ N(0, 1): the expected loss, exactly
        return 0.5 * (params["B"] @ params["A"] - teacher).square().sum()

    cfg = SamplerConfig(  # the curvature at an unused rank is zero: no step size can be measured there
        n_beta=1e4, gamma=1.0, n_chains=1, n_draws=200, burn_in=8000, steps_between=20,
        preconditioner="none", step_size=6e-6,
    )  # fmt: skip
    assert coefficient(loss, params, cfg, copies) == pytest.approx(
        reduced_rank_coefficient(M, N, r, r0), abs=0.6
    )


def test_canonical_factors_give_the_same_matrix_whatever_the_gauge():
    generator = torch.Generator().manual_seed(1)
    A, B = torch.randn(3, 7, generator=generator), torch.randn(5, 3, generator=generator)
    G = torch.randn(3, 3, generator=generator)
    one, other = canonical_lora(A, B), canonical_lora(G @ A, B @ torch.linalg.inv(G))
    torch.testing.assert_close(one[1] @ one[0], B @ A, atol=1e-4, rtol=1e-4)
    for mine, yours in zip(one, other, strict=True):
        torch.testing.assert_close(mine, yours, atol=2e-4, rtol=2e-4)
    torch.testing.assert_close(one[0] @ one[0].T, one[1].T @ one[1], atol=1e-4, rtol=1e-4)
