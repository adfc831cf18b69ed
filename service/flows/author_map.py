"""A map of authors who opted in, from their routing signatures."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from importlib.util import find_spec

import numpy as np

from fingerprint.signature import RoutingSignature
from service.reports.pages.team import AuthorMap, MapPoint

LEAST_AUTHORS = 3
LEAST_FOR_UMAP = 15
"""Fewer points than UMAP has neighbours by default, and its picture is chance."""


def map_authors(signatures: Mapping[str, RoutingSignature]) -> AuthorMap | None:
    """Authors by name in a plane; None with fewer than three.

    PCA of the learned differences by route, each of length one, so that how much someone wrote does not place
    them. With fifteen authors and the extra ``maps`` UMAP instead.
    """
    if len(signatures) < LEAST_AUTHORS:
        return None
    names = sorted(signatures)
    rows = np.stack([signatures[name].readings["difference_by_route"].ravel() for name in names]).astype(
        float
    )
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    if len(names) >= LEAST_FOR_UMAP and find_spec("umap"):
        # one thread: UMAP warns that a seed allows no more
        placed = importlib.import_module("umap").UMAP(random_state=0, n_jobs=1).fit_transform(rows)
        return AuthorMap(_points(names, placed), "UMAP of the learned differences by route")
    left, sizes, _ = np.linalg.svd(rows - rows.mean(axis=0), full_matrices=False)
    energy = float((sizes**2).sum())
    explained = float((sizes[:2] ** 2).sum()) / energy if energy else None
    return AuthorMap(
        _points(names, left[:, :2] * sizes[:2]),
        "Principal components of the learned differences by route",
        explained,
    )


def _points(names: list[str], placed: np.ndarray) -> tuple[MapPoint, ...]:
    return tuple(MapPoint(name, float(x), float(y)) for name, (x, y) in zip(names, placed, strict=True))
