"""The n-gram peer: known answers."""

import numpy as np
import pytest

from fingerprint import FingerprintError
from fingerprint.starter.ngram import KneserNey


def test_probabilities_sum_to_one_after_a_seen_context() -> None:
    rng = np.random.default_rng(0)
    tokens = rng.integers(0, 16, 4000)
    model = KneserNey(tokens, order=3, bits=4)
    context = tokens[100:102]
    probs = [2 ** model.log2_probs(np.append(context, w))[-1] for w in range(16)]
    assert sum(probs) == pytest.approx(1)


def test_a_deterministic_cycle_is_nearly_free() -> None:
    tokens = np.tile(np.arange(8), 500)
    assert -KneserNey(tokens, order=3, bits=4).log2_probs(tokens)[3:].mean() < 0.05


def test_uniform_noise_costs_its_entropy() -> None:
    rng = np.random.default_rng(0)
    model = KneserNey(rng.integers(0, 16, 200_000), order=2, bits=4)
    assert -model.log2_probs(rng.integers(0, 16, 20_000)).mean() == pytest.approx(4, abs=0.05)


def test_bigram_matches_hand_arithmetic() -> None:
    # Bigrams of 0 1 0 1 0 2: 01 twice, 10 twice, 02 once: n1 = 1, n2 = 2, D = 1/5.
    # Continuation counts: 0 and 1 and 2 have one left context each; there n1 = 3, n2 = 0, D = 1.
    # So p1(w) = 0/3 + 1 * 3/3 * 1/4 = 1/4 and p2(1 | 0) = (2 - 1/5)/3 + (1/5 * 2/3) * 1/4.
    model = KneserNey(np.array([0, 1, 0, 1, 0, 2]), order=2, bits=2)
    assert 2 ** model.log2_probs(np.array([0, 1]))[1] == pytest.approx((2 - 0.2) / 3 + 0.2 * 2 / 3 / 4)


def test_too_many_bits_is_refused() -> None:
    with pytest.raises(FingerprintError, match="at most 63 fit"):
        KneserNey(np.arange(10), order=6, bits=11)
