from __future__ import annotations

import torch

from fingerprint.adapters.spectrum import singular_values


def test_singular_values_are_those_of_the_product() -> None:
    generator = torch.Generator().manual_seed(0)
    d = torch.randn(7, 3, generator=generator)
    a = torch.randn(3, 11, generator=generator)
    found = singular_values({"site": d}, {"site": a}, 0.5)["site"]
    torch.testing.assert_close(found, torch.linalg.svdvals(0.5 * d @ a)[:3], rtol=1e-4, atol=1e-5)


def test_nothing_learned_has_no_spectrum() -> None:
    assert not singular_values({"site": torch.zeros(4, 2)}, {"site": torch.ones(2, 5)}, 1.0)["site"].any()
