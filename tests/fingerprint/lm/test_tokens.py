from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fingerprint.lm import tokens as tokens_module
from fingerprint.lm.tokens import (
    full_batch,
    guess_log_probs,
    length_buckets,
    mean_loss,
    pad_batch,
    target_log_probs,
    tokenize_passages,
    top_guesses,
)
from fingerprint.passage import Passage, passage_from_lines

LINES = st.lists(
    st.tuples(
        st.booleans(),
        st.text(st.sampled_from("ab (=)_\t\u00e9\u4e2d\U0001f4a1\u3000"), max_size=30)
        | st.sampled_from(["    return first + second", "", "  <|endoftext|>"]),
    ),
    max_size=40,
)


def passage(lines) -> Passage:
    return passage_from_lines(lines, path="a.py", language="python")


def first_visible(text: str, start: int, end: int) -> int:
    return next((i for i in range(start, end) if not text[i].isspace()), start)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=LINES, max_tokens=st.integers(17, 90))
def test_every_marked_token_is_scored_exactly_once_with_context(tiny_base, lines, max_tokens):
    source = passage(lines)
    encoding = tiny_base.tokenizer.backend_tokenizer.encode(source.text, add_special_tokens=False)
    marked = {i for start, end in source.spans for i in range(start, end)}
    expected = [
        position
        for position, (start, end) in enumerate(encoding.offsets)
        if first_visible(source.text, start, end) in marked
    ]
    windows = tokenize_passages(tiny_base, [source], max_tokens)
    found: list[int] = []
    for window in windows:
        assert len(window) <= max_tokens
        assert window.ids[0] == tiny_base.first_token
        assert not window.scored[0]
        assert window.scored[-1]
        start = _position(encoding, window)
        assert list(window.ids[1:]) == encoding.ids[start : start + len(window) - 1]
        scored = np.flatnonzero(window.scored)
        assert start == 0 or scored[0] - 1 >= max_tokens / 4 - 1
        found += [start + int(t) - 1 for t in scored]
    assert found == expected


def _position(encoding, window) -> int:
    """Where a window starts among the text's tokens."""
    body = list(window.ids[1:])
    offsets = [tuple(pair) for pair in window.offsets[1:].tolist()]
    return next(
        i
        for i in range(len(encoding.ids))
        if encoding.ids[i : i + len(body)] == body and encoding.offsets[i : i + len(body)] == offsets
    )


def test_a_token_counts_by_its_first_visible_character(tiny_base):
    text = "x = first\n    second\n"
    start = text.index("second")
    only_word = Passage(text, ((start, start + 6),), "a.py", "python")
    [window] = tokenize_passages(tiny_base, [only_word])
    scored = "".join(text[a:b] for (a, b), s in zip(window.offsets, window.scored, strict=True) if s)
    assert scored.strip() == "second"


def test_nothing_after_the_last_scored_token_is_read(tiny_base):
    short = tokenize_passages(tiny_base, [passage([(False, "a"), (True, "b = 1")])])
    long = tokenize_passages(tiny_base, [passage([(False, "a"), (True, "b = 1"), (False, "more text")])])
    assert list(short[0].ids) == list(long[0].ids)


def test_passages_without_marks_give_no_window_and_keep_indices(tiny_base):
    sources = [passage([(False, "a")]), passage([(True, "b")]), passage([]), passage([(True, "c")])]
    assert [w.passage_index for w in tokenize_passages(tiny_base, sources)] == [1, 3]


def realistic_lengths(n: int) -> list[range]:
    """Log-normal like real commit documents: median 117, p90 about 512 (clipped)."""
    rng = np.random.default_rng(0)
    return [range(int(x)) for x in np.clip(rng.lognormal(np.log(117), 1.2, n), 4, 512)]


