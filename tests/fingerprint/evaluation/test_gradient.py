import numpy as np
import pytest
import torch

from fingerprint import FingerprintError
from fingerprint.evaluation.attribution import sample_log_probs, tokenize_samples
from fingerprint.evaluation.gradient import align_gradients
from fingerprint.evaluation.protocol import Sample
from fingerprint.lm.pair import RoutedModel
from fingerprint.lm.routes import random_routes
from fingerprint.passage import passage_from_lines


@pytest.fixture(scope="module")
def routed(tiny_base) -> RoutedModel:
    return RoutedModel(tiny_base, random_routes(tiny_base, 2, 0), scale=1.5)


@pytest.fixture(scope="module")
def read(routed):
    rows = [
        [(True, "for x in y:"), (False, "    a"), (True, "    b = c")],
        [(True, "class A:")] * 6,
        [(False, "a")],
    ]
    passages = [passage_from_lines(lines, path="a.py", language="python") for lines in rows]
    samples = [Sample((passage,), passage.marked) for passage in passages]
    return tokenize_samples(routed, samples, max_tokens=24)


@pytest.fixture(scope="module")
def states(routed):
    """B + D of the authors in columns 0 and 2."""
    generator = torch.Generator().manual_seed(1)
    zero = routed.zero_weights()
    return {k: {site: torch.randn(b.shape, generator=generator) for site, b in zero.items()} for k in (0, 2)}


def slope(routed, read, state) -> np.ndarray:
    """d/de of -L at the base plus e times the state, per scored token, by central differences."""
    step = 1e-3
    ends = {str(sign): {site: sign * step * b for site, b in state.items()} for sign in (1, -1)}
    found = sample_log_probs(routed, ends, read)
    return (found["1"] - found["-1"]) / (2 * step) / np.maximum(read.n_scored, 1)


def test_the_whole_is_the_slope_of_the_loss_at_the_base(routed, read, states) -> None:
    routed.set_weights(states[2])  # what the model happens to be at must not matter
    scores = align_gradients(routed, states, 4).score(read)
    routed.set_weights(routed.zero_weights())
    assert scores.shape == (3, 4)
    assert np.abs(scores[:2, 0]).min() > 0.01
    for column in (0, 2):
        expected = slope(routed, read, states[column])
        np.testing.assert_allclose(scores[:, column], expected, rtol=2e-2, atol=2e-3)


def test_each_matrix_is_the_slope_along_its_own_weights(routed, read, states) -> None:
    parts = align_gradients(routed, states, 3).by_matrix(read)
    assert parts.shape == (3, 3, len(routed.sites))
    for number, site in list(enumerate(routed.sites))[::5]:
        alone = {other: b * (other == site) for other, b in states[0].items()}
        expected = slope(routed, read, alone)
        np.testing.assert_allclose(parts[:, 0, number], expected, rtol=2e-2, atol=2e-3)


def test_authors_without_an_adapter_and_texts_without_tokens(routed, read, states) -> None:
    aligned = align_gradients(routed, states, 3)
    parts = aligned.by_matrix(read)
    np.testing.assert_array_equal(parts[:, 1], np.minimum(parts[:, 0], parts[:, 2]))
    assert not parts[2].any()
    scores = aligned.score(read)
    np.testing.assert_array_equal(scores[:, 1], np.minimum(scores[:, 0], scores[:, 2]))


def test_one_author_is_refused(routed, states) -> None:
    with pytest.raises(FingerprintError, match="at least two authors, got 1"):
        align_gradients(routed, {0: states[0]}, 2)
