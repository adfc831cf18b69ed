"""A tiny routed model, text of three commits, and a dictionary of a few steps over two of its layers."""

from __future__ import annotations

import pytest

from fingerprint.passage import Passage, passage_from_lines

N_COMMITS = 8


@pytest.fixture(scope="session")
def routed(tiny_base):
    """Random routes of rank 3; every test sets the state it needs."""
    from fingerprint.lm.pair import RoutedModel
    from fingerprint.lm.routes import random_routes

    return RoutedModel(tiny_base, random_routes(tiny_base, 3, seed=1), scale=1.5)


@pytest.fixture(scope="session")
def state(routed):
    """state(seed, size) -> a random B of every site."""
    import torch

    def make(seed: int, size: float = 0.3):
        generator = torch.Generator().manual_seed(seed)
        return {
            site: size * torch.randn(b.shape, generator=generator)
            for site, b in routed.zero_weights().items()
        }

    return make


@pytest.fixture(scope="session")
def text() -> list[Passage]:
    """Two hunks a commit."""
    return [
        passage_from_lines(
            [
                (True, f"value_{i} = config({i}, {j})"),
                (True, f"for item in values_{i}:"),
                (True, "    run()"),
            ],
            path=f"{j}.py",
            language="python",
            group=f"commit {i}",
        )
        for i in range(N_COMMITS)
        for j in range(2)
    ]


@pytest.fixture(scope="session")
def dictionary(routed, text):
    """Components of four matrices in two layers, trained jointly for a few steps."""
    from fingerprint.vpd.alive_set import SharedDictionary
    from fingerprint.vpd.config import VpdConfig
    from fingerprint.vpd.language import choose_sites, decompose_weights

    config = VpdConfig.tiny().model_copy(
        update={
            "steps": 12, "gate_width": 24, "rows": 4, "row_tokens": 24, "evaluate_every": 20,
            "pgd_steps": (0, 2), "gate_bias": 0.1, "importance_coefficient": 0.02, "learning_rate": 3e-3,
        }
    )  # fmt: skip
    sites = choose_sites(routed.base, (), ("v_proj", "down_proj"))
    found = decompose_weights(routed.base, sites, [(1.0, text)], text[:2], config)
    return SharedDictionary.of(routed, found)
