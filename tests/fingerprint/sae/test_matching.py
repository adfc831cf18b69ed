from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional as F

from fingerprint.sae.matching import births, match_latents


def rows(seed: int, n: int = 40, d: int = 64) -> torch.Tensor:
    return F.normalize(torch.randn(n, d, generator=torch.Generator().manual_seed(seed)), dim=1)


def test_a_permuted_dictionary_is_matched_exactly() -> None:
    first, order = rows(0), torch.randperm(40, generator=torch.Generator().manual_seed(1))
    found = match_latents(first, first[order])
    assert np.array_equal(order.numpy()[found.partner], np.arange(40))
    assert found.cosine.min() > 0.999 and found.kept_share == 1.0


def test_no_two_latents_have_one_partner() -> None:
    """Greedy choice would give both copies the same partner."""
    first, second = rows(0), rows(2)
    first[1] = first[0]
    found = match_latents(first, second)
    assert sorted(found.partner.tolist()) == list(range(40))


def test_chance_is_not_kept() -> None:
    assert match_latents(rows(0), rows(3)).kept_share < 0.1


def test_births_follow_a_latent_through_its_numbers() -> None:
    """Latent 0 of the last dictionary is old under other numbers; latent 1 came in the second one."""
    first, new = rows(0, n=3), rows(9, n=3)
    second = torch.stack([new[0], first[0], new[1]])
    third = torch.stack([first[0], new[0], new[2]])
    matches = [match_latents(first, second), match_latents(second, third)]
    assert births(matches).tolist() == [0, 1, 2]
