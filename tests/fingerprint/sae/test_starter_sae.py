"""The whole way on the embedded base: a dictionary, its quality, and one package's shift beside nulls."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from fingerprint.lm.load import load_base
from fingerprint.lm.pair import ModelPair, RoutedModel
from fingerprint.lm.routes import load_starter_routes
from fingerprint.sae.config import SaeConfig
from fingerprint.sae.quality import measure_quality
from fingerprint.sae.shift import measure_rate_shift
from fingerprint.sae.train import train_sae
from tests.fingerprint.sae.library import passages_of, split_files, train_state

CONFIG = SaeConfig.tiny().model_copy(
    update={
        "n_latents": 1024,
        "tokens": 200_000,
        "batch_tokens": 1024,
        "shuffle_tokens": 32_768,
        "sample_tokens": 16_384,
        "dead_tokens": 30_000,
    }
)
ADAPTER_TOKENS = 6_000
TRAIN_FILES, NULL_FILES, N_NULLS = 60, 8, 3


@pytest.mark.slow
def test_on_the_embedded_base(tmp_path):
    train, held_out, own, own_held_out = split_files()
    base = load_base("starter")
    order = np.random.default_rng(0).permutation(len(train))
    files = [train[i] for i in order]
    sae = train_sae(base, passages_of(files[:TRAIN_FILES]), CONFIG, checkpoint=tmp_path / "checkpoint")
    quality = measure_quality(sae, base, passages_of(held_out)[::20])
    assert quality.reconstruction.fvu < 0.22
    assert quality.reconstruction.cosine > 0.91
    assert quality.reconstruction.l0 == pytest.approx(CONFIG.k, abs=0.1)
    assert quality.reconstruction.dead_share < 0.02
    assert 0.94 < quality.loss.recovered_from_mean < quality.loss.recovered < 1

    routed = RoutedModel(base, load_starter_routes(base))
    end = train_state(routed, passages_of(own), ADAPTER_TOKENS, 0)
    cuts = [TRAIN_FILES + NULL_FILES * i for i in range(N_NULLS + 1)]
    nulls = [
        train_state(routed, passages_of(files[first:last]), ADAPTER_TOKENS, 1 + i)
        for i, (first, last) in enumerate(pairwise(cuts))
    ]
    found = measure_rate_shift(
        ModelPair(routed, routed.zero_weights(), end), sae, passages_of(own_held_out)[::3], nulls=nulls
    )
    assert found.control.n_changed == 0
    assert found.shift.n_tested > 1000
    assert found.shift.n_changed > 500
    assert min(null.n_changed for null in found.nulls) > 500  # so that a count alone says nothing
