"""A tiny routed model, a random team state, and a few passages."""

from __future__ import annotations

import pytest

from fingerprint.passage import Passage, passage_from_lines


@pytest.fixture(scope="session")
def tiny_routed(tiny_base):
    """A routed tiny model; every test sets the state it needs."""
    from fingerprint.lm.pair import RoutedModel
    from fingerprint.lm.routes import random_routes

    return RoutedModel(tiny_base, random_routes(tiny_base, 4, seed=1), scale=1.5)


@pytest.fixture(scope="session")
def random_weights(tiny_routed):
    """A random state: make_weights(seed, size) -> RouteWeights."""
    import torch

    def make_weights(seed: int, size: float = 0.05):
        generator = torch.Generator().manual_seed(seed)
        zero = tiny_routed.zero_weights()
        return {site: size * torch.randn(b.shape, generator=generator) for site, b in zero.items()}

    return make_weights


@pytest.fixture(scope="session")
def passages() -> list[Passage]:
    """Three hunks of different length."""
    return [
        passage_from_lines(
            [(False, "import os"), (True, "for index in range(3):"), (True, "    print(index, 'x')")],
            path="a.py",
            language="python",
            group="g1",
        ),
        passage_from_lines(
            [(True, "class Point:"), (False, "    pass")], path="b.py", language="python", group="g2"
        ),
        passage_from_lines(
            [(True, f"value_{i} = first + {i}  # sum") for i in range(6)],
            path="c.py",
            language="python",
            group="g2",
        ),
    ]
