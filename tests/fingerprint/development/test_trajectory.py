"""Joint trajectory PCA against planted paths and known spectra of random walks."""

from __future__ import annotations

import numpy as np
import pytest

from fingerprint.development.trajectory import (
    Trajectory,
    TrajectoryError,
    fit_trajectory_pca,
    half_cosine,
    reference_distances,
    walk_null,
)


def straight(n: int = 9, width: int = 40, seed: int = 0) -> tuple[Trajectory, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    start, end = rng.standard_normal((2, width))
    shares = np.linspace(0, 1, n)[:, None]
    return Trajectory("line", tuple(range(n)), (1 - shares) * start + shares * end), start, end


def test_a_straight_path_is_one_component_and_meets_its_references_at_its_ends():
    line, start, end = straight()
    pca = fit_trajectory_pca([line])
    assert pca.explained[0] == pytest.approx(1.0)
    first = pca.project(line.outputs)[:, 0]
    np.testing.assert_allclose(np.diff(first), np.diff(first)[0], rtol=1e-9)
    ends = pca.project(np.stack([start, end]))[:, 0]
    np.testing.assert_allclose(ends, first[[0, -1]])
    distances = reference_distances(line, {"start": start, "end": end})
    length = np.sqrt(((end - start) ** 2).mean())
    np.testing.assert_allclose(distances["start"] + distances["end"], length)


def test_runs_are_centred_once_so_that_their_offset_stays():
    line, *_ = straight()
    moved = Trajectory("moved", line.steps, line.outputs + 5 * np.eye(40)[0])
    pca = fit_trajectory_pca([line, moved])
    gap = pca.project(moved.outputs) - pca.project(line.outputs)
    assert np.linalg.norm(gap[0]) == pytest.approx(5.0)


def test_a_long_brownian_walk_has_the_known_spectrum_and_a_cosine():
    """Shares 6 / (pi j)^2 in high dimension (Antognini and Sohl-Dickstein 2018)."""
    rng = np.random.default_rng(1)
    walk = Trajectory("walk", tuple(range(60)), rng.standard_normal((60, 4000)).cumsum(0))
    pca = fit_trajectory_pca([walk], 2)
    np.testing.assert_allclose(pca.explained, [6 / np.pi**2, 6 / (4 * np.pi**2)], atol=0.03)
    assert half_cosine([walk], pca) > 0.97


@pytest.mark.parametrize("kind", ["brownian", "flipped"])
def test_a_walk_is_no_news_and_a_line_is(kind):
    rng = np.random.default_rng(2)
    walk = Trajectory("walk", tuple(range(20)), rng.standard_normal((20, 200)).cumsum(0))
    null = walk_null([walk], kind=kind, n_components=2, n_draws=99)
    assert null.p_value(fit_trajectory_pca([walk], 2).explained) > 0.05
    arc = np.stack([np.linspace(0, 3, 20), np.linspace(0, 3, 20) ** 2], 1) @ rng.standard_normal((2, 200))
    noisy = Trajectory("arc", tuple(range(20)), arc + 0.3 * rng.standard_normal((20, 200)))
    null = walk_null([noisy], kind=kind, n_components=2, n_draws=99)
    assert null.p_value(fit_trajectory_pca([noisy], 2).explained) == pytest.approx(0.01)


def test_walks_keep_the_lengths_of_the_steps():
    line, *_ = straight(6)
    null = walk_null([line], kind="brownian", n_components=2, n_draws=3)
    assert null.explained.shape == (3, 2) and null.explained[:, 0].max() < 0.99


def test_what_cannot_be_laid_into_one_space_is_refused():
    line, *_ = straight()
    narrow = Trajectory("narrow", (0,), np.zeros((1, 3)))
    with pytest.raises(TrajectoryError, match="one probe set"):
        fit_trajectory_pca([line, narrow])
    with pytest.raises(TrajectoryError, match="no output moved"):
        fit_trajectory_pca([Trajectory("still", (0, 1, 2), np.ones((3, 4)))])
    broken = line.outputs.copy()
    broken[2, 0] = np.nan
    with pytest.raises(TrajectoryError, match="not finite"):
        fit_trajectory_pca([Trajectory("line", line.steps, broken)])
    with pytest.raises(TrajectoryError, match="one for each"):
        fit_trajectory_pca([Trajectory("line", (0, 1), line.outputs)])
