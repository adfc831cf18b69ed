"""Observables against the model's own parts, read another way."""

from __future__ import annotations

import pytest
import torch

from fingerprint import FingerprintError
from fingerprint.development.components import head_probes, mlp_probes, read_components, site_probes
from fingerprint.lm.pair import RoutedModel
from fingerprint.lm.routes import random_routes
from fingerprint.lm.tokens import mean_loss, pad_batch, tokenize_passages
from fingerprint.passage import Passage


@pytest.fixture(scope="module")
def windows(tiny_base):
    texts = ("def add(first, second):\n    return first + second\n", "x = [1, 2]\n")
    return tokenize_passages(tiny_base, [Passage(t, ((0, len(t)),), "a.py", "python") for t in texts])


@pytest.fixture(scope="module")
def routed(tiny_base):
    routed = RoutedModel(tiny_base, random_routes(tiny_base, 2, 0), scale=0.5)
    generator = torch.Generator().manual_seed(0)
    routed.set_weights(
        {s: 0.3 * torch.randn(b.shape, generator=generator) for s, b in routed.parameters.items()}
    )
    return routed


def inputs_of(routed, windows, name):
    """Input of a module at every token but position 0, window after window."""
    found = []
    module = routed.model.get_base_model().get_submodule(name)
    handle = module.register_forward_hook(lambda _m, i, o: found.append((i[0][0, 1:], o[0, 1:])))
    for i in range(len(windows)):
        mean_loss(routed.model, pad_batch(windows, [i]))
    handle.remove()
    return torch.cat([i for i, _ in found]), torch.cat([o for _, o in found])


@torch.no_grad()
def test_heads_sites_and_mlps_are_the_lengths_of_what_they_add(tiny_base, routed, windows):
    probes = [*head_probes(tiny_base), *mlp_probes(tiny_base), *site_probes(tiny_base)]
    phi, losses = read_components(routed.model, windows, probes)
    names = [name for probe in probes for name in probe.names]
    read = dict(zip(names, phi.tolist(), strict=True))

    site = "model.layers.1.self_attn.o_proj"
    x, _ = inputs_of(routed, windows, site)
    module = routed.modules[site]
    weight = module.base_layer.weight + 0.5 * routed.parameters[site] @ routed.directions[site]
    size = x.shape[1] // tiny_base.model.config.num_attention_heads
    second = x[:, size : 2 * size] @ weight[:, size : 2 * size].T
    assert read["head.1.1"] == pytest.approx(float(second.norm(dim=1).mean()), rel=1e-4)
    added = 0.5 * x @ routed.directions[site].T @ routed.parameters[site].T
    assert read["site.1.o_proj"] == pytest.approx(float(added.norm(dim=1).mean()), rel=1e-4)
    _, out = inputs_of(routed, windows, "model.layers.0.mlp")
    assert read["mlp.0"] == pytest.approx(float(out.norm(dim=1).mean()), rel=1e-4)
    assert float(torch.cat(losses).mean()) == pytest.approx(
        float(mean_loss(routed.model, pad_batch(windows, [0, 1]))), rel=1e-4
    )


def test_padding_and_batches_do_not_count(tiny_base, routed, windows):
    probes = [*head_probes(tiny_base), *mlp_probes(tiny_base)]
    together, _ = read_components(routed.model, windows, probes)
    alone, _ = read_components(routed.model, windows, probes, batch_tokens=1)
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-6)


def test_a_bare_base_has_heads_and_mlps_and_no_sites(tiny_base, windows):
    phi, _ = read_components(tiny_base.model, windows, [*head_probes(tiny_base), *mlp_probes(tiny_base)])
    assert (phi > 0).all()
    with pytest.raises(FingerprintError, match="adapted model only"):
        read_components(tiny_base.model, windows, site_probes(tiny_base))


def test_no_hook_stays_behind(tiny_base, windows):
    def hooks() -> list[int]:
        return [len(module._forward_hooks) for module in tiny_base.model.modules()]

    before = hooks()  # transformers may have left its own for hidden states
    read_components(tiny_base.model, windows, mlp_probes(tiny_base))
    assert hooks() == before
