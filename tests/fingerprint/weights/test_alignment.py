"""A direction planted in one layer is found; a stage ten times larger and orthogonal to it is not."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fingerprint import FingerprintError
from fingerprint.development.probes import difference_of_means
from fingerprint.weights.alignment import align, gain, isotropic_directions, matched_directions
from fingerprint.weights.residual_side import norm_gain, residual_side, role_of, unit
from fingerprint.weights.terms import SingularTerms, Stage

D = 64
PLANTED = 1


def noise(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def stage_of(base, matrices: dict[str, torch.Tensor], name: str) -> Stage:
    return Stage(
        name, {site: SingularTerms.of(m) for site, m in matrices.items()}, dict.fromkeys(matrices, 1.0)
    )


@pytest.fixture(scope="module")
def direction() -> torch.Tensor:
    return unit(noise(7, D))


@pytest.fixture(scope="module")
def activations() -> torch.Tensor:
    """Some directions vary fifteen times as much as others."""
    return noise(8, 400, D) * torch.linspace(0.2, 3.0, D)


@pytest.fixture(scope="module")
def nulls(activations) -> dict[str, torch.Tensor]:
    return {"matched": matched_directions(activations, 400, 0), "isotropic": isotropic_directions(D, 400, 1)}


@pytest.fixture(scope="module")
def probe(activations, direction) -> torch.Tensor:
    """Fitted to a label that moves the activations along the direction."""
    labels = np.arange(len(activations)) % 2 == 0
    moved = activations + 8 * torch.from_numpy(labels)[:, None] * direction
    return torch.from_numpy(difference_of_means(moved.numpy(), labels, []))


@pytest.fixture(scope="module")
def first(routed, direction) -> Stage:
    """Noise in every matrix; five times its norm along the direction, in what block 1's MLP writes."""
    matrices = {}
    for i, site in enumerate(routed.sites):
        matrices[site] = 0.01 * noise(20 + i, *routed.base.site_shape(site))
    site = f"model.layers.{PLANTED}.mlp.down_proj"
    size = 5 * torch.linalg.matrix_norm(matrices[site], 2)
    matrices[site] = matrices[site] + size * torch.outer(direction, unit(noise(9, 96)))
    return stage_of(routed.base, matrices, "first")


@pytest.fixture(scope="module")
def second(routed, first, direction) -> Stage:
    """Ten times the first stage's norm, its writes orthogonal to the direction."""
    matrices = {}
    for i, site in enumerate(routed.sites):
        raw = noise(60 + i, *routed.base.site_shape(site))
        if role_of(site) == "writes":
            raw = raw - torch.outer(direction, direction @ raw)
        matrices[site] = raw * 10 * first.terms[site].frobenius / raw.norm()
    return stage_of(routed.base, matrices, "second")


def test_the_planted_layer_is_found_and_no_other(routed, first, direction, nulls) -> None:
    rows = align(routed.base, first, direction, nulls)
    found = [row for row in rows if row.p_family <= 0.05]
    assert [(row.layer, row.matrix) for row in found] == [(PLANTED, "mlp_down_proj")]
    assert found[0].cosine > 0.9 and found[0].gain > 0.5
    others = [row for row in rows if row.layer != PLANTED]
    assert max(row.cosine for row in others) < 0.5
    assert all(row.gain < 2 * null.high for row in others for null in row.nulls)


def test_a_fitted_probe_finds_the_layer_that_writes_it(
    routed, first, second, probe, direction, nulls
) -> None:
    """Beside directions drawn as activations vary no other matrix lies above their 99 %, in neither stage."""
    assert 0.9 < float(unit(probe) @ direction) < 0.999  # fitted, not given
    rows = align(routed.base, first, probe, nulls)
    (own,) = [row for row in rows if (row.layer, row.matrix) == (PLANTED, "mlp_down_proj")]
    assert own.cosine > 0.9 and all(own.gain > 2 * null.high for null in own.nulls)
    for row in (*rows, *align(routed.base, second, probe, nulls)):
        matched = next(null for null in row.nulls if null.kind == "matched")
        assert row == own or (row.gain < matched.high and row.p_family > 0.05), row.site


def test_a_larger_orthogonal_stage_is_not_found(routed, first, second, direction, nulls) -> None:
    rows = align(routed.base, second, direction, nulls)
    assert not [row for row in rows if row.role == "writes" and min(n.p_value for n in row.nulls) <= 0.5]
    assert all(row.p_family > 0.05 for row in rows)
    sizes = zip(first.terms.values(), second.terms.values(), strict=True)
    assert min(late.frobenius / early.frobenius for early, late in sizes) > 9.9


def test_a_reading_matrix_is_seen_through_its_norm(routed, direction) -> None:
    site = "model.layers.2.mlp.up_proj"
    through = norm_gain(routed.base, site)
    assert through.std() > 0.1  # the fixture's norms are uneven, so that folding matters
    reads = torch.outer(unit(noise(3, 96)), direction / through)  # what makes it read w in front of the norm
    terms = SingularTerms.of(reads)
    assert gain(residual_side(routed.base, site, terms), direction[None])[0] == pytest.approx(1.0)
    assert float((terms.right[0] @ direction).abs()) < 0.99


def test_attention_and_mlp_have_norms_of_their_own(routed) -> None:
    block = routed.base.model.get_submodule("model.layers.0")
    attention, mlp = (
        norm_gain(routed.base, f"model.layers.0.{name}") for name in ("self_attn.k_proj", "mlp.gate_proj")
    )
    torch.testing.assert_close(attention, block.input_layernorm.weight.double())
    torch.testing.assert_close(mlp, block.post_attention_layernorm.weight.double())


def test_gain_is_the_share_of_energy_along_the_direction(routed) -> None:
    terms = SingularTerms.of(noise(0, D, 96))
    side = residual_side(routed.base, "model.layers.0.mlp.down_proj", terms)
    by_axis = gain(side, torch.eye(D, dtype=torch.float64))
    assert float(np.square(by_axis).sum()) == pytest.approx(1.0)


def test_matched_directions_vary_as_activations_do() -> None:
    spread = torch.tensor([5.0, 1.0, 0.1], dtype=torch.float64)
    found = matched_directions(noise(0, 500, 3) * spread + 40, 2000, 0)
    assert found.norm(dim=1).numpy() == pytest.approx(1.0)
    assert found.abs().mean(0)[0] > 0.85 and found.abs().mean(0)[2] < 0.05


def test_a_stage_without_change_aligns_with_nothing(routed, direction, nulls) -> None:
    zero = stage_of(routed.base, {s: torch.zeros(routed.base.site_shape(s)) for s in routed.sites}, "zero")
    rows = align(routed.base, zero, direction, nulls)
    assert {row.gain for row in rows} == {0.0} and {row.p_family for row in rows} == {1.0}


def test_a_direction_of_another_width_is_refused(routed, first) -> None:
    with pytest.raises(FingerprintError, match="has 64 numbers"):
        align(routed.base, first, torch.ones(3), {})
