"""What transient structure is reported as: runs in one plane, distances, t_crit, coefficients. Torch-free."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float

from fingerprint.development.trajectory import (
    Trajectory,
    TrajectoryPca,
    fit_trajectory_pca,
    half_cosine,
    reference_distances,
    walk_null,
)
from fingerprint.development.transient import find_minimum
from fingerprint.storage import FrozenModel, write_json

N_COMPONENTS = 4


class Coefficient(FrozenModel):
    """A local learning coefficient with its standard error and the reasons for doubt."""

    value: float
    error: float
    flags: tuple[str, ...] = ()


class RunReport(FrozenModel):
    """One run.

    Attributes:
        coordinates: of its checkpoints in the common basis. references: of its references in the same.
        distances: root mean square difference to each reference, by checkpoint, in the whole output space.
        losses: mean loss out of distribution. step, low, high: t_crit and its interval. rise, rise_low,
            rise_high: of the loss after it, cross-fitted. coefficients: None where none was measured.
    """

    name: str
    steps: tuple[int, ...]
    coordinates: tuple[tuple[float, ...], ...]
    references: dict[str, tuple[float, ...]]
    distances: dict[str, tuple[float, ...]]
    losses: tuple[float, ...]
    step: int
    low: int
    high: int
    rise: float
    rise_low: float
    rise_high: float
    is_transient: bool
    coefficients: tuple[Coefficient | None, ...] = ()

    def nearest(self, name: str) -> int:
        """The step at which a reference is nearest."""
        return self.steps[int(np.argmin(self.distances[name]))]


class NullReport(FrozenModel):
    """Random walks of the runs' step lengths: mean shares of variance, likeness to a cosine, p-value."""

    kind: Literal["brownian", "flipped"]
    explained: tuple[float, ...]
    cosine: float
    p_value: float


class TransientReport(FrozenModel):
    """All runs in one basis, beside both nulls.

    Attributes:
        explained: share of variance of each component. cosine: likeness of the first coordinate to the half
            cosine that any long walk shows.
    """

    runs: tuple[RunReport, ...]
    explained: tuple[float, ...]
    cosine: float
    nulls: tuple[NullReport, ...]


@dataclass(frozen=True, eq=False)
class ProbedRun:
    """What a form of the experiment gives of one run.

    Attributes:
        trajectory: outputs on the common probe set. losses: out of distribution, by checkpoint and unit.
        references: outputs of reference predictors on the probe set. coefficients: by checkpoint.
    """

    trajectory: Trajectory
    losses: Float[np.ndarray, "t n"]
    references: Mapping[str, Float[np.ndarray, " f"]]
    coefficients: Sequence[Coefficient | None] = field(default=())

    def save(self, directory: Path) -> None:
        """Write run.npz and run.json."""
        arrays = {f"reference/{name}": values for name, values in self.references.items()}
        arrays |= {"outputs": self.trajectory.outputs, "losses": self.losses}
        with (directory / "run.npz").open("wb") as stream:
            np.savez_compressed(stream, **arrays)  # pyright: ignore[reportArgumentType]
        told = [None if one is None else one.model_dump() for one in self.coefficients]
        path = self.trajectory
        write_json(directory / "run.json", {"name": path.name, "steps": path.steps, "coefficients": told})

    @classmethod
    def load(cls, directory: Path) -> ProbedRun:
        """Read what ``save`` wrote."""
        told = json.loads((directory / "run.json").read_text(encoding="utf-8"))
        with np.load(directory / "run.npz", allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        references = {
            name.removeprefix("reference/"): values
            for name, values in arrays.items()
            if name.startswith("reference/")
        }
        coefficients = [None if one is None else Coefficient(**one) for one in told["coefficients"]]
        path = Trajectory(told["name"], tuple(told["steps"]), arrays["outputs"])
        return cls(path, arrays["losses"], references, coefficients)


def report_transient(runs: Sequence[ProbedRun], *, n_nulls: int = 199, seed: int = 0) -> TransientReport:
    """Lay all runs and references into one basis, and read each run's distances and t_crit.

    Raises:
        TrajectoryError, TransientError: too few checkpoints or units, or outputs that are not finite.
    """
    paths = [run.trajectory for run in runs]
    pca = fit_trajectory_pca(paths, N_COMPONENTS)
    nulls = []
    for kind in ("brownian", "flipped"):
        null = walk_null(paths, kind=kind, n_components=N_COMPONENTS, n_draws=n_nulls, seed=seed)
        shares = tuple(null.explained.mean(0).tolist())
        nulls.append(
            NullReport(
                kind=kind, explained=shares, cosine=float(np.nanmean(null.cosine)),
                p_value=null.p_value(pca.explained),
            )
        )  # fmt: skip
    return TransientReport(
        runs=tuple(_run_report(run, pca, seed) for run in runs), explained=tuple(pca.explained.tolist()),
        cosine=half_cosine(paths, pca), nulls=tuple(nulls),
    )  # fmt: skip


def _run_report(run: ProbedRun, pca: TrajectoryPca, seed: int) -> RunReport:
    path = run.trajectory
    found = find_minimum(path.steps, run.losses, seed=seed)
    distances = reference_distances(path, run.references)
    places = {name: pca.project(values[None])[0] for name, values in run.references.items()}
    return RunReport(
        name=path.name, steps=path.steps,
        coordinates=tuple(tuple(row) for row in pca.project(path.outputs).tolist()),
        references={name: tuple(place.tolist()) for name, place in places.items()},
        distances={name: tuple(values.tolist()) for name, values in distances.items()},
        losses=tuple(run.losses.mean(1).tolist()), step=found.step, low=found.low, high=found.high,
        rise=found.rise.value, rise_low=found.rise.low, rise_high=found.rise.high,
        is_transient=found.is_transient, coefficients=tuple(run.coefficients),
    )  # fmt: skip
