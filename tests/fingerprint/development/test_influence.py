"""Influence against closed forms, exact leave-one-out retraining, and planted structure."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import rankdata
from torch.nn import functional as F

from fingerprint.development.config import SamplerConfig
from fingerprint.development.influence import (
    InfluenceError,
    bayesian_influence,
    by_unit,
    correlation,
    group_influence,
    jackknife,
    matched_contrast,
    observable_influence,
    require_small,
    self_effect,
)
from fingerprint.development.influence_config import InfluenceConfig
from fingerprint.development.sampling import sample
from fingerprint.evaluation.metrics import auroc


def pearson(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.corrcoef(first.ravel(), second.ravel())[0, 1])


def spearman(first: np.ndarray, second: np.ndarray) -> float:
    return pearson(rankdata(first.ravel()), rankdata(second.ravel()))


# --------------------------------------------------------------------------- Bayesian linear regression


class Regression:
    """y = X w + noise of variance sigma^2, prior N(0, 1): everything in closed form."""

    def __init__(self, n: int = 24, d: int = 4, sigma: float = 0.7, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.X = rng.standard_normal((n, d))
        self.sigma = sigma
        self.y = self.X @ rng.standard_normal(d) + sigma * rng.standard_normal(n)

    def posterior(self, kept: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        X, y = self.X[kept], self.y[kept]
        cov = np.linalg.inv(X.T @ X / self.sigma**2 + np.eye(X.shape[1]))
        return cov @ X.T @ y / self.sigma**2, cov

    def losses(self, w: np.ndarray) -> np.ndarray:
        return (self.y - w @ self.X.T) ** 2 / (2 * self.sigma**2)

    def covariance(self) -> np.ndarray:
        """[r_i r_j k_ij + k_ij^2 / 2] / sigma^4, with k = X Sigma X' and r the residuals at the mean."""
        mean, cov = self.posterior(np.arange(len(self.y)))
        k, r = self.X @ cov @ self.X.T, self.y - self.X @ mean
        return (np.outer(r, r) * k + k**2 / 2) / self.sigma**4

    def left_out(self) -> np.ndarray:
        """Exact change of the posterior mean loss of j when i is left out."""
        every = np.arange(len(self.y))

        def expected(kept: np.ndarray) -> np.ndarray:
            mean, cov = self.posterior(kept)
            spread = np.einsum("nd,de,ne->n", self.X, cov, self.X)
            return ((self.y - self.X @ mean) ** 2 + spread) / (2 * self.sigma**2)

        whole = expected(every)
        return np.stack([expected(every[every != i]) - whole for i in every])


def test_influence_of_exact_draws_is_the_closed_form():
    problem = Regression()
    mean, cov = problem.posterior(np.arange(24))
    w = np.random.default_rng(1).multivariate_normal(mean, cov, size=(4, 20_000))
    found, exact = -bayesian_influence(problem.losses(w)), problem.covariance()
    assert pearson(found.ravel(), exact.ravel()) > 0.999
    assert np.polyfit(exact.ravel(), found.ravel(), 1)[0] == pytest.approx(1, abs=0.03)


def test_the_closed_form_is_first_order_leaving_one_out():
    problem = Regression()
    exact, first_order = problem.left_out(), problem.covariance()
    off = ~np.eye(24, dtype=bool)
    assert pearson(first_order[off], exact[off]) > 0.98


def test_influence_of_sampled_draws_is_the_closed_form():
    problem = Regression()
    n, prior = len(problem.y), 1.0
    X, y = torch.tensor(problem.X), torch.tensor(problem.y)
    w = torch.zeros(4, dtype=torch.float64)

    def losses() -> torch.Tensor:
        return (y - X @ w) ** 2 / (2 * problem.sigma**2)

    cfg = SamplerConfig(
        n_beta=n, gamma=1e-6, n_chains=4, n_draws=1000, burn_in=100, step_share=0.5, preconditioner="none"
    )
    mean, _ = problem.posterior(np.arange(n))
    trace = sample(
        {"w": w}, {"w": torch.tensor(mean)}, lambda _: losses().mean() + prior * (w @ w) / (2 * n),
        lambda: {"loss": losses().mean(), "losses": losses()}, cfg,
    )  # fmt: skip
    found, exact = -bayesian_influence(trace.of("losses")), problem.covariance()
    assert pearson(found.ravel(), exact.ravel()) > 0.95


# -------------------------------------------------------------- a convex LoRA: B trained, A and head frozen


