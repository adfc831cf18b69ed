from __future__ import annotations

import numpy as np
import pytest

from fingerprint.evaluation.gating import CLIP, N_CELLS, cell_scores, classify_ids


def test_plain_cells_add_up_to_the_log_ratio_and_clipped_ones_are_bounded() -> None:
    rng = np.random.default_rng(0)
    owner = rng.integers(0, 5, 400)
    reference = -rng.exponential(2.0, 400)
    log_probs = reference + rng.normal(0, 2, (3, 400))
    found = cell_scores(log_probs, reference, rng.integers(0, 4, 400), owner, 5)
    assert found.shape == (5, 3, 2 * N_CELLS)
    size = np.bincount(owner)
    for k in range(3):
        exact = np.bincount(owner, weights=log_probs[k] - reference) / size
        np.testing.assert_allclose(found[:, k, :N_CELLS].sum(axis=1), exact)
    assert (np.abs(found[:, :, N_CELLS:].sum(axis=2)) <= CLIP).all()


def test_a_token_counts_in_the_cell_of_its_class_and_of_the_references_surprise() -> None:
    # an operator the reference expects, then a word that it does not: one text, one author
    found = cell_scores(
        np.array([[-0.05, -1.0]]), np.array([-0.01, -5.0]), np.array([1, 0]), np.zeros(2, int), 2
    )
    cells = np.flatnonzero(found[0, 0])
    assert cells.tolist() == [3, 4, N_CELLS + 3, N_CELLS + 4]
    assert found[0, 0, cells] == pytest.approx([2.0, -0.02, CLIP / 2, -0.02])
    assert not found[1].any()


def test_classes_of_a_vocabulary() -> None:
    assert classify_ids(["def", " (", "\n    ", '"x', "42"]).tolist() == [0, 1, 2, 3, 3]
