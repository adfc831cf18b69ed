"""Read back by the keys and equations that the libraries document, in torch alone."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file

from fingerprint.sae.export import export_saelens, export_sparsify


@pytest.fixture
def x():
    return 3 * torch.randn(50, 32, generator=torch.Generator().manual_seed(5)) + 1


def test_saelens(tiny_sae, tmp_path, x):
    export_saelens(tiny_sae, tmp_path / "out")
    config = json.loads((tmp_path / "out" / "cfg.json").read_text())
    weights = load_file(tmp_path / "out" / "sae_weights.safetensors")
    assert {name: tuple(w.shape) for name, w in weights.items()} == {
        "W_enc": (32, 64),
        "b_enc": (64,),
        "W_dec": (64, 32),
        "b_dec": (32,),
    }
    assert (config["architecture"], config["d_in"], config["d_sae"], config["k"]) == ("topk", 32, 64, 4)
    assert config["apply_b_dec_to_input"] and not config["rescale_acts_by_decoder_norm"]
    assert (config["normalize_activations"], config["reshape_activations"]) == ("none", "none")
    assert config["metadata"]["hook_name"] == "blocks.0.hook_resid_post"
    pre = (x - weights["b_dec"]) @ weights["W_enc"] + weights["b_enc"]
    values, latents = pre.topk(config["k"])
    activations = torch.zeros(50, 64).scatter(1, latents, values.relu())
    guess = activations @ weights["W_dec"] + weights["b_dec"]
    torch.testing.assert_close(guess, tiny_sae.autoencoder(x), atol=1e-4, rtol=1e-4)
    own = tiny_sae.autoencoder.encode(x)
    own_activations = torch.zeros(50, 64).scatter(1, own.latents, own.values)
    torch.testing.assert_close(
        activations * tiny_sae.autoencoder.scale, own_activations, atol=1e-4, rtol=1e-4
    )


def test_sparsify(tiny_sae, tmp_path, x):
    export_sparsify(tiny_sae, tmp_path / "layers.0")
    config = json.loads((tmp_path / "layers.0" / "cfg.json").read_text())
    weights = load_file(tmp_path / "layers.0" / "sae.safetensors")
    assert {name: tuple(w.shape) for name, w in weights.items()} == {
        "encoder.weight": (64, 32),
        "encoder.bias": (64,),
        "W_dec": (64, 32),
        "b_dec": (32,),
    }
    assert (config["d_in"], config["num_latents"], config["k"]) == (32, 64, 4)
    assert config["activation"] == "topk"
    assert not config["transcode"] and not config["skip_connection"]
    encoder = torch.nn.functional.linear(
        x - weights["b_dec"], weights["encoder.weight"], weights["encoder.bias"]
    )
    values, latents = encoder.relu().topk(config["k"])
    guess = torch.zeros(50, 64).scatter(1, latents, values) @ weights["W_dec"] + weights["b_dec"]
    torch.testing.assert_close(guess, tiny_sae.autoencoder(x), atol=1e-4, rtol=1e-4)


def test_the_scale_is_not_one_so_that_folding_it_in_matters(tiny_sae):
    assert abs(float(tiny_sae.autoencoder.scale) - 1) > 0.05
    torch.testing.assert_close(tiny_sae.autoencoder.W_dec.norm(dim=1), torch.ones(64))
