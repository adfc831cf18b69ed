from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from fingerprint import FingerprintError
from fingerprint.lm.load import load_base
from fingerprint.lm.pair import ModelPair, RoutedModel, add_weights, subtract_weights
from fingerprint.lm.routes import RoutesError, random_routes
from fingerprint.lm.tokens import pad_batch, target_log_probs, tokenize_passages
from fingerprint.passage import passage_from_lines


@pytest.fixture
def routed(tiny_base) -> RoutedModel:
    return RoutedModel(tiny_base, random_routes(tiny_base, 4, 0), scale=2.0)


@pytest.fixture
def windows(tiny_base):
    sources = [
        passage_from_lines([(True, f"    first = {i} + second")] * n, path="a.py", language="python")
        for i, n in enumerate((1, 7, 3))
    ]
    return tokenize_passages(tiny_base, sources, 128)


def random_weights(routed: RoutedModel, seed: int):
    generator = torch.Generator().manual_seed(seed)
    zero = routed.zero_weights()
    return {site: 0.1 * torch.randn(b.shape, generator=generator) for site, b in zero.items()}


def test_zero_weights_are_the_base_and_the_base_is_never_changed(tiny_base, routed, windows):
    batch = pad_batch(windows, [0, 1, 2])
    with torch.inference_mode():
        before = target_log_probs(tiny_base.model, batch)
        torch.testing.assert_close(target_log_probs(routed.model, batch), before)
        routed.set_weights(random_weights(routed, 0))
        assert not torch.equal(target_log_probs(routed.model, batch), before)
        assert torch.equal(target_log_probs(tiny_base.model, batch), before)
    shared = routed.model.get_base_model().get_submodule("model.embed_tokens")
    assert shared.weight is tiny_base.model.get_submodule("model.embed_tokens").weight


def test_a_state_adds_s_b_a_to_every_weight(tiny_base_dir, routed, windows):
    weights = random_weights(routed, 0)
    routed.set_weights(weights)
    merged = load_base(str(tiny_base_dir))
    with torch.no_grad():
        for site in merged.sites:
            merged.model.get_parameter(f"{site}.weight").add_(2.0 * weights[site] @ routed.routes.A[site])
        batch = pad_batch(windows, [0, 1, 2])
        expected, found = (target_log_probs(m, batch) for m in (merged.model, routed.model))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_a_base_known_by_another_name_than_its_place_warns_of_nothing(tiny_base):
    named = replace(tiny_base, name="starter")
    routed = RoutedModel(named, random_routes(named, 4, 0))  # warnings are errors
    assert routed.model.peft_config["default"].base_model_name_or_path == "starter"


def test_only_b_learns(routed):
    learning = [name for name, p in routed.model.named_parameters() if p.requires_grad]
    assert len(learning) == len(routed.sites)
    assert all("lora_B" in name for name in learning)


def test_a_pair_of_a_state_with_itself_reads_exactly_zero(routed, windows):
    weights = random_weights(routed, 0)
    for start, end in ModelPair(routed, weights, weights).log_probs(windows):
        assert np.array_equal(start, end)


def test_a_pair_reads_both_states_in_the_windows_order(routed, windows):
    weights = random_weights(routed, 0)
    found = ModelPair(routed, routed.zero_weights(), weights).log_probs(windows, batch_tokens=64)
    routed.set_weights(weights)
    for window, (start, end) in zip(windows, found, strict=True):
        assert len(start) == len(end) == window.n_scored
        with torch.inference_mode():
            alone = target_log_probs(routed.model, pad_batch([window], [0]))[0].numpy()[window.scored]
        assert np.abs(end - alone).max() < 5e-6
        assert np.abs(end - start).max() > 1e-3


def test_between_is_linear_and_the_state_comes_back(routed):
    start, end = random_weights(routed, 0), random_weights(routed, 1)
    routed.set_weights(start)
    site = routed.sites[5]
    with routed.at(start, end, 0.25):
        torch.testing.assert_close(routed.weights()[site], 0.75 * start[site] + 0.25 * end[site])
    assert torch.equal(routed.weights()[site], start[site])


def test_sums_and_differences():
    first, second = {"m": torch.tensor([1.0])}, {"m": torch.tensor([0.25])}
    assert add_weights(first, second)["m"].item() == 1.25
    assert subtract_weights(first, second)["m"].item() == 0.75


def test_weights_of_another_shape_or_site_are_refused(routed):
    weights = routed.zero_weights()
    with pytest.raises(FingerprintError, match="got None"):
        routed.set_weights({site: b for site, b in weights.items() if site != routed.sites[2]})
    with pytest.raises(FingerprintError, match="do not fit"):
        routed.set_weights({**weights, routed.sites[0]: torch.zeros(32, 5)})


def test_routes_of_another_base_are_refused(tiny_base):
    routes = random_routes(tiny_base, 4, 0)
    object.__setattr__(routes, "revision", "other")
    with pytest.raises(RoutesError):
        RoutedModel(tiny_base, routes)
