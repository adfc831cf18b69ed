from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import chisquare
from torch import nn

from fingerprint.vpd.components import Site, start_components
from fingerprint.vpd.masks import draw_sources, draw_subset, masks_from, step_generator

CPU = torch.device("cpu")


@pytest.fixture
def components():
    sites = {"a": Site(nn.Linear(3, 4)), "b": Site(nn.Linear(4, 2))}
    return start_components(sites, "gaussian", 2, 1.0, 0)


def test_masks_on_hand_numbers(components):
    gates = torch.tensor([[0.0, 0.5, 1.0, 0.2]])
    sources = torch.tensor([[0.3, 0.5, 0.0, 1.0, 0.25, 0.75]])
    masks = masks_from(components, gates, sources)
    # .5 + .5 * .5 = .75; a full gate cannot be masked; a source of 1 masks nothing
    assert masks.components.tolist() == [pytest.approx([0.3, 0.75, 1.0, 1.0])]
    assert masks.delta.tolist() == [[0.25, 0.75]]
    pinned = masks_from(components, gates, sources, mask_delta=False)
    assert pinned.delta.tolist() == [[1.0, 1.0]]


def test_sites_not_chosen_are_not_masked(components):
    zero = torch.zeros(1, 4), torch.zeros(1, 6)
    masks = masks_from(components, *zero, chosen=torch.tensor([[True, False]]))
    assert masks.components.tolist() == [[0.0, 0.0, 1.0, 1.0]]
    assert masks.delta.tolist() == [[0.0, 1.0]]


def test_subsets_have_uniform_size_and_no_favourite_site():
    """k uniform on 1..L, every set of k as likely as any other, never empty."""
    n_sites, n = 4, 20_000
    chosen = draw_subset((n,), n_sites, step_generator(CPU, 0, 0)).numpy()
    sizes = chosen.sum(1)
    assert sizes.min() == 1
    assert chisquare(np.bincount(sizes, minlength=n_sites + 1)[1:]).pvalue > 1e-3
    assert chisquare(chosen.sum(0)).pvalue > 1e-3
    pairs = chosen[sizes == 2] @ (2 ** np.arange(n_sites))
    assert chisquare(np.unique(pairs, return_counts=True)[1]).pvalue > 1e-3


def test_subsets_of_one_site_are_that_site():
    assert bool(draw_subset((3, 5), 1, step_generator(CPU, 0, 0)).all())


def test_sources_are_uniform_and_of_the_step(components):
    first = draw_sources(components, (50, 100), step_generator(CPU, 1, 7))
    assert first.shape == (50, 100, 6)
    assert float(first.min()) >= 0 and float(first.max()) <= 1
    assert float(first.mean()) == pytest.approx(0.5, abs=0.01)
    assert torch.equal(first, draw_sources(components, (50, 100), step_generator(CPU, 1, 7)))
    assert not torch.equal(first, draw_sources(components, (50, 100), step_generator(CPU, 1, 8)))
