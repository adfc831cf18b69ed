"""From token factors over checkpoints to the nouns that a page draws: the token map and the component map."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from fingerprint.development.maps import (
    map_by_pca,
    map_by_umap,
    measure_map,
    shuffle_columns,
    standardise,
)
from fingerprint.development.view import MapView, RowsView

MOST_LOADINGS = 4


def view_rows(
    what: Literal["tokens", "components"],
    values: Float[np.ndarray, "s n d"],
    columns: Sequence[str],
    *,
    labels: Sequence[str],
    contexts: Sequence[tuple[str, str]],
    classes: Sequence[int],
    class_names: Sequence[str],
    has_umap: bool,
    seed: int = 0,
) -> RowsView:
    """Map the rows of all checkpoints: by PCA, and where it is installed by UMAP; each with its null.

    Args:
        values: by checkpoint, row and column; standardised here. columns: names, for the axes of the PCA map.
    """
    rows = standardise(values)
    null = shuffle_columns(rows, seed)
    maps = [_pca_view(rows, null, columns, classes)]
    if has_umap:
        maps.append(_umap_view(rows, null, classes, seed))
    return RowsView(
        what=what, labels=tuple(labels), contexts=tuple(contexts), classes=tuple(classes),
        class_names=tuple(class_names), maps=tuple(maps),
    )  # fmt: skip


def _pca_view(
    rows: Float[np.ndarray, "s n d"], null: Float[np.ndarray, "s n d"], columns: Sequence[str],
    classes: Sequence[int],
) -> MapView:  # fmt: skip
    found = map_by_pca(rows)
    quality = measure_map(rows, found.points, null, map_by_pca(null).points, classes)
    axes = tuple(
        tuple(
            (str(columns[int(i)]), float(loading[i])) for i in np.abs(loading).argsort()[::-1][:MOST_LOADINGS]
        )
        for loading in found.loadings
    )
    first, second = found.explained.tolist()
    return MapView(
        method="PCA", points=_points(found.points), quality=tuple(quality),
        explained=(first, second), axes=axes,
    )  # fmt: skip


def _umap_view(
    rows: Float[np.ndarray, "s n d"], null: Float[np.ndarray, "s n d"], classes: Sequence[int], seed: int
) -> MapView:
    points, other = (map_by_umap(rows, seed=seed + i) for i in (0, 1))
    null_points = map_by_umap(null, seed=seed)
    quality = measure_map(rows, points, null, null_points, classes, other_seed=other)
    return MapView(method="UMAP", points=_points(points), quality=tuple(quality))


def _points(points: Float[np.ndarray, "s n 2"]) -> tuple[tuple[tuple[float, float], ...], ...]:
    return tuple(tuple((round(float(x), 4), round(float(y), 4)) for x, y in step) for step in points)


def spread_rows(n_rows: int, n_most: int) -> Int[np.ndarray, " m"]:
    """At most ``n_most`` row numbers evenly over all."""
    return np.unique(np.linspace(0, n_rows - 1, min(n_rows, n_most)).round().astype(int))
