"""Joint trajectory PCA: the path of a model's outputs over training, beside references and random walks.

Outputs f_t of all checkpoints of all runs on one probe set are stacked, centred once and decomposed;
reference predictors enter the same basis (Carroll et al. 2025, arXiv 2501.17745). PCA of random walks gives
smooth curves too (Antognini and Sohl-Dickstein 2018, arXiv 1806.08805), so no picture stands without its
null.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from fingerprint import FingerprintError

Walk = Literal["brownian", "flipped"]


class TrajectoryError(FingerprintError):
    """Trajectories cannot be laid into one space."""


@dataclass(frozen=True, eq=False)
class Trajectory:
    """One training run, read on the common probe set.

    Attributes:
        name: of the run. steps: optimiser steps, rising. outputs: f_t, one row a checkpoint.
    """

    name: str
    steps: tuple[int, ...]
    outputs: Float[np.ndarray, "t f"]


@dataclass(frozen=True, eq=False)
class TrajectoryPca:
    """The common basis.

    Attributes:
        centre: mean output over all checkpoints of all runs. basis: orthonormal rows.
        explained: share of the variance of each row; shares of all rows, shown or not, sum to 1.
    """

    centre: Float[np.ndarray, " f"]
    basis: Float[np.ndarray, "k f"]
    explained: Float[np.ndarray, " k"]

    def project(self, outputs: Float[np.ndarray, "t f"]) -> Float[np.ndarray, "t k"]:
        """Coordinates of outputs, in units of the outputs."""
        return (outputs - self.centre) @ self.basis.T


def fit_trajectory_pca(runs: Sequence[Trajectory], n_components: int = 4) -> TrajectoryPca:
    """Stack, centre once, decompose.

    Signs are fixed: the entry of largest size of every basis row is positive.

    Raises:
        TrajectoryError: fewer than three checkpoints in all, other probe sets, a value that is not finite, or
            nothing that moves.
    """
    _check(runs)
    stacked = np.concatenate([run.outputs for run in runs]).astype(np.float64)
    centre = stacked.mean(0)
    _, values, rows = np.linalg.svd(stacked - centre, full_matrices=False)
    if not values[0] > 0:
        raise TrajectoryError("no output moved over the checkpoints: there is no trajectory to show.")
    basis = rows[:n_components]
    largest = np.abs(basis).argmax(1)
    basis = basis * np.sign(basis[np.arange(len(basis)), largest])[:, None]
    return TrajectoryPca(centre, basis, (values**2 / (values**2).sum())[:n_components])


def _check(runs: Sequence[Trajectory]) -> None:
    widths = {run.outputs.shape[1] for run in runs}
    n = sum(len(run.outputs) for run in runs)
    if len(widths) != 1 or n < 3:
        raise TrajectoryError(
            f"expected at least three checkpoints on one probe set, got {n} of widths {sorted(widths)}."
        )
    for run in runs:
        if len(run.steps) != len(run.outputs):
            raise TrajectoryError(
                f"{run.name}: {len(run.steps)} steps for {len(run.outputs)} outputs; give one for each."
            )
        if not np.isfinite(run.outputs).all():
            raise TrajectoryError(f"{run.name}: an output is not finite; leave that checkpoint out.")


@dataclass(frozen=True, eq=False)
class WalkNull:
    """What random walks with the runs' own step lengths would show.

    Attributes:
        explained: share of variance by component, one row a draw. cosine: how like a half cosine the first
            coordinate over a run's checkpoints is, absolute correlation, mean over runs, one a draw.
    """

    explained: Float[np.ndarray, "draws k"]
    cosine: Float[np.ndarray, " draws"]

    def p_value(self, explained: Float[np.ndarray, " k"]) -> float:
        """Share of walks whose leading components hold as much variance, the observed one counted."""
        held = self.explained.sum(1) >= explained.sum() - 1e-12
        return float((1 + held.sum()) / (1 + len(held)))


def walk_null(
    runs: Sequence[Trajectory], *, kind: Walk, n_components: int = 4, n_draws: int = 199, seed: int = 0
) -> WalkNull:
    """PCA of random walks shaped like the runs.

    Args:
        kind: "brownian" draws every step's direction evenly in output space and keeps its length, which is
            Brownian motion in the runs' own clock. "flipped" keeps the runs' steps and flips their signs
            at random: the harder null, for it moves along the same directions.
    """
    rng = np.random.default_rng(seed)
    explained, cosine = [], []
    for _ in range(n_draws):
        walks = [_walk(run, kind, rng) for run in runs]
        pca = fit_trajectory_pca(walks, n_components)
        explained.append(pca.explained)
        cosine.append(half_cosine(walks, pca))
    return WalkNull(np.array(explained), np.array(cosine))


def _walk(run: Trajectory, kind: Walk, rng: np.random.Generator) -> Trajectory:
    steps = np.diff(run.outputs.astype(np.float64), axis=0)
    if kind == "flipped":
        drawn = steps * rng.choice([-1.0, 1.0], len(steps))[:, None]
    else:
        drawn = rng.standard_normal(steps.shape)
        drawn *= (np.linalg.norm(steps, axis=1) / np.linalg.norm(drawn, axis=1))[:, None]
    start = run.outputs[:1].astype(np.float64)
    return Trajectory(run.name, run.steps, np.concatenate([start, start + drawn.cumsum(0)]))


def half_cosine(runs: Sequence[Trajectory], pca: TrajectoryPca) -> float:
    """Mean over runs of |corr(first coordinate, cos(pi t))|: near 1 for PCA of any long walk."""
    found = []
    for run in runs:
        first = pca.project(run.outputs)[:, 0]
        wave = np.cos(np.pi * (np.arange(len(first)) + 0.5) / len(first))
        if len(first) > 2 and first.std() > 0:
            found.append(abs(np.corrcoef(first, wave)[0, 1]))
    return float(np.mean(found)) if found else float("nan")


def reference_distances(
    run: Trajectory, references: Mapping[str, Float[np.ndarray, " f"]]
) -> dict[str, Float[np.ndarray, " t"]]:
    """Root mean square difference of each checkpoint's outputs to each reference, in the whole output space.

    A path may pass a reference in the plane of two components and be far from it elsewhere; this is not so
    read.
    """
    return {name: np.sqrt(((run.outputs - reference) ** 2).mean(1)) for name, reference in references.items()}
