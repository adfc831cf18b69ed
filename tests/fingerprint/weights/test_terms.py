from __future__ import annotations

import math

import pytest
import torch

from fingerprint import FingerprintError
from fingerprint.weights.terms import SingularTerms, stage_of_models, stage_of_states


def noise(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_a_product_has_the_terms_of_the_matrix_it_makes() -> None:
    up, down = noise(0, 20, 3), noise(1, 3, 15)
    thin, dense = SingularTerms.of_product(up, down), SingularTerms.of(up @ down)
    assert thin.strengths.shape == (3,)
    torch.testing.assert_close(thin.strengths, dense.strengths[:3])
    torch.testing.assert_close((thin.left * thin.strengths) @ thin.right, up @ down)
    assert thin.frobenius == pytest.approx(float((up @ down).norm()))


def test_wide_factors_do_not_invent_terms() -> None:
    assert SingularTerms.of_product(noise(0, 3, 8), noise(1, 8, 5)).strengths.shape == (3,)


def test_norms_and_ranks_by_hand() -> None:
    terms = SingularTerms.of(torch.diag(torch.tensor([2.0, 2.0, 1.0])))
    assert (terms.frobenius, terms.spectral) == (pytest.approx(3.0), pytest.approx(2.0))
    assert terms.stable_rank == pytest.approx(9 / 4)
    assert terms.energy(1) == pytest.approx(4 / 9) and terms.energy(3) == pytest.approx(1.0)
    entropy = -2 * 4 / 9 * math.log(4 / 9) - 1 / 9 * math.log(1 / 9)
    assert terms.effective_rank == pytest.approx(math.exp(entropy))


def test_no_change_has_no_rank() -> None:
    zero = SingularTerms.of(torch.zeros(4, 3))
    assert (zero.frobenius, zero.stable_rank, zero.effective_rank, zero.energy(1)) == (0.0, 0.0, 0.0, 0.0)


def test_folding_multiplies_the_inputs() -> None:
    matrix, gain = noise(0, 6, 4), torch.tensor([0.5, 1.0, 2.0, 3.0])
    folded = SingularTerms.of(matrix).folded(gain)
    torch.testing.assert_close((folded.left * folded.strengths) @ folded.right, matrix * gain)


@pytest.mark.parametrize(
    ("ratio", "low", "high"), [(0.5, 0.0, 0.6), (1, 0.7, 0.95), (2, 0.94, 0.99), (5, 0.99, 1)]
)
def test_how_strong_a_planted_term_must_be_beside_noise(ratio, low, high) -> None:
    """Median over seeds of the cosine with a term planted at ``ratio`` times the noise's spectral norm."""
    found = []
    for seed in range(5):
        background = noise(seed, 256, 256)
        u = torch.nn.functional.normalize(noise(100 + seed, 256), dim=0)
        v = torch.nn.functional.normalize(noise(200 + seed, 256), dim=0)
        planted = ratio * torch.linalg.matrix_norm(background, 2) * torch.outer(u, v)
        found.append(float((SingularTerms.of(background + planted).left[:, 0] @ u).abs()))
    assert low <= sorted(found)[2] <= high, found


def test_stage_of_two_states_is_the_difference_of_what_they_add(routed) -> None:
    generator = torch.Generator().manual_seed(3)
    start, end = (
        {site: 0.1 * torch.randn(b.shape, generator=generator) for site, b in routed.zero_weights().items()}
        for _ in "12"
    )
    stage = stage_of_states("step", routed, start, end)
    site = routed.sites[3]
    added = 1.5 * (end[site] - start[site]) @ routed.directions[site]
    row = next(row for row in stage.changes() if row.site == site)
    assert row.frobenius == pytest.approx(float(added.detach().norm()), rel=1e-5)
    before = routed.base.model.get_parameter(f"{site}.weight") + 1.5 * start[site] @ routed.directions[site]
    assert row.relative == pytest.approx(float((added.norm() / before.norm()).detach()), rel=1e-5)
    assert row.stable_rank <= 4.0 and len(stage.changes()) == len(routed.sites)


def test_a_state_against_itself_changes_nothing(routed) -> None:
    state = {site: torch.ones_like(b) for site, b in routed.zero_weights().items()}
    assert {row.frobenius for row in stage_of_states("none", routed, state, state).changes()} == {0.0}


def test_models_must_be_of_one_architecture(routed, tiny_base) -> None:
    with pytest.raises(FingerprintError, match="two checkpoints of one run"):
        stage_of_models("step", tiny_base, routed.base)
