"""Parts with a planted signal of the author's, in noise and beside null adapters without it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fingerprint.provenance import Provenance
from fingerprint.readings.part import Part
from fingerprint.signature import RoutingSignature

KINDS = ("q_proj", "k_proj", "v_proj", "o_proj", "up_proj", "gate_proj", "down_proj")
MATRICES = tuple(f"model.layers.{layer}.{kind}" for layer in range(5) for kind in KINDS)
NULLS = ("null ann/0", "null bob/0", "null ann/1", "null bob/1")


def of_matrices(
    read: str,
    signal: np.ndarray,
    seed: int,
    shared: np.ndarray | float = 0.0,
    *,
    n_nulls: int = len(NULLS),
    places: Sequence[str] = MATRICES,
) -> Part:
    """Sizes exp(shared + noise), the author's times exp(signal)."""
    rng = np.random.default_rng([seed, 7])
    noise = 0.1 * rng.normal(size=(1 + n_nulls, len(places)))
    sizes = np.exp(shared + noise)
    own = sizes[0] * np.exp(signal)
    return Part(read, "matrices", "nats", tuple(places), own, NULLS[:n_nulls], sizes[1:])


def of_tokens(read: str, signal: np.ndarray, seed: int) -> Part:
    """The same, token by token; every word stands several times."""
    places = [f"word{i % 10}@{i}" for i in range(len(signal))]
    part = of_matrices(read, signal, seed, places=places)
    return Part(read, "tokens", "nats", part.places, part.own, part.null_names, part.null)


def signature() -> RoutingSignature:
    provenance = Provenance("base", "0" * 40, "r", "c", "d", 0)
    readings = {"difference_by_route": np.ones((2, 3))}
    return RoutingSignature(
        "ann", readings, {"difference_by_route": np.ones((4, 2, 3))}, {"n": 1}, provenance
    )
