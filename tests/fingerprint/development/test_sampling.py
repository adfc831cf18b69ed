"""The sampler against known laws: quadratics in closed form, a crossing by quadrature, published steps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from scipy import integrate

from fingerprint import FingerprintError
from fingerprint.development import sampling
from fingerprint.development.config import SamplerConfig
from fingerprint.development.losses import (
    batch_loss,
    choose_windows,
    observe_windows,
    windows_of_length,
)
from fingerprint.development.sampling import DivergedError, langevin_step, sample
from fingerprint.development.trace import Trace, TraceError
from fingerprint.lm.tokens import mean_loss, pad_batch, tokenize_passages
from fingerprint.passage import passage_from_lines

H = torch.logspace(-1, 1, 20)
COPIES = 200
"""Independent copies of a problem in one tensor: a step costs the same, the error falls by the root."""
QUADRATIC = SamplerConfig(
    n_beta=100, gamma=10, n_chains=2, n_draws=250, burn_in=1500, steps_between=3, preconditioner="none",
    gradient_batches=1,
)  # fmt: skip


def run(loss, start, cfg: SamplerConfig, **options) -> Trace:
    w = start.clone().requires_grad_(True)
    observe = lambda: {"loss": loss(w), "w": w.detach().clone()}  # noqa: E731
    return sample({"w": w}, {"w": start}, lambda _: loss(w), observe, cfg, **options)


def scaled_excess(trace: Trace) -> np.ndarray:
    """N beta (L - L*) of every draw, [chain, draw]."""
    return trace.n_beta * (trace.of("loss") - trace.at_star["loss"])


def quadratic(w):
    return 0.5 * (H * w.square()).sum()


def excess_of_quadratic(cfg: SamplerConfig, step_size: float) -> float:
    """Sum of nb h / (2 (nb h + gamma)), each term larger by the step's bias 1 / (1 - eps a / 4)."""
    a = cfg.n_beta * H.double() + cfg.gamma
    return float((0.5 * cfg.n_beta * H.double() / a / (1 - step_size * a / 4)).sum())


@pytest.mark.parametrize("share", [0.25, 1.0])
def test_a_quadratic_with_its_step_bias(share: float):
    cfg = QUADRATIC.model_copy(update={"step_share": share})
    trace = run(quadratic, torch.zeros(COPIES, 20), cfg)
    wanted = excess_of_quadratic(cfg, trace.step_size)
    assert scaled_excess(trace).mean() / COPIES == pytest.approx(wanted, rel=0.01)
    assert wanted > 1.015 * excess_of_quadratic(cfg, 0.0)
    assert trace.curvature == pytest.approx(10.0, rel=0.03)
    assert trace.step_size == pytest.approx(share / (100 * trace.curvature + 10))
    assert trace.n_params == COPIES * 20 and trace.gradient_norm == 0


def test_a_frozen_preconditioner_keeps_the_law_and_mixes_faster():
    """Gradients as large as the curvature make G nearly its inverse: flat directions move in larger steps."""
    start = torch.full((COPIES, 20), 0.1)
    exact = 0.5 * shares(QUADRATIC).sum()
    centre = QUADRATIC.gamma * 0.1 / (QUADRATIC.n_beta * H + QUADRATIC.gamma)
    shifted = QUADRATIC.n_beta * 0.5 * (H * (centre.square() - 0.01)).sum()
    cfg = QUADRATIC.model_copy(update={"preconditioner": "frozen", "burn_in": 300, "step_share": 0.1})
    trace = run(quadratic, start, cfg)
    assert scaled_excess(trace).mean() / COPIES == pytest.approx(float(exact + shifted), rel=0.05)
    short = cfg.model_copy(update={"burn_in": 60, "n_draws": 5})
    plain = run(quadratic, start, short.model_copy(update={"preconditioner": "none"}))
    left = [abs(t.of("w")[..., 0].mean() - float(centre[0])) for t in (run(quadratic, start, short), plain)]
    assert left[0] < 0.5 * left[1]


def shares(cfg: SamplerConfig):
    return cfg.n_beta * H / (cfg.n_beta * H + cfg.gamma)


