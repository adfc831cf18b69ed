import numpy as np
import pytest
import torch

from fingerprint import FingerprintError
from fingerprint.evaluation.attribution import tokenize_samples
from fingerprint.evaluation.hidden import fit_hidden, pool_hidden_states
from fingerprint.evaluation.metrics import centre_rows, macro_auroc
from fingerprint.evaluation.protocol import Sample
from fingerprint.lm.pair import RoutedModel
from fingerprint.lm.routes import random_routes
from fingerprint.passage import passage_from_lines


@pytest.fixture(scope="module")
def routed(tiny_base) -> RoutedModel:
    return RoutedModel(tiny_base, random_routes(tiny_base, 2, 0))


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    rows = [[(True, "for x in y:"), (False, "    a"), (True, "    b = c")], [(True, "class A:")] * 3]
    return [sample_of(lines) for lines in rows]


def sample_of(lines: list[tuple[bool, str]]) -> Sample:
    passage = passage_from_lines(lines, path="a.py", language="python")
    return Sample((passage,), passage.marked)


def test_states_are_the_base_s_own_mean_over_scored_tokens(routed, samples) -> None:
    read = tokenize_samples(routed, samples)
    adapted = {site: torch.ones_like(b) for site, b in routed.zero_weights().items()}
    routed.set_weights(adapted)  # what the model happens to be at must not matter
    found = pool_hidden_states(routed, read)
    assert all(torch.equal(b, adapted[site]) for site, b in routed.weights().items())
    routed.set_weights(routed.zero_weights())
    assert found.shape == (2, 3, 32)  # the embedding and two layers
    with torch.no_grad():
        for row in read.rows:
            ids = torch.from_numpy(row.ids).long()[None]
            states = routed.base.model.model(input_ids=ids, output_hidden_states=True).hidden_states
            for layer, state in enumerate(states):
                expected = state[0, torch.from_numpy(row.scored)].mean(dim=0).numpy()
                np.testing.assert_allclose(found[row.passage_index, layer], expected, rtol=1e-4, atol=1e-5)


def test_windows_of_a_sample_weigh_by_their_scored_tokens(routed, samples) -> None:
    """At the embedding a window's cut changes no state, so the pooled mean is that of the whole text."""
    long = sample_of([(True, f"value_{i} = first") for i in range(9)])
    whole = pool_hidden_states(routed, tokenize_samples(routed, [long, samples[0]]))
    cut = pool_hidden_states(
        routed, tokenize_samples(routed, [long, samples[0]], max_tokens=24), batch_tokens=48
    )
    np.testing.assert_allclose(whole[:, 0], cut[:, 0], rtol=1e-4, atol=1e-6)


def test_a_sample_without_scored_tokens_is_zero(routed, samples) -> None:
    empty = sample_of([(False, "x = 1")])
    found = pool_hidden_states(routed, tokenize_samples(routed, [samples[0], empty]))
    assert not found[1].any() and found[0].any()
    assert not pool_hidden_states(routed, tokenize_samples(routed, [empty])).any()


def draw(n: int, seed: int, n_authors: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Four layers of 12 numbers; authors differ at layer 2 alone, in a direction quieter than the noise."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % n_authors
    states = rng.normal(0, 1, (n, 4, 12)) * np.linspace(10, 0.5, 12)
    states[:, 2, -2:] += np.array([[0, 3], [3, 0], [-3, -3], [3, 3]])[labels]
    return states.astype(np.float32), labels


@pytest.mark.parametrize("back_end", ["discriminant", "neighbours"])
@pytest.mark.parametrize("n_authors", [2, 3])
def test_the_layer_that_knows_is_found(back_end, n_authors: int) -> None:
    states, labels = draw(120, 0, n_authors)
    dev, dev_labels = draw(60, 1, n_authors)
    model = fit_hidden(states, labels, n_authors, dev_states=dev, dev_labels=dev_labels, back_end=back_end)
    new, truth = draw(90, 2, n_authors)
    assert model.layer == 2
    assert macro_auroc(centre_rows(model.score(new)), truth) > 0.95


@pytest.mark.parametrize("back_end", ["discriminant", "neighbours"])
def test_absent_authors_get_the_rows_least_score(back_end) -> None:
    states, labels = draw(60, 3, 2)
    model = fit_hidden(states, labels * 2, 4, dev_states=states, dev_labels=labels * 2, back_end=back_end)
    scores = model.score(states)
    np.testing.assert_array_equal(scores[:, [1, 3]], np.repeat(scores.min(axis=1, keepdims=True), 2, axis=1))


def test_a_common_author_has_no_head_start() -> None:
    """Ten times the texts of one author, and nothing to tell them apart: both are as likely."""
    rng = np.random.default_rng(4)
    states, labels = rng.normal(0, 1, (220, 1, 6)).astype(np.float32), np.arange(220) // 200
    model = fit_hidden(states, labels, 2, dev_states=states, dev_labels=labels)
    wins = model.score(rng.normal(0, 1, (400, 1, 6)).astype(np.float32)).argmax(axis=1)
    assert 0.25 < wins.mean() < 0.75


def test_one_author_is_refused() -> None:
    states, labels = draw(20, 5)
    with pytest.raises(FingerprintError, match="at least two authors, got 1"):
        fit_hidden(states, labels * 0, 3, dev_states=states, dev_labels=labels)
    with pytest.raises(FingerprintError, match="at least two authors, got 1"):
        fit_hidden(states, labels, 3, dev_states=states, dev_labels=labels * 0)
