from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from fingerprint import FingerprintError
from fingerprint.lm.pair import ModelPair, RoutedModel, RouteWeights
from fingerprint.lm.routes import random_routes
from fingerprint.lm.tokens import tokenize_passages
from fingerprint.sae.artifact import SaeError
from fingerprint.sae.config import RateShiftConfig
from fingerprint.sae.report import MISSING_NULLS, RateShift
from fingerprint.sae.residual import block_name
from fingerprint.sae.shift import UnstableReadingError, measure_rate_shift, measure_rate_shifts
from tests.fingerprint.sae.planted import code_of

CONFIG = RateShiftConfig(n_flips=1_999, n_draws=50, batch_tokens=512)
TEXT = code_of("config", 40) + code_of("value", 20)


@pytest.fixture(scope="module")
def routed(tiny_base) -> RoutedModel:
    return RoutedModel(tiny_base, random_routes(tiny_base, 4, 0))


def state_of(routed: RoutedModel, seed: int, size: float) -> RouteWeights:
    generator = torch.Generator().manual_seed(seed)
    return {
        site: size * torch.randn(tuple(b.shape), generator=generator)
        for site, b in routed.zero_weights().items()
    }


def test_a_base_against_itself_changes_nothing(routed, tiny_sae):
    pair = ModelPair(routed, routed.zero_weights(), routed.zero_weights())
    found = measure_rate_shift(pair, tiny_sae, TEXT, config=CONFIG)
    assert found.shift.n_tested > 10
    assert (found.shift.n_changed, found.shift.median, found.shift.divergence) == (0, 0, 0)
    assert {shift.p_value for shift in found.latents} == {1.0}
    assert found.control == found.shift


def test_rates_are_counted_on_scored_tokens_once_each(routed, tiny_base, tiny_sae):
    """Against one window at a time."""
    pair = ModelPair(routed, routed.zero_weights(), state_of(routed, 0, 0.3))
    found = measure_rate_shift(pair, tiny_sae, TEXT, config=CONFIG)
    start, total, n = torch.zeros(64, dtype=torch.int64), torch.zeros(64, dtype=torch.float64), 0
    for window in tokenize_passages(tiny_base, TEXT, CONFIG.window_tokens):
        with torch.no_grad():
            ids = torch.from_numpy(window.ids.astype(np.int64))[None]
            x = tiny_base.model(input_ids=ids, output_hidden_states=True).hidden_states[1][0]
            code = tiny_sae.autoencoder.encode(x[torch.from_numpy(window.scored)])
        fires = code.values > 0
        start += torch.bincount(code.latents[fires], minlength=64)
        total.index_add_(0, code.latents[fires], code.values[fires].double())
        n += window.n_scored
    assert found.n_tokens == n
    for shift in found.latents:
        assert shift.start_events == int(start[shift.latent])
        assert shift.start_rate == pytest.approx(int(start[shift.latent]) / n)
        mean = float(total[shift.latent]) / shift.start_events if shift.start_events else None
        assert shift.start_mean == (None if mean is None else pytest.approx(mean, rel=1e-4))


def test_without_nulls_the_answer_says_so(routed, tiny_sae):
    pair = ModelPair(routed, routed.zero_weights(), state_of(routed, 0, 0.3))
    found = measure_rate_shift(pair, tiny_sae, TEXT, config=CONFIG)
    assert not found.is_controlled
    assert MISSING_NULLS in found.statement
    assert found.shift.n_changed > 0
    assert found.shift.n_beyond is None
    assert not any(shift.is_beyond_nulls for shift in found.latents)


def test_nulls_stand_beside_the_adapter_and_each_other(routed, tiny_sae):
    nulls = [state_of(routed, seed, 0.02) for seed in (1, 2, 3)]
    pair = ModelPair(routed, routed.zero_weights(), state_of(routed, 0, 0.3))
    calls: list[tuple[int, int]] = []
    found = measure_rate_shift(
        pair,
        tiny_sae,
        TEXT,
        nulls=nulls,
        config=CONFIG,
        progress=lambda done, of: calls.append((done, of)),
    )
    assert calls == [(i, 6) for i in range(1, 7)]
    assert found.is_controlled and MISSING_NULLS not in found.statement
    assert found.control.n_changed == 0
    assert len(found.nulls) == 3
    assert all(null.n_changed < found.shift.n_changed for null in found.nulls)
    assert all(null.median < found.shift.median for null in found.nulls)
    assert all(null.divergence < found.shift.divergence for null in found.nulls)
    beyond = [shift for shift in found.latents if shift.is_beyond_nulls]
    assert beyond and len(beyond) == found.shift.n_beyond
    for shift in found.latents:
        assert shift.null_low is not None and shift.null_high is not None
        assert shift.null_low <= shift.null_high
    # an adapter that is one of the nulls lies within their band, whatever it changes
    same = measure_rate_shift(replace(pair, end=nulls[0]), tiny_sae, TEXT, nulls=nulls, config=CONFIG)
    assert same.shift.n_beyond == 0
    assert "of a null's outside the others" in found.statement
    assert all(null.n_beyond is not None for null in found.nulls)


def test_several_adapters_share_their_controls(routed, tiny_sae):
    nulls = [state_of(routed, seed, 0.02) for seed in (1, 2)]
    first = ModelPair(routed, routed.zero_weights(), state_of(routed, 0, 0.3))
    pairs = [first, replace(first, end=state_of(routed, 3, 0.1))]
    calls: list[int] = []
    together = measure_rate_shifts(
        pairs, tiny_sae, TEXT, nulls=nulls, config=CONFIG, progress=lambda done, _of: calls.append(done)
    )
    alone = [measure_rate_shift(pair, tiny_sae, TEXT, nulls=nulls, config=CONFIG) for pair in pairs]
    assert together == alone
    assert calls == [1, 2, 3, 4, 5, 6]


