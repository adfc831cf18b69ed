from __future__ import annotations

import copy
import warnings

import numpy as np
import pytest
import torch
from peft import get_peft_model
from transformers import Qwen2ForCausalLM

from fingerprint.lm.load import load_base
from fingerprint.lm.pair import RoutedModel, lora_config, scored_log_probs
from fingerprint.lm.routes import random_routes
from fingerprint.lm.stack import NotStackableError, StackedModel, stack_blocks
from fingerprint.lm.tokens import mean_loss, pad_batch, tokenize_passages
from fingerprint.passage import passage_from_lines

SCALE = 1.5


@pytest.fixture(scope="module")
def routed(tiny_base) -> RoutedModel:
    return RoutedModel(tiny_base, random_routes(tiny_base, 4, seed=1), scale=SCALE)


@pytest.fixture(scope="module")
def states(routed):
    generator = torch.Generator().manual_seed(0)
    zero = routed.zero_weights()
    return [{s: 0.1 * torch.randn(b.shape, generator=generator) for s, b in zero.items()} for _ in range(3)]


@pytest.fixture(scope="module")
def windows(tiny_base):
    lengths = (2, 9, 5, 1, 7, 3)
    passages = [
        passage_from_lines(
            [(False, "import os"), *((True, f"value_{k} = first + {k}") for k in range(n))],
            path="a.py",
            language="python",
        )
        for n in lengths
    ]
    return tokenize_passages(tiny_base, passages, 256)


def side_by_side(states):
    return {site: torch.stack([state[site] for state in states]) for site in states[0]}


UNEQUAL = [[0], [1, 4], [2, 3, 5]]
EQUAL = [[0, 2], [2, 0], [0, 2]]
layouts = pytest.mark.parametrize(
    ("blocks", "level"),
    [(UNEQUAL, False), (UNEQUAL, True), (EQUAL, False)],
    ids=["unequal", "unequal, made level", "equal"],
)


@layouts
def test_every_slot_reads_as_it_would_alone(routed, states, windows, blocks, level):
    batch = stack_blocks([pad_batch(windows, block) for block in blocks], level=level)
    assert batch.layout.is_even == (blocks is EQUAL)
    assert batch.layout.is_level == (level or blocks is EQUAL)
    together = StackedModel(routed).log_probs(side_by_side(states), batch)[0].split(batch.layout.sizes)
    for state, block, found, shape in zip(states, blocks, together, batch.layout.shapes, strict=True):
        with routed.at(state, state, 0.0):
            alone = scored_log_probs(routed, [windows[i] for i in block])
        for row, i, expected in zip(found[: shape[0] * shape[1]].view(shape), block, alone, strict=True):
            seen = row[: len(windows[i])][torch.from_numpy(windows[i].scored)]
            np.testing.assert_allclose(seen.detach().numpy(), expected, rtol=1e-5, atol=1e-5)


@layouts
def test_every_gradient_is_that_of_peft_alone(routed, states, windows, blocks, level):
    up = {site: b.requires_grad_() for site, b in side_by_side(states).items()}
    rows = [pad_batch(windows, block) for block in blocks]
    losses = StackedModel(routed).losses(up, stack_blocks(rows, level=level))
    losses.sum().backward()
    for n, (state, batch) in enumerate(zip(states, rows, strict=True)):
        model = plain_peft(routed, state)
        alone = mean_loss(model, batch)
        assert losses[n].item() == pytest.approx(alone.item(), rel=1e-5)
        alone.backward()
        for site, b in up.items():
            expected = model.get_parameter(f"base_model.model.{site}.lora_B.default.weight").grad
            assert b.grad is not None and expected is not None
            torch.testing.assert_close(
                b.grad[n], expected, rtol=2e-5, atol=2e-6 * expected.abs().max().item()
            )


def plain_peft(routed, state):
    """Real peft around a copy of the base, none of our own wrapping."""
    own = copy.deepcopy(routed.base.model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        model = get_peft_model(own, lora_config(routed.routes, SCALE)).eval()
    with torch.no_grad():
        for site in routed.sites:
            for part, value in (("A", routed.routes.A[site]), ("B", state[site])):
                model.get_parameter(f"base_model.model.{site}.lora_{part}.default.weight").copy_(value)
    return model


def test_bf16_is_near(routed, states, windows):
    batch = stack_blocks([pad_batch(windows, block) for block in UNEQUAL])
    up = side_by_side(states)
    exact = StackedModel(routed).losses(up, batch)
    rough = StackedModel(routed, torch.bfloat16).losses(up, batch)
    torch.testing.assert_close(rough, exact, rtol=1e-2, atol=0)


def test_the_routed_model_stays_as_it_is(routed, states, windows):
    before = scored_log_probs(routed, windows)
    StackedModel(routed).losses(side_by_side(states), stack_blocks([pad_batch(windows, [0])] * 3))
    after = scored_log_probs(routed, windows)
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))


def test_a_base_that_sees_less_than_a_row_is_refused(tiny_base_dir, tmp_path):
    model = Qwen2ForCausalLM.from_pretrained(tiny_base_dir)
    options = {"use_sliding_window": True, "sliding_window": 16, "layer_types": ["sliding_attention"] * 2}
    for name, value in options.items():
        setattr(model.config, name, value)
    model.save_pretrained(tmp_path)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((tiny_base_dir / name).read_bytes())
    base = load_base(str(tmp_path))
    routed = RoutedModel(base, random_routes(base, 4, seed=1))
    StackedModel(routed, longest=16)
    with pytest.raises(NotStackableError, match="mask of its own"):
        StackedModel(routed, longest=17)
