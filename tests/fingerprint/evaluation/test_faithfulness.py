from __future__ import annotations

import numpy as np
import pytest
import torch

from fingerprint import FingerprintError
from fingerprint.evaluation.faithfulness import Ablation, ablate
from fingerprint.lm.pair import ModelPair, RoutedModel
from fingerprint.lm.routes import random_routes
from fingerprint.passage import Passage, passage_from_lines

RANK = 4


@pytest.fixture
def routed(tiny_base) -> RoutedModel:
    return RoutedModel(tiny_base, random_routes(tiny_base, RANK, 0))


def passages(n: int) -> list[Passage]:
    texts = [(f"    total_{i} = value + {i}", f"    return total_{i}") for i in range(n)]
    return [
        passage_from_lines(
            [(False, "def run(value):"), *((True, line) for line in text)], path="a.py", language="python"
        )
        for text in texts
    ]


def weights(routed: RoutedModel, sizes: np.ndarray, seed: int = 0) -> dict[str, torch.Tensor]:
    """B with columns of the given norms [n_sites, r] in random directions."""
    generator = torch.Generator().manual_seed(seed)
    found = {}
    for m, (site, zero) in enumerate(routed.zero_weights().items()):
        columns = torch.randn(zero.shape, generator=generator)
        found[site] = columns / columns.norm(dim=0) * torch.as_tensor(sizes[m], dtype=torch.float32)
    return found


def test_the_only_strong_routes_make_the_whole_difference(routed: RoutedModel) -> None:
    sizes = np.full((len(routed.sites), RANK), 1e-6)
    sizes[2, 1] = sizes[5, 3] = 2.0
    pair = ModelPair(routed, routed.zero_weights(), weights(routed, sizes))
    found = ablate(pair, passages(3), n_routes=2, n_draws=2, n_points=16)
    assert found.cited == pytest.approx(found.claimed, abs=0.02 * np.abs(found.claimed).max() + 1e-3)
    assert np.abs(found.random).max() < 1e-3 * np.abs(found.cited).max()
    assert found.agreement == 1
    assert found.ratio > 100


def test_of_equal_routes_the_cited_move_the_score_more(routed: RoutedModel) -> None:
    pair = ModelPair(routed, routed.zero_weights(), weights(routed, np.full((len(routed.sites), RANK), 0.3)))
    found = ablate(pair, passages(6), n_routes=4, n_draws=4)
    assert found.ratio > 1.5
    assert found.agreement >= 5 / 6


def test_too_few_alive_routes_leave_no_peers(routed: RoutedModel) -> None:
    sizes = np.zeros((len(routed.sites), RANK))
    sizes[0, 0] = 1.0
    pair = ModelPair(routed, routed.zero_weights(), weights(routed, sizes))
    with pytest.raises(FingerprintError, match="needs 2 alive routes, the adapter has 1"):
        ablate(pair, passages(1), n_routes=1)


def test_figures_by_hand() -> None:
    found = Ablation(np.array([2.0, -4.0]), np.array([[1.0, -1.0], [3.0, 1.0]]), np.array([1.0, 1.0]))
    assert found.ratio == pytest.approx(3 / 1.5)
    assert found.agreement == 0.5
    still = Ablation(np.zeros(2), np.zeros((2, 1)), np.ones(2))
    assert np.isnan(still.ratio)
