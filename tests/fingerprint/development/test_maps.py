"""Maps of planted clusters, of nothing, and of rows that stay where they are."""

from __future__ import annotations

import numpy as np
import pytest

from fingerprint.development.maps import (
    MapError,
    fitting_neighbours,
    has_umap,
    map_by_pca,
    map_by_umap,
    mean_move,
    measure_map,
    shuffle_columns,
    standardise,
)

CLASSES = np.repeat(np.arange(3), 30)


def blobs(n_steps: int = 3, seed: int = 0) -> np.ndarray:
    """Three clusters in ten columns that grow apart over the checkpoints."""
    rng = np.random.default_rng(seed)
    centres = 6 * rng.standard_normal((3, 10))[CLASSES]
    noise = rng.standard_normal((90, 10))
    return np.stack([centres * (s + 1) / n_steps + noise for s in range(n_steps)])


def by_pca(rows: np.ndarray):
    rows = standardise(rows)
    null = shuffle_columns(rows, 1)
    points = map_by_pca(rows).points
    return points, measure_map(rows, points, null, map_by_pca(null).points, CLASSES.tolist())


def test_clusters_are_kept_and_shuffled_columns_lose_them():
    points, quality = by_pca(blobs())
    last = quality[-1]
    assert points.shape == (3, 90, 2)
    assert last.trust > 0.9 and last.purity > 0.95
    assert last.null_purity < 0.5 and abs(last.chance - 1 / 3) < 0.1
    assert last.null_trust < last.trust - 0.1


def test_structure_that_is_not_there_is_not_seen():
    noise = np.random.default_rng(0).standard_normal((2, 90, 10))
    _, quality = by_pca(noise)
    assert abs(quality[0].purity - quality[0].null_purity) < 0.1
    assert abs(quality[0].trust - quality[0].null_trust) < 0.1


def test_columns_are_standardised_over_all_checkpoints_together():
    rows = blobs()
    rows[..., 3] = 7.0
    scaled = standardise(rows)
    np.testing.assert_allclose(scaled.mean((0, 1)), 0, atol=1e-12)
    assert np.allclose(np.delete(scaled.std((0, 1)), 3), 1) and np.abs(scaled[..., 3]).max() == 0
    assert scaled[0].std() < scaled[-1].std()  # growth over checkpoints stays


def test_a_row_that_stays_has_not_moved_and_maps_share_one_basis():
    rows = np.repeat(blobs(1), 2, axis=0)
    points, quality = by_pca(rows)
    assert quality[0].move is None and quality[1].move == 0
    assert mean_move(points[0], points[0][::-1]) > 0.5


def test_the_null_keeps_every_column_and_its_order_over_checkpoints():
    rows = blobs()
    null = shuffle_columns(rows, 3)
    np.testing.assert_allclose(np.sort(null, 1), np.sort(rows, 1))
    np.testing.assert_allclose(null[1] - null[0], shuffle_columns(rows[1:] - rows[:1], 3)[0])


def test_too_little_is_refused():
    assert fitting_neighbours(9) == 4 and fitting_neighbours(500) == 15
    with pytest.raises(MapError, match="8 rows"):
        standardise(np.zeros((1, 5, 4)))


@pytest.mark.skipif(has_umap(), reason="umap-learn is installed")
def test_without_the_extra_the_message_names_it():
    with pytest.raises(MapError, match=r"routeprint\[maps\]"):
        map_by_umap(standardise(blobs()))


@pytest.mark.slow
@pytest.mark.skipif(not has_umap(), reason="needs the extra maps")
def test_aligned_umap_keeps_clusters_repeats_itself_and_moves_less_than_maps_of_their_own():
    rows = standardise(blobs())
    points, again = map_by_umap(rows), map_by_umap(rows)
    np.testing.assert_allclose(points, again)
    null = shuffle_columns(rows, 1)
    quality = measure_map(
        rows, points, null, map_by_umap(null), CLASSES.tolist(), other_seed=map_by_umap(rows, seed=1)
    )
    assert quality[-1].trust > 0.9 and quality[-1].purity > 0.95 > quality[-1].null_purity
    assert quality[-1].stability is not None and quality[-1].stability > 0.4
    alone = [map_by_umap(rows[s : s + 1], seed=s)[0] for s in range(3)]
    assert mean_move(points[1], points[2]) < mean_move(alone[1], alone[2])
