from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from fingerprint import FingerprintError
from fingerprint.lm.tokens import tokenize_passages
from fingerprint.sae.artifact import Sae, SaeError
from fingerprint.sae.autoencoder import TopKAutoencoder
from fingerprint.sae.quality import DENSITY_EDGES, measure_quality, patched_loss
from fingerprint.sae.residual import block_name
from fingerprint.sae.stream import PassageActivations
from tests.fingerprint.sae.planted import TINY, code_of

HELD_OUT = code_of("config", 12)[6:] + code_of("held", 6)


@pytest.fixture
def perfect_sae(tiny_sae) -> Sae:
    """Latents for plus and minus every axis: the reconstruction is the input, bit for bit."""
    autoencoder = TopKAutoencoder(32, 64, 64)
    with torch.no_grad():
        axes = torch.eye(32)
        autoencoder.W_enc.copy_(torch.cat([axes, -axes]))
        autoencoder.W_dec.copy_(torch.cat([axes, -axes]))
        autoencoder.scale.fill_(4.0)
    return replace(tiny_sae, autoencoder=autoencoder.requires_grad_(False))


@torch.no_grad()
def read(base, passages) -> torch.Tensor:
    config = TINY.model_copy(update={"batch_tokens": 1, "shuffle_tokens": 1_000_000})
    source = PassageActivations(base, passages, config)
    stream = source.batches(0)
    return torch.cat([next(stream) for _ in range(source.n_tokens)])


def test_patching_the_stream_with_itself_costs_exactly_nothing(tiny_base, perfect_sae):
    windows = tokenize_passages(tiny_base, HELD_OUT, 64)
    block = block_name(tiny_base, 0)
    quality = measure_quality(perfect_sae, tiny_base, HELD_OUT, window_tokens=64)
    assert patched_loss(tiny_base, block, windows, lambda x: x) == quality.loss.clean
    assert quality.loss.increase == 0
    assert quality.loss.recovered == 1
    assert quality.loss.recovered_from_mean == 1
    assert quality.reconstruction.fvu == 0
    assert quality.reconstruction.cosine == pytest.approx(1)


def test_clean_loss_is_the_models_own(tiny_base, perfect_sae):
    quality = measure_quality(perfect_sae, tiny_base, HELD_OUT, window_tokens=64)
    total, n = 0.0, 0
    for window in tokenize_passages(tiny_base, HELD_OUT, 64):
        ids = torch.from_numpy(window.ids.astype(np.int64))[None]
        with torch.no_grad():
            losses = F.cross_entropy(tiny_base.model(ids).logits[0, :-1], ids[0, 1:], reduction="none")
        total += float(losses[torch.from_numpy(window.scored[1:])].double().sum())
        n += window.n_scored
    assert quality.loss.clean == pytest.approx(total / n, abs=1e-6)


def test_figures_are_those_of_their_definitions(tiny_base, tiny_sae):
    x = read(tiny_base, HELD_OUT).double()
    with torch.no_grad():
        guess = tiny_sae.autoencoder(x.float()).double()
        code = tiny_sae.autoencoder.encode(x.float())
    fires = torch.zeros(len(x), 64, dtype=torch.bool).scatter(1, code.latents, code.values > 0)
    seen = measure_quality(tiny_sae, tiny_base, HELD_OUT, window_tokens=64).reconstruction
    variance = (x - x.mean(0)).square().sum()
    assert seen.n_tokens == len(x)
    assert seen.fvu == pytest.approx(float((x - guess).square().sum() / variance), rel=1e-4)
    assert seen.cosine == pytest.approx(float(F.cosine_similarity(x, guess).mean()), rel=1e-5)
    assert seen.l0 == pytest.approx(float(fires.sum(1).float().mean()))
    assert seen.l0 <= TINY.k
    assert seen.dead_share == pytest.approx(float((~fires.any(0)).float().mean()))
    assert len(seen.densities) == len(DENSITY_EDGES) - 1
    assert sum(seen.densities) == int(fires.any(0).sum())
    often = fires.float().mean(0) >= 10**-0.5
    assert seen.densities[-1] == int(often.sum())


def test_a_trained_dictionary_beats_the_mean_and_zero(tiny_base, tiny_sae):
    quality = measure_quality(tiny_sae, tiny_base, HELD_OUT, window_tokens=64)
    assert quality.reconstruction.fvu < 0.6
    assert quality.reconstruction.cosine > 0.6
    untrained = replace(tiny_sae, autoencoder=TopKAutoencoder(32, 64, 4, seed=9).requires_grad_(False))
    assert measure_quality(untrained, tiny_base, HELD_OUT).reconstruction.fvu > quality.reconstruction.fvu


def test_position_0_is_neither_counted_nor_patched(tiny_base, tiny_sae):
    """A sink at position 0 moves no figure of the reconstruction."""
    before = measure_quality(tiny_sae, tiny_base, HELD_OUT, window_tokens=64)

    def sink(_module, _inputs, output):
        return torch.cat([output[:, :1] + 1e4, output[:, 1:]], dim=1)

    handle = tiny_base.model.get_submodule(block_name(tiny_base, 0)).register_forward_hook(sink)
    try:
        after = measure_quality(tiny_sae, tiny_base, HELD_OUT, window_tokens=64)
    finally:
        handle.remove()
    assert after.reconstruction == before.reconstruction
    seen: list[torch.Size] = []
    windows = tokenize_passages(tiny_base, HELD_OUT, 64)[:1]

    def look(x: torch.Tensor) -> torch.Tensor:
        seen.append(x.shape)
        return x

    patched_loss(tiny_base, block_name(tiny_base, 0), windows, look)
    assert seen == [torch.Size([1, len(windows[0]) - 1, 32])]


def test_another_base_or_no_text_is_told(tiny_base, tiny_sae):
    other = replace(tiny_base, revision="f" * 64)
    with pytest.raises(SaeError, match=r"belongs to the base .* Train one for it"):
        measure_quality(tiny_sae, other, HELD_OUT)
    with pytest.raises(FingerprintError, match="no held-out text"):
        measure_quality(tiny_sae, tiny_base, [])
