"""Maps of a developing model: rows of susceptibilities laid into the plane, checkpoint after checkpoint.

Wang et al. 2025 (arXiv 2508.00331) map tokens in context, each the vector of all components' susceptibilities
to it (token map). The transpose maps components by the tokens they answer to (component map). PCA is computed
always and is what distances may be read from; UMAP (McInnes et al. 2018, arXiv 1802.03426) needs the extra
``maps``, and over several checkpoints AlignedUMAP keeps a row in its place where its neighbours let it. Every
map has its quality beside it and the same of columns in random order, a null that keeps every column and
breaks every row.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
from jaxtyping import Bool, Float, Int
from sklearn.manifold import trustworthiness
from sklearn.neighbors import NearestNeighbors

from fingerprint import FingerprintError
from fingerprint.development.view import Quality

NEIGHBOURS = 15
"""Of UMAP and of every quality figure; fewer where there are not twice as many rows."""
MOST_COMPONENTS = 20
"""Principal components that UMAP is given: fewer noisy directions, faster."""


class MapError(FingerprintError):
    """There is nothing to map, or the library that was asked for is not installed."""


@dataclass(frozen=True, eq=False)
class PcaMap:
    """Leading components of all checkpoints' rows together.

    Attributes:
        points: the first two coordinates by checkpoint and row. loadings: of the columns, one row a
            component.
        explained: share of variance of each component, over all checkpoints.
    """

    points: Float[np.ndarray, "s n 2"]
    loadings: Float[np.ndarray, "2 d"]
    explained: Float[np.ndarray, " 2"]


def standardise(rows: Float[np.ndarray, "s n d"]) -> Float[np.ndarray, "s n d"]:
    """Columns with mean 0 and variance 1 over all checkpoints together; columns that never vary become 0.

    Raises:
        MapError: fewer than eight rows, fewer than two columns, or a value that is not finite.
    """
    if rows.shape[1] < 8 or rows.shape[2] < 2 or not np.isfinite(rows).all():
        raise MapError(
            f"expected finite values of at least 8 rows and 2 columns, got {rows.shape[1]} rows and "
            f"{rows.shape[2]} columns; read more tokens or components."
        )
    spread = rows.std((0, 1))
    moved = rows - rows.mean((0, 1))
    return np.divide(moved, spread, out=np.zeros_like(moved), where=spread > 1e-12 * np.abs(rows).max())


def map_by_pca(rows: Float[np.ndarray, "s n d"]) -> PcaMap:
    """One basis for all checkpoints, of standardised rows; signs fixed by the largest loading."""
    flat = rows.reshape(-1, rows.shape[-1])
    _, values, basis = np.linalg.svd(flat, full_matrices=False)
    basis = basis[:2] * np.sign(basis[np.arange(2), np.abs(basis[:2]).argmax(1)])[:, None]
    return PcaMap(rows @ basis.T, basis, (values**2 / (values**2).sum())[:2])


def has_umap() -> bool:
    """Whether the extra ``maps`` is installed; nothing is imported."""
    return find_spec("umap") is not None


def map_by_umap(
    rows: Float[np.ndarray, "s n d"], *, n_neighbours: int = NEIGHBOURS, seed: int = 0
) -> Float[np.ndarray, "s n 2"]:
    """UMAP of standardised rows; of several checkpoints AlignedUMAP, every row tied to itself.

    Raises:
        MapError: umap-learn is not installed.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns of what it could do with TensorFlow
            import umap  # pyright: ignore[reportMissingImports] - an extra
    except ImportError as error:
        raise MapError(
            "UMAP needs umap-learn, which is not installed: `pip install 'routeprint[maps]'`, or leave it "
            "out; the PCA map is always made."
        ) from error
    reduced = _leading(rows)
    dials = {"n_neighbors": fitting_neighbours(rows.shape[1], n_neighbours), "random_state": seed}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns that a seed means one thread, at every fit
        if len(rows) == 1:
            return np.asarray(umap.UMAP(n_jobs=1, **dials).fit_transform(reduced[0]))[None].astype(float)
        same = {i: i for i in range(rows.shape[1])}
        fitted = umap.AlignedUMAP(**dials).fit(list(reduced), relations=[same] * (len(rows) - 1))
    return np.stack([np.asarray(part, dtype=float) for part in fitted.embeddings_])


