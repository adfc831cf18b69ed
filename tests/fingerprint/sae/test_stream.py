from __future__ import annotations

from itertools import islice

import pytest
import torch

from fingerprint import FingerprintError
from fingerprint.lm.tokens import pad_batch, tokenize_passages
from fingerprint.sae.stream import PassageActivations
from tests.fingerprint.sae.planted import TINY, code_of

WHOLE = TINY.model_copy(update={"batch_tokens": 1, "shuffle_tokens": 1_000_000})


def rows_as_set(rows: torch.Tensor) -> set[tuple[float, ...]]:
    return {tuple(row) for row in (rows * 1e3).round().tolist()}


def test_an_epoch_holds_every_token_but_position_0_and_padding(tiny_base):
    passages = code_of("config", 6)
    source = PassageActivations(tiny_base, passages, WHOLE)
    read = torch.cat(list(islice(source.batches(0), source.n_tokens)))
    expected, first = [], None
    for window in tokenize_passages(tiny_base, passages, WHOLE.window_tokens):
        alone = pad_batch([window], [0])
        states = tiny_base.model(input_ids=alone.ids, output_hidden_states=True).hidden_states
        expected.append(states[WHOLE.layer + 1][0, 1:])
        first = states[WHOLE.layer + 1][0, 0]
    assert len(read) == sum(len(rows) for rows in expected) == source.n_tokens
    assert rows_as_set(read) == rows_as_set(torch.cat(expected))
    assert first is not None
    assert rows_as_set(first[None]) & rows_as_set(read) == set()


def test_the_stream_is_the_same_from_any_batch_on(tiny_base):
    source = PassageActivations(tiny_base, code_of("config", 30), TINY)
    whole = list(islice(source.batches(0), 25))  # several epochs
    assert source.n_tokens < 25 * TINY.batch_tokens
    for first in (0, 1, 3, 7, 12, 19):
        for seen, expected in zip(islice(source.batches(first), 5), whole[first:], strict=False):
            assert torch.equal(seen, expected)


def test_batches_have_one_size_and_epochs_differ(tiny_base):
    source = PassageActivations(tiny_base, code_of("config", 30), TINY)
    found = list(islice(source.batches(0), 40))
    assert {tuple(batch.shape) for batch in found} == {(TINY.batch_tokens, 32)}
    assert all(batch.dtype == torch.float32 for batch in found)
    n_equal = sum(torch.equal(a, b) for i, a in enumerate(found) for b in found[:i])
    assert n_equal == 0


def test_windows_are_taken_as_they_are(tiny_base):
    passages = code_of("config", 30)
    of_passages = PassageActivations(tiny_base, passages, TINY)
    windows = tokenize_passages(tiny_base, passages, TINY.window_tokens)
    of_windows = PassageActivations(tiny_base, windows, TINY)
    assert of_windows.key == of_passages.key
    assert torch.equal(next(of_windows.batches(4)), next(of_passages.batches(4)))
    assert PassageActivations(tiny_base, windows[1:], TINY).key != of_windows.key


def test_too_little_text_is_told(tiny_base):
    with pytest.raises(FingerprintError, match="one step reads 128: give more text"):
        PassageActivations(tiny_base, code_of("config", 1), TINY)
    with pytest.raises(FingerprintError, match="has 0 tokens"):
        PassageActivations(tiny_base, [], TINY)


def test_a_block_the_base_has_not_is_told(tiny_base):
    with pytest.raises(FingerprintError, match="has 2 blocks, counted from 0, and no block 2"):
        PassageActivations(tiny_base, code_of("config", 30), TINY.model_copy(update={"layer": 2}))
