"""A routed model of five layers of width 64, and stages planted in it."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def routed(tmp_path_factory):
    """Qwen2 with five blocks and uneven norm weights, over random routes of rank 4."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    from fingerprint.lm.load import load_base
    from fingerprint.lm.pair import RoutedModel
    from fingerprint.lm.routes import random_routes
    from tests.conftest import TINY_TEXT, make_tiny_base

    place = make_tiny_base(tmp_path_factory.mktemp("five-blocks"), TINY_TEXT)
    torch.manual_seed(1)
    config = Qwen2Config(
        vocab_size=300, hidden_size=64, intermediate_size=96, num_hidden_layers=5, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=128, tie_word_embeddings=True, bos_token_id=None,
        eos_token_id=0, initializer_range=0.1,
    )  # fmt: skip
    model = Qwen2ForCausalLM(config)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "layernorm" in name:
                weight.copy_(torch.rand_like(weight) + 0.5)
    model.save_pretrained(place)
    base = load_base(str(place))
    return RoutedModel(base, random_routes(base, 4, seed=2), scale=1.5)