def _leading(rows: Float[np.ndarray, "s n d"]) -> Float[np.ndarray, "s n p"]:
    flat = rows.reshape(-1, rows.shape[-1])
    _, _, basis = np.linalg.svd(flat, full_matrices=False)
    return rows @ basis[:MOST_COMPONENTS].T


def fitting_neighbours(n_rows: int, wanted: int = NEIGHBOURS) -> int:
    """As many neighbours as wanted, fewer than half of the rows."""
    return max(2, min(wanted, (n_rows - 1) // 2))


def shuffle_columns(rows: Float[np.ndarray, "s n d"], seed: int) -> Float[np.ndarray, "s n d"]:
    """The null: every column's entries in one random order of its own, the same at all checkpoints."""
    rng = np.random.default_rng(seed)
    orders = np.argsort(rng.random(rows.shape[1:]), axis=0)
    return np.take_along_axis(rows, np.broadcast_to(orders, rows.shape), axis=1)


def measure_map(
    rows: Float[np.ndarray, "s n d"],
    points: Float[np.ndarray, "s n 2"],
    null_rows: Float[np.ndarray, "s n d"],
    null_points: Float[np.ndarray, "s n 2"],
    classes: Sequence[int],
    *,
    other_seed: Float[np.ndarray, "s n 2"] | None = None,
    seed: int = 0,
) -> list[Quality]:
    """The quality of a map at every checkpoint, beside that of its null.

    Args:
        null_points: the map, by the same method, of the shuffled rows. other_seed: the map by another seed.
    """
    k = fitting_neighbours(rows.shape[1])
    labels = np.asarray(classes)
    shuffled = np.random.default_rng(seed).permutation(labels)
    found = []
    for s in range(len(rows)):
        near, null_near = neighbours(points[s], k), neighbours(null_points[s], k)
        before = None if s == 0 else mean_move(points[s - 1], points[s])
        stable = None if other_seed is None else float(shared(near, neighbours(other_seed[s], k)).mean() / k)
        found.append(
            Quality(
                trust=float(trustworthiness(rows[s], points[s], n_neighbors=k)),
                purity=purity(near, labels),
                chance=purity(near, shuffled),
                null_trust=float(trustworthiness(null_rows[s], null_points[s], n_neighbors=k)),
                null_purity=purity(null_near, labels),
                stability=stable,
                move=before,
            )
        )
    return found


def neighbours(points: Float[np.ndarray, "n p"], k: int) -> Int[np.ndarray, "n k"]:
    """The k nearest other rows of every row."""
    return NearestNeighbors(n_neighbors=k).fit(points).kneighbors(return_distance=False)


def shared(first: Int[np.ndarray, "n k"], second: Int[np.ndarray, "n k"]) -> Int[np.ndarray, " n"]:
    """How many of a row's neighbours both lists hold."""
    same: Bool[np.ndarray, "n k k"] = first[:, :, None] == second[:, None, :]
    return same.sum((1, 2))


def purity(near: Int[np.ndarray, "n k"], labels: Int[np.ndarray, " n"]) -> float:
    """Share of neighbours of a row's own class, mean over rows."""
    return float((labels[near] == labels[:, None]).mean())


def mean_move(before: Float[np.ndarray, "n 2"], after: Float[np.ndarray, "n 2"]) -> float:
    """Mean distance between a row's places, in root mean square radii of the two maps."""
    radius = np.sqrt(np.mean([((p - p.mean(0)) ** 2).sum(1).mean() for p in (before, after)]))
    return float(np.linalg.norm(after - before, axis=1).mean() / radius) if radius > 0 else 0.0