def test_one_null_spans_no_band_and_two_none_for_each_other(routed, tiny_sae):
    nulls = [state_of(routed, seed, 0.02) for seed in (1, 2)]
    pair = ModelPair(routed, routed.zero_weights(), state_of(routed, 0, 0.3))
    one = measure_rate_shift(pair, tiny_sae, TEXT, nulls=nulls[:1], config=CONFIG)
    assert one.is_controlled and one.shift.n_beyond is None
    assert "spans no band" in one.statement
    assert {shift.null_low for shift in one.latents} == {None}
    two = measure_rate_shift(pair, tiny_sae, TEXT, nulls=nulls, config=CONFIG)
    assert two.shift.n_beyond is not None
    assert [null.n_beyond for null in two.nulls] == [None, None]
    assert "too few" in two.statement


def test_it_comes_back_from_json(routed, tiny_sae):
    pair = ModelPair(routed, routed.zero_weights(), state_of(routed, 0, 0.3))
    nulls = [state_of(routed, 1, 0.02)]
    found = measure_rate_shift(pair, tiny_sae, TEXT, nulls=nulls, config=CONFIG)
    again = RateShift.model_validate_json(found.model_dump_json())
    assert again == found
    assert again.dictionary == tiny_sae.digest
    assert measure_rate_shift(pair, tiny_sae, TEXT, nulls=nulls, config=CONFIG) == found
    with pytest.raises(ValueError, match="format"):
        RateShift.model_validate({**found.model_dump(), "format": 2})


@pytest.fixture
def far_state(routed) -> RouteWeights:
    """A state that changes only what lies behind the block that is read."""
    return {
        site: torch.full_like(b, 0.01 * ("layers.1" in site)) for site, b in routed.zero_weights().items()
    }


def inject(routed: RoutedModel, sae, where):
    """In any state but the base, add a latent's own direction at some positions: a hook on the block."""

    def sink(_module, _inputs, output):
        if not any(b.any() for b in routed.parameters.values()):
            return output
        changed = output.clone()
        where(changed)[...] += 1e3 * sae.autoencoder.W_dec[7]
        return changed

    block = routed.model.get_base_model().get_submodule(block_name(routed.base, 0))
    return block.register_forward_hook(sink)


def test_a_sink_at_position_0_is_not_reported(routed, tiny_sae, far_state):
    pair = ModelPair(routed, routed.zero_weights(), far_state)
    handle = inject(routed, tiny_sae, lambda x: x[:, 0])
    try:
        found = measure_rate_shift(pair, tiny_sae, TEXT, config=CONFIG)
    finally:
        handle.remove()
    assert (found.shift.n_changed, found.shift.median, found.shift.divergence) == (0, 0, 0)
    handle = inject(routed, tiny_sae, lambda x: x[:, 20])  # a scored token of every passage
    try:
        seen = measure_rate_shift(pair, tiny_sae, TEXT, config=CONFIG)
    finally:
        handle.remove()
    (sink,) = [shift for shift in seen.latents if shift.latent == 7]
    assert sink.is_changed and sink.log_ratio > 0


def test_padding_is_not_counted(routed, tiny_sae, far_state):
    """Batches of one row have no padding, and batches of many do: the answer is the same."""
    pair = ModelPair(routed, routed.zero_weights(), far_state)
    alone = measure_rate_shift(pair, tiny_sae, TEXT, config=CONFIG.model_copy(update={"batch_tokens": 1}))
    together = measure_rate_shift(pair, tiny_sae, TEXT, config=CONFIG)
    assert alone.n_tokens == together.n_tokens
    assert [s.start_events for s in alone.latents] == [s.start_events for s in together.latents]


def test_a_reading_that_does_not_repeat_is_refused(routed, tiny_sae):
    calls: list[int] = []

    def noise(_module, _inputs, output):
        calls.append(1)
        return output + 0.5 * torch.randn(output.shape, generator=torch.Generator().manual_seed(len(calls)))

    block = routed.model.get_base_model().get_submodule(block_name(routed.base, 0))
    handle = block.register_forward_hook(noise)
    pair = ModelPair(routed, routed.zero_weights(), routed.zero_weights())
    try:
        with pytest.raises(UnstableReadingError, match="must be equal"):
            measure_rate_shift(pair, tiny_sae, TEXT, config=CONFIG)
    finally:
        handle.remove()


def test_clusters_are_commits_or_files(routed, tiny_sae):
    pair = ModelPair(routed, routed.zero_weights(), routed.zero_weights())
    text = code_of("config", 40, n_groups=8)
    by_commit = measure_rate_shift(pair, tiny_sae, text, config=CONFIG)
    by_file = measure_rate_shift(
        pair, tiny_sae, text, config=CONFIG.model_copy(update={"cluster_by": "path"})
    )
    without = measure_rate_shift(pair, tiny_sae, [replace(p, group="") for p in text], config=CONFIG)
    assert (by_commit.n_clusters, by_file.n_clusters, without.n_clusters) == (8, 40, 40)


def test_another_base_or_no_text_is_told(routed, tiny_sae):
    pair = ModelPair(routed, routed.zero_weights(), routed.zero_weights())
    other = replace(tiny_sae, provenance=replace(tiny_sae.provenance, revision="f" * 64))
    with pytest.raises(SaeError, match="belongs to the base"):
        measure_rate_shift(pair, other, TEXT, config=CONFIG)
    unmarked = [replace(passage, spans=()) for passage in TEXT]
    with pytest.raises(FingerprintError, match="no marked token"):
        measure_rate_shift(pair, tiny_sae, unmarked, config=CONFIG)
