from __future__ import annotations

import copy

import pytest
import torch

from fingerprint.weights.swap import (
    OUTSIDE,
    layers_of_model,
    layers_of_routed,
    swap_layers,
    switch_models,
    switch_states,
)


def test_the_layer_that_writes_is_the_one_that_moves_the_read_out(routed) -> None:
    start = routed.zero_weights()
    end = {site: b.clone() for site, b in start.items()}
    end["model.layers.1.mlp.down_proj"] += 0.5
    end["model.layers.4.mlp.down_proj"] += 0.5
    ids = torch.arange(1, 12)[None]
    w = torch.nn.functional.normalize(torch.ones(64), dim=0)

    def read() -> float:
        """Along w, behind block 2: what block 4 does cannot be seen there."""
        return float((routed.model(ids, output_hidden_states=True).hidden_states[3] @ w).mean())

    with torch.no_grad():
        found = swap_layers("step", layers_of_routed(routed), switch_states(routed, start, end), read)
    by_layer = {row.layer: row for row in found.layers}
    assert abs(by_layer[1].only) > 0.01
    assert by_layer[1].only == pytest.approx(found.end - found.start, rel=1e-5)
    assert by_layer[1].without == pytest.approx(by_layer[1].only, rel=1e-5)
    assert all(by_layer[n].only == by_layer[n].without == 0.0 for n in (0, 2, 3, 4))
    assert not any(b.any() for b in routed.weights().values())


def test_full_checkpoints_swap_every_parameter_and_are_restored(routed) -> None:
    before = routed.base.model
    after, model = copy.deepcopy(before), copy.deepcopy(before)
    with torch.no_grad():
        for parameter in after.parameters():
            parameter.add_(1.0)

    def read() -> float:
        moved = zip(model.parameters(), before.parameters(), strict=True)
        return float(sum((a - b).abs().sum() for a, b in moved))

    sizes = {OUTSIDE: 0, 0: 0}
    for name, parameter in model.named_parameters():
        if ".layers." not in name:
            sizes[OUTSIDE] += parameter.numel()
        elif ".layers.0." in name:
            sizes[0] += parameter.numel()
    with torch.no_grad():
        found = swap_layers("step", layers_of_model(model), switch_models(model, before, after), read)
    by_layer = {row.layer: row for row in found.layers}
    assert set(by_layer) == {OUTSIDE, 0, 1, 2, 3, 4}
    assert by_layer[0].only == pytest.approx(sizes[0], rel=1e-4)
    assert by_layer[OUTSIDE].only == pytest.approx(sizes[OUTSIDE], rel=1e-4)
    assert read() == 0.0
