"""Oracles: completeness, the linear case, autograd of a hand-made layer, padding, base with itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fingerprint.lm.pair import ModelPair
from fingerprint.lm.tokens import full_batch, target_log_probs, tokenize_passages
from fingerprint.routing.contributions import (
    CONTEXT,
    POSITION0,
    backpropagate_scored,
    gauss_legendre,
    integrate_to_bound,
    measure_contributions,
    source_buckets,
    tapped,
)


def measure(routed, start, end, passages, **options):
    rows = tokenize_passages(routed.base, passages, 256)
    return measure_contributions(ModelPair(routed, start, end), passages, rows, **options)


def test_nodes_integrate_polynomials_exactly() -> None:
    for n in (1, 2, 3, 8):
        for degree in range(2 * n):
            assert sum(w * tau**degree for tau, w in gauss_legendre(n)) == pytest.approx(1 / (degree + 1))


def test_contributions_sum_to_the_log_ratio(tiny_routed, random_weights, passages) -> None:
    start, end = random_weights(1), random_weights(2)
    found = measure(tiny_routed, start, end, passages, n_points=16)
    rows = tokenize_passages(tiny_routed.base, passages, 256)
    exact = [np.sum(b - a) for a, b in ModelPair(tiny_routed, start, end).log_probs(rows)]
    assert found.log_ratio == pytest.approx(exact, abs=1e-4)
    assert np.abs(found.log_ratio).min() > 0.05
    assert np.abs(found.gap).max() < 1e-3
    parts = found.by_route.sum(axis=(1, 2)) + found.context + found.position0
    assert parts - found.log_ratio == pytest.approx(found.gap)
    assert found.by_class.sum(axis=(1, 2)) == pytest.approx(found.by_route.sum(axis=(1, 2)))


def test_nodes_are_doubled_until_the_bound_holds(tiny_routed, random_weights, passages) -> None:
    rows = tokenize_passages(tiny_routed.base, passages, 256)
    start, end = tiny_routed.zero_weights(), random_weights(3, 0.4)
    coarse = measure_contributions(ModelPair(tiny_routed, start, end), passages, rows, n_points=1)
    assert np.any(np.abs(coarse.gap) > coarse.bound())
    found = integrate_to_bound(ModelPair(tiny_routed, start, end), passages, rows, n_points=1)
    assert np.all(np.abs(found.gap) <= found.bound())
    assert found.n_points.max() > 1


def test_a_base_paired_with_itself_reads_zero(tiny_routed, random_weights, passages) -> None:
    for state in (tiny_routed.zero_weights(), random_weights(4)):
        found = measure(tiny_routed, state, state, passages, n_points=2)
        assert not found.table.any() and not found.magnitude.any()
        assert not found.log_ratio.any() and not any(ratio.any() for ratio in found.token_log_ratios)


def test_linear_in_the_difference_when_small(tiny_routed, random_weights, passages) -> None:
    zero, small = tiny_routed.zero_weights(), random_weights(5, 1e-4)
    half = {site: b / 2 for site, b in small.items()}
    whole = measure(tiny_routed, zero, small, passages, n_points=2).table
    assert measure(tiny_routed, zero, half, passages, n_points=2).table * 2 == pytest.approx(
        whole, abs=2e-3 * np.abs(whole).max()
    )


def test_padding_changes_nothing(tiny_routed, random_weights, passages) -> None:
    zero, end = tiny_routed.zero_weights(), random_weights(6)
    together = measure(tiny_routed, zero, end, passages, n_points=2)
    for i, passage in enumerate(passages):
        alone = measure(tiny_routed, zero, end, [passage], n_points=2)
        assert together.table[i] == pytest.approx(alone.table[0], abs=1e-5)
        assert together.log_ratio[i] == pytest.approx(alone.log_ratio[0], abs=1e-4)


def test_windows_of_one_passage_add_up(tiny_routed, random_weights, passages) -> None:
    zero, end = tiny_routed.zero_weights(), random_weights(7)
    rows = tokenize_passages(tiny_routed.base, passages[2:], 48)
    assert len(rows) > 1
    found = measure_contributions(ModelPair(tiny_routed, zero, end), passages[2:], rows, n_points=8)
    assert found.n_scored[0] == sum(row.n_scored for row in rows)
    assert abs(found.gap[0]) < found.bound()[0]


def test_equals_autograd_of_the_site_itself(tiny_routed, random_weights, passages) -> None:
    """With one site moving, the integrand is d log p / d tau, which autograd gives for lora_B directly."""
    site = tiny_routed.sites[5]
    start, end = tiny_routed.zero_weights(), tiny_routed.zero_weights()
    end[site] = random_weights(8)[site]
    rows = tokenize_passages(tiny_routed.base, passages[:1], 256)
    found = measure_contributions(ModelPair(tiny_routed, start, end), passages[:1], rows, n_points=1)
    batch = full_batch(torch.as_tensor(rows[0].ids)[None])
    batch.scored[:] = torch.as_tensor(rows[0].scored)[None]
    with tiny_routed.at(start, end, 0.5):
        total = target_log_probs(tiny_routed.model, batch).sum()
        gradient = torch.autograd.grad(total, tiny_routed.parameters[site])[0]
    expected = (gradient * end[site]).sum(0).numpy()
    m = tiny_routed.sites.index(site)
    assert found.table[0, m].sum(axis=0) == pytest.approx(expected, abs=1e-5)
    assert not np.delete(found.table[0], m, axis=0).any()


def test_hand_made_linear_layer_by_hand() -> None:
    """y = W h + s B A h, f = v . y summed: G = v, so c_i(t) = s (B[:, i] . v) (a_i . h(t)), to the digit."""
    h = torch.tensor([[[1.0, 2.0], [0.0, -1.0]]], requires_grad=True)
    a, b, v, scale = torch.tensor([[1.0, 1.0]]), torch.tensor([[2.0], [3.0]]), torch.tensor([1.0, -1.0]), 0.5
    layer = torch.nn.Linear(2, 2, bias=False)
    down = torch.nn.Linear(2, 1, bias=False)
    down.weight.data = a
    layer.lora_A = torch.nn.ModuleDict({"default": down})
    seen = {}
    with tapped({"site": layer}, lambda site, z, g: seen.update({site: (z, g)})):
        (layer(h) @ v).sum().backward()
    z, g = seen["site"]
    c = scale * (g @ b) * z
    # B . v = 2 - 3 = -1; a . h = 3, -1; c = .5 * -1 * (3, -1)
    assert c.flatten().tolist() == [-1.5, 0.5]


def test_hooks_and_state_go_after_use(tiny_routed, random_weights, passages) -> None:
    state = random_weights(9)
    tiny_routed.set_weights(state)
    # transformers leaves hooks of its own once it was asked for hidden states; ours must go
    before = [list(module._forward_hooks) for module in tiny_routed.model.modules()]
    measure(tiny_routed, tiny_routed.zero_weights(), random_weights(10), passages, n_points=1)
    assert all(torch.equal(state[site], b) for site, b in tiny_routed.weights().items())
    assert [list(module._forward_hooks) for module in tiny_routed.model.modules()] == before
    assert all(b.grad is None for b in tiny_routed.parameters.values())
    with pytest.raises(RuntimeError, match="interrupted"), tapped(tiny_routed.modules, lambda *_: None):
        raise RuntimeError("interrupted")
    assert [list(module._forward_hooks) for module in tiny_routed.model.modules()] == before
    backpropagate_scored(tiny_routed, full_batch(torch.tensor([[0, 5, 6]])))


def test_buckets_follow_the_source_token(tiny_routed, passages) -> None:
    row = tokenize_passages(tiny_routed.base, passages[:1], 256)[0]
    buckets = source_buckets(passages[0], row)
    assert buckets[0] == POSITION0
    assert set(buckets[1:][~row.scored[1:]]) == {CONTEXT}
    assert set(buckets[row.scored]) == {0, 1, 2, 3}
