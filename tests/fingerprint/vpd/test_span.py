from __future__ import annotations

import pytest
import torch
from torch import nn

from fingerprint.vpd.components import Components, Site
from fingerprint.vpd.report import SpanReport
from fingerprint.vpd.span import _Span, _turned, measure_span


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def dense_share(U: torch.Tensor, V: torch.Tensor, D: torch.Tensor) -> float:
    """R^2 by least squares over the terms written out in full."""
    terms = torch.stack([torch.outer(u, v).flatten() for u, v in zip(U, V.T, strict=True)], 1).double()
    flat = D.flatten().double()
    theta = torch.linalg.lstsq(terms, flat[:, None]).solution
    return float(1 - ((terms @ theta)[:, 0] - flat).square().sum() / flat.square().sum())


def test_the_share_explained_is_that_of_least_squares():
    U, V = torch.randn(9, 6, generator=rng()), torch.randn(5, 9, generator=rng(1))
    up, down = torch.randn(6, 2, generator=rng(2)).double(), torch.randn(2, 5, generator=rng(3)).double()
    assert _Span.of(U, V).explained(up, down) == pytest.approx(dense_share(U, V, up @ down), abs=1e-4)
    assert _Span.of(U, V).explained(0 * up, down) == 0


def test_a_turned_delta_keeps_its_strengths_and_loses_its_directions():
    columns = torch.randn(30, 3, generator=rng(), dtype=torch.float64)
    import numpy as np

    turned = _turned(columns, np.random.default_rng(0))
    assert torch.allclose(turned.T @ turned, columns.T @ columns)
    cosine = torch.cosine_similarity(turned, columns, dim=0).abs()
    assert float(cosine.max()) < 0.7


@pytest.fixture
def planted(routed):
    """A state whose delta at one site is built from the site's own components, and one built at random."""
    site = routed.sites[0]
    d_out, d_in = routed.base.site_shape(site)
    down = routed.directions[site].detach()
    V = torch.randn(d_in, 8, generator=rng(4))
    V[:, :3] = down.T  # the first three components read what the routes read
    U = torch.randn(8, d_out, generator=rng(5))
    components = Components({site: Site(nn.Linear(d_in, d_out, bias=False))}, {site: V}, {site: U})
    own, other = routed.zero_weights(), routed.zero_weights()
    own[site] = U[:3].T * torch.tensor([2.0, -1.0, 0.5])
    other[site] = torch.randn(d_out, 3, generator=rng(6))
    return components, own, other


def test_a_planted_re_weighting_is_told_from_a_random_delta(routed, planted):
    components, own, other = planted
    found = measure_span(
        components, routed, own, dictionary="d", adapter="ann", nulls={"null": other}, n_rotations=39
    )
    assert found.total.explained == pytest.approx(1.0, abs=1e-4)
    assert found.total.rotated < 0.3 and found.total.rank_rotated == found.total.rank_turned == 1 / 40
    assert found.matrices[0].energy == 1
    (null,) = found.nulls
    assert null.explained < 0.5 and null.rank_turned > 0.05
    assert "new directions" in found.statement and "Null adapters" in found.statement
    assert SpanReport.model_validate_json(found.model_dump_json()) == found


def test_a_zero_delta_lies_nowhere(routed, planted):
    found = measure_span(planted[0], routed, routed.zero_weights(), dictionary="d", n_rotations=3)
    assert (found.total.explained, found.total.rank_rotated) == (0, 1)