def test_minibatch_noise_inflates_the_variance_as_the_formula_says():
    """Var inflation 1 + (eps / 4) Var(n beta grad l_m), for gradient noise of a known variance."""
    sigma, cfg = 0.4, QUADRATIC.model_copy(update={"step_share": 0.5, "burn_in": 100, "steps_between": 8})
    w = torch.zeros(COPIES, requires_grad=True)

    def batches(generator):
        return 0.5 * w.square().sum() + sigma * torch.randn(COPIES, generator=generator) @ w

    observe = lambda: {"loss": w.square().sum()}  # noqa: E731
    trace = sample({"w": w}, {"w": torch.zeros(COPIES)}, batches, observe, cfg)
    a, eps = cfg.n_beta + cfg.gamma, trace.step_size
    wanted = (1 + eps / 4 * (cfg.n_beta * sigma) ** 2) / (a * (1 - eps * a / 4))
    assert trace.of("loss").mean() / COPIES == pytest.approx(wanted, rel=0.03)
    assert wanted > 1.5 / (a * (1 - eps * a / 4))


@pytest.mark.parametrize(("gamma", "step", "burn"), [(1.0, 2e-4, 4000), (10.0, 1e-4, 3000)])
def test_a_normal_crossing_by_quadrature(gamma: float, step: float, burn: int):
    """K = w1^2 w2^2: asymptotics are useless at a finite n beta, the integral is not."""
    cfg = SamplerConfig(
        n_beta=1e3, gamma=gamma, n_chains=1, n_draws=200, burn_in=burn, preconditioner="none", step_size=step,
        steps_between=5,
    )  # fmt: skip

    def stiffness(x):  # the law of w2 given w1 = x is normal with this inverse variance, halved
        return 1e3 * x * x + gamma / 2

    def law(x):
        return np.exp(-gamma / 2 * x * x) / stiffness(x) ** 0.5

    top = integrate.quad(lambda x: 1e3 * x * x / (2 * stiffness(x)) * law(x), 0, 8 / gamma**0.5)[0]
    exact = top / integrate.quad(law, 0, 8 / gamma**0.5)[0]
    assert exact == pytest.approx({1.0: 0.3903, 10.0: 0.2903}[gamma], abs=2e-3)
    loss = lambda w: (w[..., 0] * w[..., 1]).square().sum()  # noqa: E731
    seen = scaled_excess(run(loss, torch.zeros(4 * COPIES, 2), cfg)).mean() / (4 * COPIES)
    assert seen == pytest.approx(exact, abs=0.035)  # the step's bias, .02 at gamma = 1, and the error


SHORT = QUADRATIC.model_copy(update={"n_draws": 30, "burn_in": 10, "steps_between": 1})


