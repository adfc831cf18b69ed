from __future__ import annotations

import pytest
import torch

from fingerprint.lm.pair import RoutedModel
from fingerprint.lm.routes import random_routes
from fingerprint.passage import passage_from_lines
from fingerprint.vpd.components import VpdError
from fingerprint.vpd.config import VpdConfig
from fingerprint.vpd.language import decompose_edit, decompose_mlp

BRIEF = VpdConfig.tiny().model_copy(
    update={
        "steps": 2,
        "gate_width": 16,
        "rows": 2,
        "row_tokens": 12,
        "evaluate_every": 3,
        "pgd_steps": (0, 1),
    }
)
TEXT = [
    passage_from_lines([(True, f"value = config({i})")], path="a.py", language="python") for i in range(4)
]


def test_the_mlp_of_a_layer(tiny_base):
    found = decompose_mlp(tiny_base, 1, [(1.0, TEXT[:3])], TEXT[3:], BRIEF)
    names = ("gate_proj", "up_proj", "down_proj")
    assert list(found.metrics.sites) == [f"model.layers.1.mlp.{name}" for name in names]
    assert found.verdict.is_valid
    with pytest.raises(VpdError, match="got none"):
        decompose_mlp(tiny_base, 9, [(1.0, TEXT[:3])], TEXT[3:], BRIEF)


@pytest.mark.parametrize("gates", ["mlp", "transformer"])
def test_the_edit_of_a_state(tiny_base, gates):
    routed = RoutedModel(tiny_base, random_routes(tiny_base, 2, 0))
    weights = {site: torch.full_like(b, 0.1) for site, b in routed.zero_weights().items()}
    config = BRIEF.model_copy(update={"gates": gates})
    sites = routed.sites[:2]
    found = decompose_edit(routed, weights, [(1.0, TEXT[:3])], TEXT[3:], config, sites=sites)
    assert len(found.gates.taps) == (1 if gates == "transformer" else 2)
    assert tuple(found.metrics.sites) == sites
    assert all(not b.any() for b in routed.parameters.values())