@pytest.mark.parametrize("shuffled", [False, True])
def test_buckets_use_nine_tenths_of_the_padded_tokens(shuffled):
    items = realistic_lengths(2000)
    batches = length_buckets(items, 2048, np.random.default_rng(1) if shuffled else None)
    assert sorted(i for batch in batches for i in batch) == list(range(len(items)))
    padded = [len(batch) * max(len(items[i]) for i in batch) for batch in batches]
    assert max(padded) <= 2048
    assert sum(len(item) for item in items) / sum(padded) >= 0.9


def test_an_item_longer_than_the_budget_is_alone():
    batches = length_buckets([range(10), range(3000), range(5)], 2048)
    assert [1] in batches


def test_shuffled_buckets_depend_on_the_seed_alone():
    items = realistic_lengths(300)
    first, again = (length_buckets(items, 1024, np.random.default_rng(3)) for _ in range(2))
    assert first == again != length_buckets(items, 1024, np.random.default_rng(4))


def test_padded_loss_is_solo_loss(tiny_base):
    sources = [passage([(i % 3 != 0, f"value_{i} = first + {i}") for i in range(n)]) for n in (2, 9, 4, 30)]
    windows = tokenize_passages(tiny_base, sources, 128)
    with torch.inference_mode():
        together = target_log_probs(tiny_base.model, pad_batch(windows, range(len(windows))))
        for row, window in enumerate(windows):
            batch = pad_batch(windows, [row])
            alone = target_log_probs(tiny_base.model, batch)
            torch.testing.assert_close(together[row, : len(window)], alone[0], atol=2e-6, rtol=0)
            assert not together[row, len(window) :].any()


def test_log_probs_are_the_plain_models(tiny_base):
    batch = full_batch(torch.randint(1, 300, (2, 12)))
    with torch.inference_mode():
        logits = tiny_base.model(input_ids=batch.ids, use_cache=False).logits
        found = target_log_probs(tiny_base.model, batch)
    expected = logits[:, :-1].log_softmax(-1).gather(-1, batch.ids[:, 1:, None])[..., 0]
    torch.testing.assert_close(found[:, 1:], expected, atol=2e-6, rtol=0)
    assert not found[:, 0].any()
    assert float(mean_loss(tiny_base.model, batch)) == pytest.approx(-float(expected.mean()), abs=1e-5)


def test_chunks_change_neither_loss_nor_gradient(tiny_base, monkeypatch):
    batch = full_batch(torch.randint(1, 300, (2, 12)))
    states = torch.randn(22, 32, requires_grad=True)
    targets = batch.ids[:, 1:].reshape(-1)
    whole = tokens_module._chunked(tiny_base.model, states, targets)
    (gradient,) = torch.autograd.grad(whole.sum(), states)
    monkeypatch.setattr(tokens_module, "LOGITS_PER_CHUNK", 300 * 5)
    parts = tokens_module._chunked(tiny_base.model, states, targets)
    torch.testing.assert_close(parts, whole)
    torch.testing.assert_close(torch.autograd.grad(parts.sum(), states)[0], gradient)
    with torch.no_grad():
        torch.testing.assert_close(tokens_module._chunked(tiny_base.model, states, targets), whole)


def test_guesses_are_ordered_and_agree_with_the_targets(tiny_base):
    windows = tokenize_passages(tiny_base, [passage([(True, "first = second")])])
    batch = pad_batch(windows, [0])
    column = int(np.flatnonzero(windows[0].scored)[0])
    with torch.inference_mode():
        log_probs = guess_log_probs(tiny_base.model, batch, [0], [column])
        targets = target_log_probs(tiny_base.model, batch)
    own = int(windows[0].ids[column])
    assert float(log_probs[0, own]) == pytest.approx(float(targets[0, column]), abs=1e-5)
    [guesses] = top_guesses(tiny_base, log_probs, 3)
    probabilities = [probability for _, probability in guesses]
    assert probabilities == sorted(probabilities, reverse=True)
    assert guesses[0][0] == tiny_base.token_text(int(log_probs[0].argmax()))