class ConvexLora:
    """Logits = head (h + B A h) with B alone trained, softmax loss and a ridge: convex in B."""

    N, D, R, V = 30, 16, 8, 6
    RIDGE = 0.1

    def __init__(self, seed: int = 0) -> None:
        g = torch.Generator().manual_seed(seed)
        self.h = torch.randn(self.N, self.D, generator=g, dtype=torch.float64)
        self.A = torch.randn(self.R, self.D, generator=g, dtype=torch.float64) / self.D**0.5
        self.head = torch.randn(self.V, self.D, generator=g, dtype=torch.float64) / self.D**0.5
        teacher = torch.randn(self.V, self.D, generator=g, dtype=torch.float64)
        self.targets = torch.multinomial((self.h @ teacher.T).softmax(-1), 1, generator=g)[:, 0]
        self.B = torch.zeros(self.D, self.R, dtype=torch.float64)

    def losses(self, B: torch.Tensor) -> torch.Tensor:
        logits = (self.h + self.h @ self.A.T @ B.T) @ self.head.T
        return F.cross_entropy(logits, self.targets, reduction="none")

    def objective(self, B: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
        return self.losses(B)[kept].sum() + self.N * self.RIDGE / 2 * B.square().sum()

    def fit(self, kept: torch.Tensor, start: torch.Tensor) -> torch.Tensor:
        B = start.clone().requires_grad_(True)
        solver = torch.optim.LBFGS([B], max_iter=300, tolerance_grad=1e-9, line_search_fn="strong_wolfe")

        def closure() -> torch.Tensor:
            solver.zero_grad()
            loss = self.objective(B, kept)
            loss.backward()
            return loss

        solver.step(closure)
        return B.detach()


def sampled_convex() -> tuple[ConvexLora, np.ndarray, np.ndarray, float]:
    """Losses along draws around the optimum, and the exact leave-one-out changes."""
    problem = ConvexLora()
    every = torch.arange(problem.N)
    star = problem.fit(every, problem.B)
    whole = problem.losses(star)
    exact = torch.stack([problem.losses(problem.fit(every[every != i], star)) - whole for i in every])
    n_beta = 10.0 * problem.N  # cold, so that the posterior is the neighbourhood that retraining stays in
    B = problem.B
    cfg = SamplerConfig(
        n_beta=n_beta, gamma=1e-3, n_chains=4, n_draws=700, burn_in=100, steps_between=3, step_share=0.5,
        preconditioner="none",
    )  # fmt: skip
    trace = sample(
        {"B": B}, {"B": star}, lambda _: problem.objective(B, every) / problem.N,
        lambda: {"loss": problem.losses(B).mean(), "losses": problem.losses(B)}, cfg,
    )  # fmt: skip
    return problem, trace.of("losses"), exact.numpy(), n_beta


def test_influence_ranks_as_leaving_one_out_and_retraining_in_the_convex_case():
    problem, losses, exact, n_beta = sampled_convex()
    influence = n_beta / problem.N * -bayesian_influence(losses)
    assert spearman(influence.ravel(), exact.ravel()) >= 0.8
    off = ~np.eye(problem.N, dtype=bool)
    assert spearman(influence[off], exact[off]) >= 0.8
    effect = self_effect(losses, np.full(problem.N, 1 / problem.N), n_beta, 0.5)
    assert effect.median == pytest.approx(float(np.median(np.diag(exact))), rel=0.5)
    assert effect.is_small


# ------------------------------------------------------------------------------------- structure, by hand


def draws_of(
    loadings: np.ndarray, noise: float, seed: int = 0, shape: tuple[int, int] = (4, 300)
) -> np.ndarray:
    """Losses as sums of independent factors, loadings [n, factors], plus noise."""
    rng = np.random.default_rng(seed)
    factors = rng.standard_normal((*shape, loadings.shape[1]))
    return factors @ loadings.T + noise * rng.standard_normal((*shape, len(loadings)))


def test_a_duplicated_sample_correlates_fully_with_its_copy():
    losses = draws_of(np.eye(3), 0.3)
    both = np.concatenate([losses, losses[..., :1]], axis=-1)
    assert correlation(both)[0, 3] == pytest.approx(1, abs=1e-12)
    assert bayesian_influence(both)[0, 3] == pytest.approx(bayesian_influence(both)[0, 0])


def test_planted_clusters_come_out():
    cluster = np.repeat(np.arange(4), 6)
    R = correlation(draws_of(np.eye(4)[cluster], noise=1.5))
    same = (cluster[:, None] == cluster[None]) & ~np.eye(24, dtype=bool)
    other = cluster[:, None] != cluster[None]
    assert auroc(R[same], R[other]) > 0.95


def test_what_never_moves_has_no_influence():
    """A base paired with itself: the log-ratio is 0 at every draw, up to rounding."""
    losses = draws_of(np.eye(5), 0.1)
    itself = losses - losses
    assert np.all(observable_influence(losses, itself) == 0)
    still = np.full_like(losses, 2.3)
    assert np.all(correlation(still) == 0)
    assert np.all(correlation(still + 1e-15 * losses) == 0)


def test_an_observable_is_read_with_its_sign():
    losses = draws_of(np.array([[1.0, 0], [-1, 0], [0, 1]]), 0.0)
    found = observable_influence(losses, 2 * losses[..., :1])
    assert found[0, 0] < -1.5
    assert found[1, 0] > 1.5
    assert abs(found[2, 0]) < 0.3


def test_group_influence_is_the_mean_of_the_entries_between_units():
    losses = draws_of(np.random.default_rng(3).standard_normal((8, 3)), 0.5)
    units = np.array([0, 0, 1, 2, 0, 1, 1, 2])
    a, b = np.array([0, 1, 2, 3]), np.array([4, 5, 6, 7])
    for sources, targets in ((a, b), (a, a)):
        entries = bayesian_influence(losses)[np.ix_(sources, targets)]
        apart = units[sources][:, None] != units[targets][None]
        assert group_influence(losses, sources, targets, units) == pytest.approx(entries[apart].mean())


def test_group_influence_without_terms_is_no_number():
    losses = draws_of(np.eye(2), 0.1)
    one = np.zeros(2, dtype=int)
    assert np.isnan(group_influence(losses, np.array([0]), np.array([1]), one))


def test_the_jackknife_of_a_mean_is_its_standard_error():
    draws = np.random.default_rng(0).standard_normal((6, 1, 1))
    found = jackknife(lambda d: float(d.mean()), draws)
    assert found.value == pytest.approx(draws.mean())
    assert found.se == pytest.approx(draws.std(ddof=1) / 6**0.5)
    assert found.half_width == pytest.approx(2.571 * found.se, rel=1e-3)  # Student's t, 5 degrees of freedom
    assert found.n_parts == 6


def test_one_chain_in_one_piece_has_no_error():
    found = jackknife(lambda d: float(d.mean()), np.ones((1, 10, 1)))
    assert np.isnan(found.se)
    assert not found.excludes_zero


def test_blocks_cover_autocorrelated_chains_when_they_are_long_enough():
    """AR(1) with time 2 / (1 - rho): blocks of 75 draws see it, single draws would not."""
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(100):
        noise, chain = rng.standard_normal((2, 300)), np.zeros((2, 300))
        for t in range(1, 300):
            chain[:, t] = 0.8 * chain[:, t - 1] + noise[:, t]
        found = jackknife(lambda d: float(d.mean()), chain[..., None], blocks_per_chain=4)
        covered += abs(found.value) <= found.half_width
    assert 0.88 <= covered / 100 <= 1.0


# ----------------------------------------------------------------------------------------------- pairs


def test_planted_pairs_stand_out_against_shuffled_pairing():
    partner = np.tile(np.arange(8), 2)
    losses = draws_of(np.eye(8)[partner], noise=1.0)
    first, second = np.arange(8), np.arange(8, 16)
    found = matched_contrast(losses, first, second, partner, InfluenceConfig(n_shuffles=500))
    assert found.matched == pytest.approx(0.5, abs=0.1)
    assert abs(found.shuffled) < 0.05
    assert found.p_value < 0.01
    assert found.difference.excludes_zero


def test_unrelated_pairs_do_not():
    losses = draws_of(np.ones((16, 1)), noise=1.0)  # all share one factor: R is high everywhere
    first, second, units = np.arange(8), np.arange(8, 16), np.tile(np.arange(8), 2)
    found = matched_contrast(losses, first, second, units, InfluenceConfig(n_shuffles=500))
    assert found.matched > 0.4
    assert abs(found.difference.value) < 0.05
    assert found.p_value > 0.01


def test_partners_of_one_task_are_refused():
    losses = draws_of(np.eye(4), 0.1)
    with pytest.raises(InfluenceError, match="at least 3 tasks"):
        matched_contrast(
            losses, np.array([0, 1]), np.array([2, 3]), np.zeros(4, dtype=int), InfluenceConfig()
        )


# ------------------------------------------------------------------------------------------- the author form


def test_a_unit_is_the_token_weighted_mean_of_its_windows():
    losses = np.array([[[1.0, 3.0, 10.0]]])
    found = by_unit(losses, np.array([0, 0, 1]), np.array([1, 3, 5]))
    assert found.tolist() == [[[2.5, 10.0]]]


def test_large_self_effects_are_refused():
    losses = draws_of(np.eye(4), 0.0)
    effect = self_effect(losses, np.full(4, 0.25), n_beta=200.0, limit=0.5)
    assert effect.median == pytest.approx(50, rel=0.2)  # 200 x 1/4 x a variance of 1
    with pytest.raises(InfluenceError, match="memorisation"):
        require_small(effect, "step 9")
    require_small(self_effect(losses, np.full(4, 0.25), n_beta=1.0, limit=0.5), "step 9")
