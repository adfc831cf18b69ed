"""Responses through the sampler: closed forms, planted blocks, and a language model end to end."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fingerprint import FingerprintError
from fingerprint.development.components import latent_probe
from fingerprint.development.config import SamplerConfig, SusceptibilityConfig
from fingerprint.development.responses import (
    CheckpointResponse,
    busiest_latents,
    component_probes,
    sample_responses,
)
from fingerprint.development.sampling import sample
from fingerprint.development.susceptibility import Draws, measure_response
from fingerprint.lm.pair import RoutedModel
from fingerprint.lm.routes import random_routes
from fingerprint.lm.tokens import tokenize_passages
from fingerprint.passage import Passage
from fingerprint.provenance import Provenance
from fingerprint.sae.artifact import Sae, SaeFacts
from fingerprint.sae.autoencoder import TopKAutoencoder

SAMPLER = SamplerConfig(
    n_beta=100, gamma=10, n_chains=2, n_draws=1_500, burn_in=200, steps_between=2, preconditioner="none",
    gradient_batches=1, step_share=0.3,
)  # fmt: skip


def test_sampled_chi_of_a_quadratic_is_the_closed_form():
    """Posterior N(0, 1 / (n beta h + gamma)): chi = -a . Sigma grad(l_j - L)(0) for phi = a . w."""
    generator = torch.Generator().manual_seed(0)
    h = torch.tensor([0.5, 1.0, 2.0, 4.0])
    a, slopes = torch.randn(3, 4, generator=generator), torch.randn(5, 4, generator=generator)
    w = torch.zeros(4, requires_grad=True)
    loss = lambda: 0.5 * (h * w**2).sum()  # noqa: E731
    observe = lambda: {"loss": loss(), "phi": a @ w, "sets": loss() + slopes @ w}  # noqa: E731
    trace = sample({"w": w}, {"w": torch.zeros(4)}, lambda _: loss(), observe, SAMPLER)
    found = measure_response(Draws(trace.of("phi"), trace.of("loss"), ("a", "b", "c")), trace.of("sets"))
    exact = -(a / (100 * h + 10)) @ slopes.T
    assert np.corrcoef(found.chi.ravel(), exact.numpy().ravel())[0, 1] > 0.98
    assert (np.abs(found.chi - exact.numpy()) < 5 * found.error).mean() > 0.9


def test_of_two_blocks_each_answers_to_the_distribution_that_it_alone_serves():
    """L = l_1(u) + l_2(v); phi of a block is its own share of the loss, as with only that block free."""
    w = torch.zeros(2, 6, requires_grad=True)
    parts = lambda: 0.5 * (torch.tensor([1.0, 3.0])[:, None] * w**2).sum(1)  # noqa: E731
    loss = lambda: parts().mean()  # noqa: E731
    observe = lambda: {"loss": loss(), "phi": parts(), "sets": parts()}  # noqa: E731
    trace = sample({"w": w}, {"w": torch.zeros(2, 6)}, lambda _: loss(), observe, SAMPLER)
    found = measure_response(Draws(trace.of("phi"), trace.of("loss"), ("u", "v")), trace.of("sets"))
    assert (np.diag(found.chi) < 0).all() and (np.diag(found.z) < -4).all()
    assert (
        found.chi[[0, 1], [1, 0]] > 0
    ).all()  # what the others' text gains by a block, it loses to the mean


@pytest.fixture(scope="module")
def windows(tiny_base):
    texts = [f"def add_{i}(first, second):\n    return first + {i}\n" for i in range(6)]
    return tokenize_passages(tiny_base, [Passage(t, ((0, len(t)),), "a.py", "python") for t in texts])


def tiny_config(**changes) -> SusceptibilityConfig:
    dials = SamplerConfig(
        n_beta=50, gamma=1_000, n_chains=2, n_draws=8, burn_in=2, gradient_batches=2, curvature_rounds=3
    )
    return SusceptibilityConfig(sampler=dials, n_blocks=4, n_nulls=19, **changes)


def test_a_language_model_end_to_end_repeats_itself_and_is_left_as_it_was(tiny_base, windows, tmp_path):
    routed = RoutedModel(tiny_base, random_routes(tiny_base, 2, 0))
    probes = component_probes(routed)
    names = tuple(name for probe in probes for name in probe.names)
    sets = {"first": windows[:2], "second": windows[2:4]}
    before = routed.weights()

    def once(store) -> CheckpointResponse:
        trace = sample_responses(
            routed.model, routed.parameters, windows, sets, probes, tiny_config(), label="7", store=store
        )
        return CheckpointResponse(7, trace, names, tuple(sets), tiny_config())

    first, second = once(tmp_path / "chains"), once(None)
    assert all(torch.equal(before[site], b) for site, b in routed.weights().items())
    np.testing.assert_array_equal(first.response.chi, second.response.chi)
    n_layers, n_heads = tiny_base.model.config.num_hidden_layers, tiny_base.model.config.num_attention_heads
    assert len(names) == n_layers * (n_heads + 1) + len(tiny_base.sites)
    assert first.response.chi.shape == (len(names), 2)
    n_tokens = sum(w.n_scored for own in sets.values() for w in own)
    assert first.token_factors.shape == (n_tokens, len(names))
    assert first.factors.n_factors >= 0 and np.isfinite(first.rise)
    n_first = sum(w.n_scored for w in windows[:2])
    by_tokens = first.token_factors[:n_first].mean(0) * first.draws.spread
    np.testing.assert_allclose(by_tokens, first.response.chi[:, 0], rtol=1e-6, atol=1e-12)
    resumed = once(tmp_path / "chains")
    np.testing.assert_array_equal(resumed.response.chi, first.response.chi)


def test_latents_are_read_and_names_must_be_as_many_as_readings(tiny_base, windows):
    width = tiny_base.model.config.hidden_size
    autoencoder = TopKAutoencoder(width, 32, 4).requires_grad_(False)
    nowhere = Provenance(tiny_base.name, tiny_base.revision, "", "", "", 0)
    sae = Sae(autoencoder, 0, nowhere, SaeFacts(1, 1, 1.0, 1.0, 0.0))
    busy = busiest_latents(tiny_base, sae, windows, 5)
    assert 0 < len(busy) <= 5
    probes = component_probes(tiny_base, sae, busy)
    assert probes[-1].names == latent_probe(tiny_base, sae, busy).names
    params = {"norm": tiny_base.model.get_parameter("model.norm.weight")}
    trace = sample_responses(
        tiny_base.model, params, windows, {"one": windows[:2]}, probes, tiny_config(), label="0"
    )
    assert trace.of("phi").shape[-1] == sum(len(probe.names) for probe in probes)
    with pytest.raises(FingerprintError, match="are named"):
        CheckpointResponse(0, trace, ("one",), ("one",), tiny_config())
