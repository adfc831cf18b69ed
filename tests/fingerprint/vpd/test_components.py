from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from fingerprint.vpd.components import (
    Components,
    Edit,
    Masks,
    Site,
    gaussian_start,
    observed,
    on_sites,
    start_components,
    svd_start,
)
from fingerprint.vpd.masks import draw_subset, masks_from

SIZES = {"first": (7, 5), "second": (5, 7), "edited": (4, 6)}


class Chain(nn.Module):
    """Three linear layers, the last with an edit of rank 2."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.first, self.second, self.edited = nn.Linear(5, 7), nn.Linear(7, 5, bias=False), nn.Linear(5, 4)
        self.double().requires_grad_(False)
        self.up = torch.randn(4, 2, generator=generator).double()
        self.down = torch.randn(2, 5, generator=generator).double()

    def forward(self, x):
        return self.edited(self.second(self.first(x).relu()))

    @property
    def sites(self) -> dict[str, Site]:
        edit = Edit(self.up, self.down)
        return {"first": Site(self.first), "second": Site(self.second), "edited": Site(self.edited, edit)}


@pytest.fixture
def chain() -> Chain:
    torch.manual_seed(0)
    return Chain()


@pytest.fixture
def components(chain) -> Components:
    return start_components(chain.sites, "gaussian", 6, 1.0, 0).double()


@pytest.fixture
def x() -> torch.Tensor:
    return torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(1)).double()


def clean(chain, x):
    with observed(chain.sites):
        return chain(x)


def random_masks(components, shape) -> Masks:
    generator = torch.Generator().manual_seed(2)
    m = torch.rand(*shape, components.n_components, generator=generator).double()
    return Masks(m, torch.rand(*shape, len(components.sites), generator=generator).double())


def explicit(chain, components, masks, x):
    """SPEC 2.2 with Delta formed: the oracle of the efficient path."""
    parts, h = masks.components.split(components.counts, -1), x
    for index, (name, site) in enumerate(chain.sites.items()):
        V, U = components.V[index], components.U[index]
        delta = site.matrix - (V @ U).T
        out = ((h @ V) * parts[index]) @ U + masks.delta[..., index : index + 1] * F.linear(h, delta)
        if site.edit is not None:
            out = out + F.linear(h, site.linear.weight)
        h = out if site.linear.bias is None else out + site.linear.bias
        h = h.relu() if name == "first" else h
    return h


def test_all_masks_on_is_the_clean_model(chain, components, x):
    with components.masked(components.constant_masks(1.0, 1.0)):
        out = chain(x)
    assert torch.allclose(out, clean(chain, x), atol=1e-10, rtol=0)


def test_clean_is_the_model_with_its_edit(chain, x):
    hidden = chain.second(chain.first(x).relu())
    edited = F.linear(hidden, chain.edited.weight + chain.up @ chain.down, chain.edited.bias)
    assert torch.allclose(clean(chain, x), edited, atol=1e-10, rtol=0)


def test_the_efficient_path_is_the_explicit_one(chain, components, x):
    masks = random_masks(components, x.shape[:-1])
    with components.masked(masks):
        out = chain(x)
    assert torch.allclose(out, explicit(chain, components, masks, x), atol=1e-10, rtol=0)


def test_masks_without_position_axes_hold_everywhere(chain, components, x):
    shared = random_masks(components, ())
    spread = Masks(shared.components.expand(3, 4, -1), shared.delta.expand(3, 4, -1))
    with components.masked(shared):
        first = chain(x)
    with components.masked(spread):
        assert torch.allclose(first, chain(x), atol=1e-12)


def test_positions_not_chosen_are_clean(chain, components, x):
    """No site chosen anywhere: clean. Chosen at some positions: clean at the others."""
    gates = torch.zeros(3, 4, components.n_components).double()
    sources = torch.rand(
        3, 4, components.n_components + 3, generator=torch.Generator().manual_seed(3)
    ).double()
    nowhere = torch.zeros(3, 4, 3, dtype=torch.bool)
    with components.masked(masks_from(components, gates, sources, chosen=nowhere)):
        out = chain(x)
    assert torch.allclose(out, clean(chain, x), atol=1e-10, rtol=0)
    chosen = draw_subset((3, 4), 3, torch.Generator().manual_seed(4))
    chosen[0, 0] = False
    with components.masked(masks_from(components, gates, sources, chosen=chosen)):
        out = chain(x)
    assert torch.allclose(out[0, 0], clean(chain, x)[0, 0], atol=1e-10, rtol=0)
    assert not torch.allclose(out[1, 1], clean(chain, x)[1, 1], atol=1e-3)


def test_everything_off_leaves_the_bias_of_a_weight_and_the_host_of_an_edit(chain, components, x):
    off = components.constant_masks(0.0, 0.0)
    with components.masked(off):
        assert torch.allclose(chain.first(x), chain.first.bias.expand(3, 4, 7), atol=1e-12)
        inside = chain.edited(x)
    assert torch.equal(inside, chain.edited(x))  # exactly the host: an edit's masks off are the base


def test_hooks_go_when_the_model_fails(chain, components, x):
    with pytest.raises(RuntimeError), components.masked(components.constant_masks(0.0, 0.0)):
        chain(x[..., :3])
    with pytest.raises(ValueError, match="stop"), on_sites(chain.sites, lambda *_: 0):
        raise ValueError("stop")
    assert all(not module._forward_hooks for module in chain.modules())


def test_inputs_are_observed_by_site(chain, x):
    with observed(chain.sites) as inputs:
        chain(x)
    assert list(inputs) == ["first", "second", "edited"]
    assert torch.equal(inputs["first"], x)
    assert torch.equal(inputs["second"], chain.first(x).relu())


def test_one_component_on_is_rank_one(chain, components, x):
    masks = components.constant_masks(0.0, 0.0)
    masks.components[2] = 1.0
    with components.masked(masks):
        out = chain.first(x).reshape(-1, 7) - chain.first.bias
    assert torch.linalg.matrix_rank(out) == 1


def whole(matrix: torch.Tensor) -> Site:
    linear = nn.Linear(matrix.shape[1], matrix.shape[0], bias=False).requires_grad_(False)
    linear.weight.copy_(matrix)
    return Site(linear)


def test_singular_terms_of_an_edit_come_from_its_factors(chain):
    site = chain.sites["edited"]
    left, strengths, right = site.singular_terms()
    assert (left.shape, strengths.shape, right.shape) == ((4, 2), (2,), (2, 5))
    assert torch.allclose((left * strengths) @ right, site.matrix, atol=1e-10)
    assert torch.allclose(left.T @ left, torch.eye(2).double(), atol=1e-10)
    assert strengths.tolist() == pytest.approx(torch.linalg.svdvals(site.matrix)[:2].tolist())


@pytest.mark.parametrize("n_components", [3, 5, 9])
def test_svd_start_is_the_best_approximation_of_its_rank(n_components):
    matrix = torch.randn(7, 5, generator=torch.Generator().manual_seed(0))
    site = whole(matrix)
    V, U = svd_start(site, n_components, torch.Generator().manual_seed(1))
    assert (V.shape, U.shape) == ((5, n_components), (n_components, 7))
    tail = torch.linalg.svdvals(matrix)[n_components:].norm()
    assert (matrix - (V @ U).T).norm() == pytest.approx(float(tail), abs=1e-5)
    assert not torch.allclose(V, svd_start(site, n_components, torch.Generator().manual_seed(2))[0])


def test_gaussian_start_has_the_stated_variances():
    V, U = gaussian_start(whole(torch.zeros(300, 400)), 200, torch.Generator().manual_seed(0))
    assert float(V.var()) * 400 == pytest.approx(1, rel=0.02)
    assert float(U.var()) * 200 == pytest.approx(1, rel=0.02)


def test_components_by_default_reach_the_rank(chain):
    assert start_components(chain.sites, "svd", None, 1.0, 0).counts == (5, 5, 2)
    assert start_components(chain.sites, "svd", None, 1.5, 0).counts == (8, 8, 3)
