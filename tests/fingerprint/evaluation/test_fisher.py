"""Fisher scores against the slope of the likelihood, products under projection, and authors told apart."""

import numpy as np
import pytest
import torch

from fingerprint import FingerprintError
from fingerprint.evaluation.attribution import sample_log_probs, scanned, tokenize_samples
from fingerprint.evaluation.fisher import fit_fisher_classifier, fit_fisher_space
from fingerprint.evaluation.metrics import centre_rows, macro_auroc
from fingerprint.evaluation.protocol import Sample
from fingerprint.lm.pair import RoutedModel
from fingerprint.lm.routes import random_routes
from fingerprint.passage import passage_from_lines

WORDS = (("for", "x", "in", "y:"), ("class", "A:", "pass", "#"))


@pytest.fixture(scope="module")
def routed(tiny_base) -> RoutedModel:
    return RoutedModel(tiny_base, random_routes(tiny_base, 2, 0), scale=1.5)


def samples(n: int, seed: int) -> tuple[list[Sample], np.ndarray]:
    """Texts of two authors, each of words that are mostly their own; the last one adds nothing."""
    rng = np.random.default_rng(seed)
    found, labels = [], []
    for i in range(n):
        author = i % 2
        mixed = [WORDS[author if rng.random() < 0.8 else 1 - author][rng.integers(4)] for _ in range(20)]
        passage = passage_from_lines([(i < n - 1, " ".join(mixed))], path=f"{i}.py", language="python")
        found.append(Sample((passage,), passage.marked))
        labels.append(author)
    return found, np.array(labels)


@pytest.fixture(scope="module")
def read(routed):
    return tokenize_samples(routed, samples(25, 0)[0], max_tokens=32)


def test_the_score_is_the_slope_of_the_likelihood_at_the_base(routed, read) -> None:
    generator = torch.Generator().manual_seed(1)
    direction = {s: torch.randn(b.shape, generator=generator) for s, b in routed.zero_weights().items()}
    step = 1e-3
    ends = {str(sign): {s: sign * step * d for s, d in direction.items()} for sign in (1, -1)}
    found = sample_log_probs(routed, ends, read)
    slope = (found["1"] - found["-1"]) / (2 * step)
    for chosen, scan in scanned(routed, routed.zero_weights(), read):
        inner = [torch.einsum("rdn,dr->n", scan.K[site], direction[site]) for site in direction]
        got = scan.scale * torch.stack(inner).sum(0).numpy()
        np.testing.assert_allclose(got, slope[chosen], rtol=2e-2, atol=2e-2)


def test_the_projection_keeps_products(routed, read) -> None:
    space = fit_fisher_space(routed, read, n_features=512)
    placed = space.place(read).astype(float)
    assert placed.shape == (25, 512) and not placed[-1].any()
    ((chosen, scan),) = scanned(routed, routed.zero_weights(), read)
    flat = np.concatenate([k.flatten(0, 1).T.numpy() for k in scan.K.values()], axis=1)
    exact = flat / np.sqrt((flat**2).mean(axis=1, keepdims=True)) / space.spread

    def cosines(rows: np.ndarray) -> np.ndarray:
        unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        return unit @ unit.T

    np.testing.assert_allclose(cosines(placed[chosen]), cosines(exact), atol=0.2)


def test_spread_is_of_the_texts_it_was_fitted_on(routed, read) -> None:
    space = fit_fisher_space(routed, read)
    ((_, scan),) = scanned(routed, routed.zero_weights(), read)
    flat = np.concatenate([k.flatten(0, 1).T.numpy() for k in scan.K.values()], axis=1)
    flat /= np.sqrt((flat**2).mean(axis=1, keepdims=True))
    expected = flat.std(axis=0)
    np.testing.assert_allclose(space.spread, expected + 1e-3 * expected.mean(), rtol=1e-3)


def test_authors_are_told_apart_on_new_texts_and_shuffled_ones_are_not(routed) -> None:
    (known, labels), (new, truth) = samples(60, 1), samples(60, 2)
    rows = [tokenize_samples(routed, part, max_tokens=32) for part in (known, new)]
    space = fit_fisher_space(routed, rows[0])
    train, test = (space.place(part) for part in rows)
    own = fit_fisher_classifier(train, labels, 3).score(test)
    assert own.shape == (60, 3)
    assert macro_auroc(centre_rows(own[:, :2]), truth) > 0.95
    assert (own[:, 2] <= own[:, :2].min(axis=1)).all()
    dealt = [
        macro_auroc(centre_rows(fit_fisher_classifier(train, order, 2).score(test)), truth)
        for order in (np.random.default_rng(seed).permutation(labels) for seed in range(10))
    ]
    assert 0.3 < np.mean(dealt) < 0.7


def test_too_little_to_fit_on_is_said(routed, read) -> None:
    with pytest.raises(FingerprintError, match="at least two authors"):
        fit_fisher_classifier(np.ones((3, 4), np.float16), np.zeros(3, int), 2)
    empty = tokenize_samples(routed, samples(1, 0)[0], max_tokens=32)
    with pytest.raises(FingerprintError, match="scored tokens"):
        fit_fisher_space(routed, empty)
