from __future__ import annotations

import numpy as np
import pytest
import torch

from fingerprint import FingerprintError
from fingerprint.development.units import Unit, read_block, read_units
from fingerprint.lm.pair import RoutedModel
from fingerprint.lm.routes import random_routes
from fingerprint.lm.tokens import pad_batch, target_log_probs, tokenize_passages
from fingerprint.passage import passage_from_lines
from fingerprint.sae.autoencoder import TopKAutoencoder


def unit(lines: list[tuple[bool, str]], label: bool, group: str) -> Unit:
    return Unit(passage_from_lines(lines, path="a.py", language="python"), label, group)


UNITS = [
    unit([(False, "import os"), (True, "for index in values:"), (True, "    print(index)")], True, "a"),
    unit([(True, "class Point:")], False, "b"),
    unit([(True, f"value_{i} = first + {i}") for i in range(120)], True, "c"),
]


@pytest.fixture(scope="module")
def model(tiny_base) -> RoutedModel:
    return RoutedModel(tiny_base, random_routes(tiny_base, 4, seed=1))


def test_rows_are_means_over_scored_tokens(model, tiny_base) -> None:
    found = read_units(model, UNITS[:2])
    (window,) = tokenize_passages(tiny_base, [UNITS[0].passage])
    batch = pad_batch([window], [0])
    with torch.no_grad():
        states = tiny_base.model(input_ids=batch.ids, output_hidden_states=True).hidden_states
        loss = -target_log_probs(tiny_base.model, batch)[batch.scored].mean()
    expected = states[1][batch.scored].mean(0)
    np.testing.assert_allclose(found.activations[0, 0], expected.numpy(), atol=1e-5)
    assert found.activations.shape == (2, 2, 32) and found.nll[0] == pytest.approx(float(loss), abs=1e-5)
    assert found.n_scored[0] == window.n_scored and found.groups == ("a", "b")


def test_a_long_text_is_one_unit_and_its_ends_are_its_own(model) -> None:
    whole, first, last = (read_units(model, UNITS, pool=pool) for pool in ("mean", "first", "last"))
    assert whole.n_scored[2] > 512  # more than a window
    alone = read_units(model, [UNITS[1], UNITS[2]], pool="last")
    np.testing.assert_allclose(last.activations[2], alone.activations[1], atol=1e-5)
    assert not np.allclose(first.activations[2], last.activations[2])
    one_token = read_units(model, UNITS, pool="first").activations[0]
    assert not np.allclose(one_token, whole.activations[0])


def test_latents_are_pooled_like_activations(model) -> None:
    torch.manual_seed(0)
    dictionary = TopKAutoencoder(32, 16, 16)  # every positive latent fires: pooling can be done by hand
    found = read_units(model, UNITS[:2], dictionaries={1: dictionary}, pool="last")
    x = torch.from_numpy(found.activations[:, 1]).float()
    np.testing.assert_allclose(found.latents[1], dictionary.pre_activations(x).detach().numpy(), atol=1e-4)


def test_the_state_is_the_models_own(model) -> None:
    before = read_units(model, UNITS[:2])
    state = {site: torch.full_like(b, 0.5) for site, b in model.zero_weights().items()}
    with model.at(state, state, 0.0):
        changed = read_units(model, UNITS[:2])
    assert not np.allclose(before.activations, changed.activations)
    np.testing.assert_array_equal(before.activations, read_units(model, UNITS[:2]).activations)


def test_one_block_alone_reads_the_same(model) -> None:
    whole = read_units(model, UNITS)
    for layer in (0, 1):
        np.testing.assert_allclose(read_block(model, UNITS, layer), whole.activations[:, layer], atol=1e-5)


def test_identical_texts_have_identical_rows(model) -> None:
    twin = Unit(UNITS[0].passage, False, "a")
    found = read_units(model, [UNITS[0], twin])
    np.testing.assert_array_equal(found.activations[0], found.activations[1])


def test_units_without_marks_or_with_one_label_are_refused(model) -> None:
    empty = unit([(False, "import os")], False, "z")
    with pytest.raises(FingerprintError, match="mark no text"):
        read_units(model, [UNITS[0], empty])
    with pytest.raises(FingerprintError, match="both labels"):
        read_units(model, [UNITS[0]])
