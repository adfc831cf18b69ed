from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from fingerprint import FingerprintError
from fingerprint.lm.pair import ModelPair
from fingerprint.lm.tokens import hidden_states, length_buckets, pad_batch, tokenize_passages
from fingerprint.vpd.alive_set import SharedDictionary, compare_alive_sets
from fingerprint.vpd.components import VpdError
from fingerprint.vpd.config import AliveSetConfig
from fingerprint.vpd.gates import GatingNetwork
from fingerprint.vpd.report import AliveSetDiff
from fingerprint.vpd.store import save_decomposition

QUICK = AliveSetConfig(n_flips=255, n_draws=50, least_events=4, batch_tokens=128)


def compare(routed, dictionary, text, end, **options) -> AliveSetDiff:
    pair = ModelPair(routed, routed.zero_weights(), end)
    return compare_alive_sets(pair, dictionary, text, config=QUICK, **options)


def test_base_against_base_is_exactly_empty(routed, dictionary, text):
    found = compare(routed, dictionary, text, routed.zero_weights(), nulls={"null": routed.zero_weights()})
    for change in (found.change, found.control, *found.nulls):
        assert all(row.is_empty for row in (*change.matrices, change.total))
    assert found.change.total.n_tested > 10
    assert {(c.change, c.p_value, c.q_value, c.low, c.high) for c in found.components} == {(0, 1, 1, 0, 0)}
    assert found.masked_adapted == found.masked_base > 0


def test_figures_are_those_of_the_gates_themselves(routed, dictionary, text, state):
    end = state(0)
    found = compare(routed, dictionary, text, end)
    rows = tokenize_passages(routed.base, text, QUICK.window_tokens)
    batch = pad_batch(rows, range(len(rows)))
    gates = []
    for weights in (routed.zero_weights(), end):
        with routed.at(weights, weights, 0.0):
            gates.append(dictionary.gates(batch)[batch.scored].double().numpy())
    base, adapted = gates
    total = found.change.total
    assert found.n_tokens == len(base) == sum(row.n_scored for row in rows)
    alive, now = base.mean(0) > QUICK.alive, adapted.mean(0) > QUICK.alive
    assert (total.n_alive_base, total.n_alive_adapted) == (alive.sum(), now.sum())
    assert (total.n_gained, total.n_lost) == ((now & ~alive).sum(), (alive & ~now).sum())
    assert total.n_both + total.n_lost == total.n_alive_base
    assert total.l0_adapted == pytest.approx((adapted > 0).sum(1).mean(), rel=1e-6)
    assert total.mean_absolute_change == pytest.approx(np.abs(adapted - base).mean(), rel=1e-4)
    assert total.mean_change == pytest.approx((adapted - base).mean(), rel=1e-4)
    assert sum(row.n_components for row in found.change.matrices) == total.n_components
    assert sum(row.n_significant for row in found.change.matrices) == total.n_significant > 0


def test_nulls_stand_beside_and_make_a_band(routed, dictionary, text, state):
    nulls = {f"null {i}": state(10 + i, 0.1) for i in range(2)}
    found = compare(routed, dictionary, text, state(0), adapter="ann", nulls=nulls)
    band = found.band("n_gained")
    assert band is not None and band[0] <= band[1]
    assert {null.name for null in found.nulls} == set(nulls)
    assert all((c.null_low or 0) <= (c.null_high or 0) for c in found.components)
    assert found.n_beyond is not None and found.n_beyond <= found.change.total.n_significant
    assert "null adapters" in found.statement and "ann" in found.statement
    assert AliveSetDiff.model_validate_json(found.model_dump_json()) == found
    alone = compare(routed, dictionary, text, state(0))
    assert "NOT CONTROLLED" in alone.statement and alone.band("n_gained") is None and alone.n_beyond is None
    assert alone.change == found.change.model_copy(update={"name": "the adapter"})


def test_an_adapter_at_other_sites_of_the_last_layer_opens_no_gate(routed, dictionary, text):
    """The last layer's output feeds no gate: what an adapter does there cannot show."""
    end = routed.zero_weights()
    end[routed.sites[-1]] += 1.0
    found = compare(routed, dictionary, text, end)
    assert found.change.total.is_empty
    assert found.masked_adapted != found.masked_base


def test_what_the_adapter_adds_stays_on_under_masks(routed, dictionary, text, state):
    """All components and Delta at 1 in an adapted state is that state."""
    end = state(1)
    rows = tokenize_passages(routed.base, text[:2], 64)
    batch = pad_batch(rows, length_buckets(rows, 4096)[0])
    components = dictionary.found.components
    with torch.no_grad(), routed.at(end, end, 0.0) as model:
        clean = hidden_states(model, batch)
        with components.masked(components.constant_masks(1.0, 1.0)):
            assert torch.allclose(hidden_states(model, batch), clean, atol=1e-4)
        with components.masked(components.constant_masks(0.0, 0.0)):
            assert not torch.allclose(hidden_states(model, batch), clean, atol=1e-2)


def test_a_dictionary_is_stored_with_its_base(routed, dictionary, tmp_path):
    save_decomposition(dictionary.found, dictionary.target, tmp_path / "found")
    again = SharedDictionary.load(tmp_path / "found", routed)
    assert again.digest == dictionary.digest
    assert tuple(again.target.sites) == tuple(dictionary.target.sites)
    with pytest.raises(VpdError, match="No readable decomposition"):
        SharedDictionary.load(tmp_path / "missing", routed)


def test_text_without_a_marked_token_is_refused(routed, dictionary):
    with pytest.raises(FingerprintError, match="no marked token"):
        compare(routed, dictionary, [], routed.zero_weights())


class OnlyAtTheFirstToken(GatingNetwork):
    """Component 0 opens at position 0 alone, the sink; component 1 at every position but that."""

    def forward(self, inputs):
        z = torch.full_like(super().forward(inputs), -1.0)
        z[:, 0, 0] = 1.0
        z[:, 1:, 1] = 1.0
        return z


def test_what_fires_at_position_0_alone_is_not_alive(routed, dictionary, text):
    sink = OnlyAtTheFirstToken(
        dictionary.found.components, dictionary.found.gates.taps, dictionary.found.config
    )
    found = replace(dictionary, found=replace(dictionary.found, gates=sink.requires_grad_(False)))
    total = compare(routed, found, text, routed.zero_weights()).change.total
    assert (total.n_alive_base, total.n_tested, total.l0_base) == (1, 1, 1)