def test_scaling_the_loss_and_its_temperature_changes_no_draw():
    cfg = SHORT.model_copy(update={"preconditioner": "frozen"})
    start = torch.linspace(-1, 1, 20)
    whole = run(quadratic, start, cfg)
    tenth = run(lambda w: 8 * quadratic(w), start, cfg.model_copy(update={"n_beta": cfg.n_beta / 8}))
    np.testing.assert_allclose(whole.of("w"), tenth.of("w"), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(scaled_excess(whole), scaled_excess(tenth), rtol=1e-3, atol=1e-3)


def published(kind: str, start: torch.Tensor, cfg: SamplerConfig, noises: list[torch.Tensor]):
    """The update as the papers print it, written out once more."""
    w, V, path = start.clone(), torch.zeros_like(start), []
    for noise in noises:
        g = H * w
        V = cfg.rmsprop_alpha * V + (1 - cfg.rmsprop_alpha) * g**2
        eps = (cfg.step_size or 0) * (1 / (V.sqrt() + cfg.rmsprop_eps) if kind == "rmsprop" else 1.0)
        pull = cfg.n_beta * g + cfg.gamma * (w - start)
        w = w - eps / 2 * pull + torch.as_tensor(eps).sqrt() * noise
        path.append(w)
    return torch.stack(path)


@pytest.mark.parametrize("kind", ["none", "rmsprop"])
def test_parity_with_the_published_three_lines(kind):
    cfg = SHORT.model_copy(
        update={"preconditioner": kind, "step_size": 1e-4, "n_draws": 60, "burn_in": 0, "n_chains": 1}
    )
    start = torch.linspace(-1, 1, 20)
    trace = run(quadratic, start, cfg, label="a")
    generator = torch.Generator().manual_seed(sampling._seed(cfg, "a", 0))
    wanted = published(kind, start, cfg, [torch.randn(20, generator=generator) for _ in range(60)])
    np.testing.assert_allclose(trace.of("w")[0], wanted.numpy(), atol=1e-6)


@pytest.mark.parametrize("kind", ["none", "rmsprop"])
def test_parity_with_devinterp_where_it_is_installed(kind):
    """Version 2.0.1; no dependency of ours, for it pulls 300 MB."""
    SGMCMC = pytest.importorskip("devinterp.optim").SGMCMC
    cfg = SHORT.model_copy(
        update={"preconditioner": kind, "step_size": 1e-4, "n_draws": 60, "burn_in": 0, "n_chains": 1}
    )
    start = torch.linspace(-1, 1, 20)
    trace = run(quadratic, start, cfg, label="a")
    generator, w, path = torch.Generator().manual_seed(sampling._seed(cfg, "a", 0)), start.clone(), []
    dials = {"lr": cfg.step_size, "nbeta": cfg.n_beta, "localization": cfg.gamma}
    w.requires_grad_()
    if kind == "none":
        optimiser = SGMCMC.sgld([w], **dials)
    else:
        optimiser = SGMCMC.rmsprop_sgld([w], **dials, alpha=cfg.rmsprop_alpha, eps=cfg.rmsprop_eps)
    for _ in range(60):
        optimiser.zero_grad()
        quadratic(w).backward()
        optimiser.step(noise_generator=generator)
        path.append(w.detach().clone())
    np.testing.assert_allclose(trace.of("w")[0], torch.stack(path).numpy(), atol=1e-6)


def test_rmsprop_without_a_step_size_is_refused():
    with pytest.raises(ValidationError, match="rmsprop needs a step_size"):
        SamplerConfig(preconditioner="rmsprop")


def test_only_what_a_mask_allows_moves_and_everything_comes_back():
    u, v = torch.zeros(20, requires_grad=False), torch.full((3,), 2.0)
    mask = torch.arange(20) < 5
    observe = lambda: {"loss": quadratic(u) + v.square().sum(), "u": u.clone(), "v": v.clone()}  # noqa: E731
    cfg = SHORT
    star = {"u": torch.ones(20)}
    trace = sample({"u": u}, star, lambda _: quadratic(u), observe, cfg, masks={"u": mask})
    assert trace.n_params == 5
    moved = np.abs(trace.of("u") - 1).max((0, 1)) > 0
    assert moved.tolist() == mask.tolist()
    assert torch.equal(u, torch.zeros(20)) and not u.requires_grad


def test_chains_do_not_depend_on_order_or_on_what_ran_before(tmp_path: Path):
    cfg = SHORT
    start = torch.ones(20)
    whole = run(quadratic, start, cfg, label="step 8")
    torch.manual_seed(99)
    run(quadratic, start, cfg, label="step 16")
    first = run(quadratic, start, cfg.model_copy(update={"n_chains": 1}), label="step 8", store=tmp_path)
    resumed = run(quadratic, start, cfg, label="step 8", store=tmp_path)
    assert np.array_equal(first.of("w")[0], whole.of("w")[0])
    assert np.array_equal(resumed.of("w"), whole.of("w"))
    assert not np.array_equal(whole.of("w")[0], whole.of("w")[1])
    assert not np.array_equal(whole.of("w"), run(quadratic, start, cfg, label="step 16").of("w"))


def test_a_kept_chain_is_not_run_again_and_another_runs_is_refused(tmp_path: Path):
    cfg = SHORT
    told: list[int] = []
    progress = lambda state: told.append(state.chain)  # noqa: E731

    def stop(state):
        if state.chain == 1 and state.step == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(quadratic, torch.ones(20), cfg, store=tmp_path, progress=stop)
    run(quadratic, torch.ones(20), cfg, store=tmp_path, progress=progress)
    assert set(told) == {1}
    with pytest.raises(TraceError, match="another run"):
        run(quadratic, torch.zeros(20), cfg, store=tmp_path)


def test_diverged_chains_are_left_out_whole_and_counted():
    def cliff(w):  # no bottom beyond |w| = 0.25: half of the short chains fall off
        return quadratic(w) - 1e3 * (w.abs() - 0.25).clamp(min=0).pow(3).sum() * 1e3

    cfg = SHORT.model_copy(update={"n_draws": 60, "n_chains": 8, "burn_in": 0, "step_size": 5e-4})
    trace = run(cliff, torch.zeros(20), cfg)
    assert 0 < len(trace.diverged) < 8
    assert trace.n_chains == 8 - len(trace.diverged)
    assert np.isfinite(trace.of("loss")).all()
    with pytest.raises(DivergedError, match="All 8 chains diverged"):
        run(cliff, torch.full((20,), 9.0), cfg)


def test_bad_input_says_what_is_expected():
    w = torch.zeros(3)
    loss = lambda _=None: w.square().sum()  # noqa: E731
    observe = lambda: {"loss": loss()}  # noqa: E731
    for params, star, seen in (
        ({}, {}, "at least one"),
        ({"w": w}, {"w": torch.zeros(2)}, r"star has \(2,\)"),
        ({"w": w.bfloat16()}, {"w": w}, "must be float32"),
    ):
        with pytest.raises(FingerprintError, match=seen):
            sample(params, star, loss, observe, SHORT)
    with pytest.raises(FingerprintError, match="must give 'loss'"):
        sample({"w": w}, {"w": w.clone()}, loss, lambda: {"other": w.sum()}, SHORT)
    with pytest.raises(FingerprintError, match="masks leave none"):
        sample({"w": w}, {"w": w.clone()}, loss, observe, SHORT, masks={"w": torch.zeros(3).bool()})


def test_a_trace_comes_back_from_disk(tmp_path: Path):
    trace = run(quadratic, torch.ones(20), SHORT)
    trace.save(tmp_path / "trace.npz")
    again = Trace.load(tmp_path / "trace.npz")
    assert np.array_equal(again.of("w"), trace.of("w")) and again.n_params == 20
    assert again.seconds == trace.seconds and again.diverged == () and again.at_star.keys() == {"loss", "w"}
    assert again.pooled("w").shape == (60, 20)
    with pytest.raises(TraceError, match="there are loss, w"):
        again.of("other")


def test_a_step_moves_by_the_equation():
    """(eps/2) G (nb g + gamma (w - w*)) = .05 * 2 * (10 * 3 + 4 * .5) = 3.2; noise (eps G)^.5 = .2^.5."""
    w = torch.tensor([1.0])
    one = torch.ones(1)
    langevin_step(w, 3 * one, 0.5 * one, 2 * one, one, step_size=0.1, n_beta=10.0, gamma=4.0)
    assert float(w) == pytest.approx(1 - 3.2 + 0.2**0.5)


# ----------------------------------------------------------------------------------- language models


def passages(n: int):
    return [
        passage_from_lines(
            [(False, "def add(first):"), *((True, f"    return first + {i}") for _ in range(1 + i % 3))],
            path="a.py", language="python",
        )
        for i in range(n)
    ]  # fmt: skip


def test_minibatch_losses_estimate_the_mean_loss_of_windows_of_any_length(tiny_base):
    windows = tokenize_passages(tiny_base, passages(9), 64)
    model = tiny_base.model
    loss = batch_loss(model, windows, 4)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        seen = np.array([float(loss(generator)) for _ in range(150)])
    wanted = observe_windows(model, windows)()["loss"]
    assert abs(seen.mean() - float(wanted)) < 4 * seen.std() / 150**0.5
    assert float(wanted) == pytest.approx(float(mean_loss(model, pad_batch(windows, range(9)))), abs=1e-5)


def test_windows_are_observed_as_wholes_and_by_token(tiny_base):
    windows = tokenize_passages(tiny_base, passages(5), 64)
    observe = observe_windows(
        tiny_base.model, windows, {"more": windows[:2]}, per_token=["more"],
        also=lambda: {"norm": torch.tensor(3.0)},
    )  # fmt: skip
    seen = observe()
    assert set(seen) == {"loss", "losses", "loss/more", "losses/more", "tokens/more", "norm"}
    assert seen["losses"].shape == (5,) and len(seen["tokens/more"]) == sum(w.n_scored for w in windows[:2])
    torch.testing.assert_close(seen["losses"][:2], seen["losses/more"])


def test_windows_of_one_length_tile_the_text(tiny_base):
    text = passages(3)
    windows = windows_of_length(tiny_base, text, 16)
    assert {len(window) for window in windows} == {16}
    assert all(window.n_scored == 15 and window.ids[0] == tiny_base.first_token for window in windows)
    first = [w for w in windows if w.passage_index == 0]
    assert [int(w.offsets[1, 0]) for w in first[1:]] == [int(w.offsets[-1, 1]) for w in first[:-1]]
    assert len(choose_windows(windows, 2, 0)) == 2 and len(choose_windows(windows, 99, 0)) == len(windows)


def test_an_adapter_is_sampled_and_the_base_stays(tiny_base):
    from fingerprint.lm.pair import RoutedModel
    from fingerprint.lm.routes import random_routes

    routed = RoutedModel(tiny_base, random_routes(tiny_base, 2, 0))
    windows = tokenize_passages(tiny_base, passages(4), 64)
    cfg = SamplerConfig(n_chains=2, n_draws=4, burn_in=2, gradient_batches=4)
    star = routed.zero_weights()
    trace = sample(
        routed.parameters, star, batch_loss(routed.model, windows, 4),
        observe_windows(routed.model, windows), cfg,
    )  # fmt: skip
    assert trace.of("losses").shape == (2, 4, 4)
    assert trace.n_params == sum(b.numel() for b in star.values())
    assert all(not b.any() for b in routed.parameters.values())
