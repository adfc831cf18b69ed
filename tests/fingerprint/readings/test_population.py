"""A population with planted styles: every half finds its author by what is read of it; without, none does.

The states are made, not trained: all share what everybody learns, an author's two halves share one direction
at a few matrices, and each half has noise of its own. So only the reads and the identification are tested.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fingerprint.evaluation.metrics import auroc
from fingerprint.evaluation.replication import half_similarity, identify_halves
from fingerprint.lm.pair import RoutedModel, RouteWeights
from fingerprint.readings.measure import Text, read_routes, read_spectrum

N_AUTHORS, N_STYLED = 8, 4
"""Authors, and matrices that a style is written into."""
SHARED, STYLE, NOISE = 0.2, 1.0, 0.02
N_DEALS = 400


@pytest.fixture(scope="module")
def read(routed, text) -> Text:
    return Text.of(routed.base, text)


def population(routed: RoutedModel, style: float, seed: int) -> dict[str, RouteWeights]:
    """Halves A of all authors, then halves B."""
    generator = torch.Generator().manual_seed(seed)

    def noise(size: float) -> RouteWeights:
        zero = routed.zero_weights()
        return {site: size * torch.randn(b.shape, generator=generator) for site, b in zero.items()}

    shared, styles = noise(SHARED), [noise(0.0) for _ in range(N_AUTHORS)]
    for own in styles:
        for index in torch.randperm(len(routed.sites), generator=generator)[:N_STYLED].tolist():
            b = own[routed.sites[index]]
            direction = torch.randn(b.shape[0], generator=generator)
            b[:, int(torch.randint(b.shape[1], (), generator=generator))] = (
                style * direction / direction.norm()
            )
    return {
        f"{half} {author}": {
            site: shared[site] + styles[author][site] + b for site, b in noise(NOISE).items()
        }
        for half in "AB"
        for author in range(N_AUTHORS)
    }


def signatures(routed: RoutedModel, read: Text, style: float, seed: int) -> dict[str, np.ndarray]:
    """What every read says of every half."""
    states = population(routed, style, seed)
    parts = [*read_routes(routed, routed.zero_weights(), states, read), read_spectrum(routed, states)]
    return {part.name: part.signatures for part in parts}


def area(similarity: np.ndarray, deal: np.ndarray) -> float:
    """AUROC of each half A with the half B it is dealt, against all other pairs."""
    is_own = np.zeros(similarity.shape, bool)
    is_own[np.arange(N_AUTHORS), deal] = True
    return auroc(similarity[is_own], similarity[~is_own])


def similarity_of(rows: np.ndarray) -> np.ndarray:
    return half_similarity(rows[:N_AUTHORS], rows[N_AUTHORS:])


def test_every_half_finds_its_author_and_permuted_labels_find_nobody(routed, read):
    for name, rows in signatures(routed, read, STYLE, 0).items():
        similarity, rng = similarity_of(rows), np.random.default_rng(1)
        found = identify_halves(similarity)
        assert found.auroc > 0.95 and found.p_value < 0.01, name
        assert found.auroc == pytest.approx(area(similarity, np.arange(N_AUTHORS))), name
        permuted = np.array([area(similarity, rng.permutation(N_AUTHORS)) for _ in range(N_DEALS)])
        assert abs(permuted.mean() - 0.5) < 1.96 * permuted.std() / N_DEALS**0.5, name
        assert np.quantile(permuted, 0.025) < 0.5 < np.quantile(permuted, 0.975) < found.auroc, name


def test_without_a_style_halves_find_nobody(routed, read):
    """What all share is read of everybody, and says of nobody who wrote it."""
    found = [
        identify_halves(similarity_of(rows))
        for seed in (1, 2)
        for rows in signatures(routed, read, 0.0, seed).values()
    ]
    assert min(one.p_value for one in found) > 0.05
    assert abs(np.mean([one.auroc for one in found]) - 0.5) < 0.15
