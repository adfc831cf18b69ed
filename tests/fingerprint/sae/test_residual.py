from __future__ import annotations

import pytest
import torch

from fingerprint.lm.pair import RoutedModel
from fingerprint.lm.routes import random_routes
from fingerprint.lm.tokens import full_batch, hidden_states, pad_batch, tokenize_passages
from fingerprint.sae.residual import block_name, counted_tokens, read_residual, residual_changed
from tests.fingerprint.sae.planted import code_of


@pytest.fixture
def batch():
    ids = torch.randint(1, 300, (3, 12), generator=torch.Generator().manual_seed(0))
    return full_batch(ids)


@torch.no_grad()
def test_it_is_the_hidden_state_after_the_block(tiny_base, batch):
    states = tiny_base.model(input_ids=batch.ids, output_hidden_states=True).hidden_states
    assert len(states) == 3
    assert torch.equal(read_residual(tiny_base.model, block_name(tiny_base, 0), batch), states[1])
    # the last entry has passed the final norm, the block's output has not
    last = read_residual(tiny_base.model, block_name(tiny_base, 1), batch)
    assert torch.equal(tiny_base.model.model.norm(last), states[2])
    assert not torch.equal(last, states[2])


@torch.no_grad()
def test_reading_leaves_the_model_as_it_was(tiny_base, batch):
    hooks = tiny_base.model.model.layers[0]._forward_hooks  # transformers keeps one of its own there
    before, n_hooks = hidden_states(tiny_base.model, batch), len(hooks)
    read_residual(tiny_base.model, block_name(tiny_base, 0), batch)
    assert torch.equal(hidden_states(tiny_base.model, batch), before)
    assert len(hooks) == n_hooks


@torch.no_grad()
def test_an_adapted_model_is_read_in_its_state(tiny_base, batch):
    routed = RoutedModel(tiny_base, random_routes(tiny_base, 4, 0))
    block = block_name(tiny_base, 0)
    assert torch.equal(
        read_residual(routed.model, block, batch), read_residual(tiny_base.model, block, batch)
    )
    state = {site: torch.ones_like(b) for site, b in routed.zero_weights().items()}
    with routed.at(state, state, 0.0):
        adapted = read_residual(routed.model, block, batch)
        states = routed.model(input_ids=batch.ids, output_hidden_states=True).hidden_states
    assert torch.equal(adapted, states[1])
    assert not torch.allclose(adapted, read_residual(tiny_base.model, block, batch), atol=1e-2)


@torch.no_grad()
def test_the_model_runs_on_with_what_is_put_in_its_place(tiny_base, batch):
    block, clean = block_name(tiny_base, 0), hidden_states(tiny_base.model, batch)
    with residual_changed(tiny_base.model, block, lambda x: x):
        assert torch.equal(hidden_states(tiny_base.model, batch), clean)
    with residual_changed(tiny_base.model, block, lambda x: 2 * x):
        assert not torch.allclose(hidden_states(tiny_base.model, batch), clean, atol=1e-3)
    with pytest.raises(ZeroDivisionError), residual_changed(tiny_base.model, block, lambda x: x):
        raise ZeroDivisionError
    assert torch.equal(hidden_states(tiny_base.model, batch), clean)


def test_position_0_and_padding_do_not_count(tiny_base):
    windows = tokenize_passages(tiny_base, code_of("config", 1) + code_of("longer_name", 1), 64)
    batch = pad_batch(windows, [0, 1])
    counted = counted_tokens(batch)
    assert counted.sum(1).tolist() == [len(window) - 1 for window in windows]
    assert not counted[:, 0].any()
    assert batch.mask[:, 0].all()
