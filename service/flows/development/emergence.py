"""A label along checkpoints: of a base's own training, or of an author's or the team's adapter.

Readings of a checkpoint, and the dictionary trained there, are artifacts: a killed run goes on at the
checkpoint it had reached.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fingerprint.development.probe_config import ProbeConfig
from fingerprint.development.timeline_report import TimelineReport
from fingerprint.passage import Corpus, Passage
from fingerprint.provenance import digest_of
from fingerprint.storage import write_json
from service.artifacts import read_arrays, write_arrays
from service.flows.bench import Stage
from service.flows.development.record import Recording
from service.flows.development.units import Labelled
from service.flows.opened import OpenedProfile

if TYPE_CHECKING:
    from fingerprint.development.checkpoints import Checkpoint, CheckpointSeries
    from fingerprint.development.timeline import Point
    from fingerprint.development.timeline_report import LatentPoint, WeightPoint
    from fingerprint.development.units import Unit, UnitReadings
    from fingerprint.lm.load import Base
    from fingerprint.lm.pair import RoutedModel, RouteWeights
    from fingerprint.sae.artifact import Sae
    from fingerprint.sae.config import SaeConfig
    from fingerprint.weights.terms import Stage as WeightStage

_ARRAYS = ("activations", "nll", "n_scored")
_SHARED, _EXTRA = "shared latents ", "extra "
_POINTS = 2
"""Gauss-Legendre nodes of the routes' contributions; their sum matters here, not one route's share."""


@dataclass(frozen=True)
class Emergence:
    """What ``develop emergence`` needs.

    Attributes:
        what: the label, in words. units: the labelled texts. text: passages that dictionaries are trained on.
        config: of the probes. dictionaries: of the autoencoder at every checkpoint of a base; None: none.
    """

    opened: OpenedProfile
    what: str
    units: Sequence[Unit]
    text: Sequence[Passage]
    config: ProbeConfig
    dictionaries: SaeConfig | None

    def key(self, **facts: object) -> str:
        """Content address of one checkpoint's part."""
        text = [Corpus((unit.passage,)).digest for unit in self.units]
        return digest_of({"text": text, "labels": [u.is_positive for u in self.units], **facts})


def measure_emergence(
    opened: OpenedProfile, label: Labelled, folder: Path, config: ProbeConfig, *,
    dictionaries: SaeConfig | None = None, n_most: int = 12,
) -> TimelineReport:  # fmt: skip
    """A label along the checkpoints in a folder; stored.

    Args:
        folder: whole models, or adapters over the profile's routes, named by step. dictionaries: trained at
            every checkpoint of whole models; None: none. n_most: checkpoints read, evenly over the series.

    Raises:
        CheckpointsError: no checkpoint there.
    """
    from fingerprint.development.checkpoints import adapter_series, folder_series

    text = opened.plan.slices.train.passages
    job = Emergence(opened, label.what, label.units, text, config, dictionaries)
    if any(folder.glob("*/adapter_config.json")):
        reference = opened.adapter("reference").state
        found = adapter_emergence(job, adapter_series(opened.routed, folder).spread(n_most), reference)
    else:
        found = base_emergence(job, folder_series(folder, device=opened.routed.device).spread(n_most))
    keep_report(opened, found)
    return found


def beside_nulls(
    found: TimelineReport, opened: OpenedProfile, label: Labelled, nulls: Sequence[Recording],
    config: ProbeConfig, *, n_most: int = 12,
) -> TimelineReport:  # fmt: skip
    """An author's report with the same label read along shuffled authors' recorded trainings.

    What rises there alike is no sign of the author: it is what any training on this code does.
    """
    rows = [
        measure_emergence(opened, label, null.place / "states", config, n_most=n_most).model_copy(
            update={"series": f"training of shuffled author {i}"}
        )
        for i, null in enumerate(nulls, 1)
    ]
    return found.model_copy(update={"nulls": tuple(rows)})


# ---------------------------------------------------------------------------------- a base's training


def base_emergence(job: Emergence, series: CheckpointSeries[Base]) -> TimelineReport:
    """Along whole models: probes of every block, a dictionary per checkpoint and the last one for all.

    Raises:
        CheckpointsError, FingerprintError: a checkpoint cannot be read, or there is too little text.
    """
    from fingerprint.development.timeline import measure_latents, report_timeline

    dictionaries = _train_dictionaries(job, series)
    shared = dictionaries[max(dictionaries)] if dictionaries else None
    points = [_base_point(job, c, shared, dictionaries.get(c.step)) for c in series]
    latents: tuple[LatentPoint, ...] = measure_latents(dictionaries) if dictionaries else ()
    return report_timeline(
        job.what, f"training of a base, {len(series)} checkpoints", points, job.config,
        weights=_base_weights(series), latents=latents, progress=_told(job.opened),
    )  # fmt: skip


def _train_dictionaries(job: Emergence, series: CheckpointSeries[Base]) -> dict[int, Sae]:
    """One dictionary a checkpoint, same seed and text, each started from the one before; stored."""
    from fingerprint.sae.artifact import Sae
    from fingerprint.sae.train import train_sae

    config, bench = job.dictionaries, job.opened.bench
    if config is None:
        return {}
    found: dict[int, Sae] = {}
    before: Sae | None = None
    for checkpoint in series:
        base, name = checkpoint.load(), f"dictionary at step {checkpoint.step}"
        digest = digest_of(
            {"what": "dictionary along checkpoints", "revision": base.revision, "config": config.digest,
             "text": Corpus(tuple(job.text)).digest, "start": before.digest if before else ""}
        )  # fmt: skip

        def write(directory: Path, base: Base = base, before: Sae | None = before, key: str = digest) -> None:
            start = None if before is None else before.autoencoder
            sae = train_sae(base, job.text, config, start=start, checkpoint=bench.store.begin_checkpoint(key))
            sae.save(directory / "sae")

        place = bench.make("dictionary", digest, name, write)
        bench.store.drop_checkpoints(digest)
        before = found[checkpoint.step] = Sae.load(place / "sae", base)
    return found


def _base_point(job: Emergence, checkpoint: Checkpoint[Base], shared: Sae | None, own: Sae | None) -> Point:
    from fingerprint.development.timeline import OWN_LATENT, Point
    from fingerprint.development.units import read_units

    base = checkpoint.load()
    digest = job.key(
        what="units at a base", revision=base.revision, shared=shared.digest if shared else "",
        own=own.digest if own else "",
    )  # fmt: skip

    def read() -> tuple[UnitReadings, dict[str, np.ndarray]]:
        rows = read_units(base, job.units, dictionaries={s.layer: s.autoencoder for s in [shared] if s})
        if own is None:
            return rows, {}
        again = read_units(base, job.units, dictionaries={own.layer: own.autoencoder})
        return rows, {f"{OWN_LATENT}/{own.layer}": again.latents[own.layer]}

    return Point(checkpoint.step, *_stored(job, digest, f"units at step {checkpoint.step}", read))


def _base_weights(series: CheckpointSeries[Base]) -> tuple[WeightPoint, ...]:
    """From the first checkpoint to each; two models in memory at a time."""
    from fingerprint.development.timeline import measure_weights
    from fingerprint.weights.terms import stage_of_models

    first, last = series.checkpoints[0].load(), series.checkpoints[-1].load()
    so_far, to_final = dict[int, "WeightStage"](), dict[int, "WeightStage"]()
    for checkpoint in series:
        base = checkpoint.load()
        so_far[checkpoint.step] = stage_of_models("", first, base)
        to_final[checkpoint.step] = stage_of_models("", base, last)
    return measure_weights(so_far, to_final)


# -------------------------------------------------------------------------------- an adapter's training


def adapter_emergence(
    job: Emergence, series: CheckpointSeries[RoutedModel], reference: RouteWeights
) -> TimelineReport:
    """Along an adapter's states: probes, the log-ratio to the reference, and the routes' contributions.

    Args:
        reference: the state that the author's is compared with: everybody's code at the author's budget.
    """
    from fingerprint.development.timeline import measure_weights, report_timeline
    from fingerprint.weights.terms import stage_of_states

    states = _states(job.opened.routed, series)
    points = [_adapter_point(job, step, state, reference) for step, state in states.items()]
    routed = job.opened.routed
    zero, last = routed.zero_weights(), states[max(states)]
    so_far = {step: stage_of_states("", routed, zero, state) for step, state in states.items()}
    to_final = {step: stage_of_states("", routed, state, last) for step, state in states.items()}
    return report_timeline(
        job.what, f"training of an adapter, {len(series)} checkpoints", points, job.config,
        weights=measure_weights(so_far, to_final), progress=_told(job.opened),
    )  # fmt: skip


def _states(routed: RoutedModel, series: CheckpointSeries[RoutedModel]) -> dict[int, RouteWeights]:
    """Every checkpoint's state; the model's own is put back."""
    before = routed.weights()
    try:
        return {checkpoint.step: checkpoint.load().weights() for checkpoint in series}
    finally:
        routed.set_weights(before)


def _adapter_point(job: Emergence, step: int, state: RouteWeights, reference: RouteWeights) -> Point:
    from fingerprint.adapters.adapter import digest_weights
    from fingerprint.development.timeline import NO_LAYER, RATIO, ROUTES, Point
    from fingerprint.development.units import read_units

    routed = job.opened.routed
    digests = {"state": digest_weights(state), "reference": digest_weights(reference)}
    digest = job.key(what="units at a state", revision=routed.base.revision, **digests)

    def read() -> tuple[UnitReadings, dict[str, np.ndarray]]:
        with routed.at(state, state, 0.0):
            rows = read_units(routed, job.units)
        ratio, routes = _routes(routed, [unit.passage for unit in job.units], reference, state)
        return rows, {f"{RATIO}/{NO_LAYER}": ratio, f"{ROUTES}/{NO_LAYER}": routes}

    return Point(step, *_stored(job, digest, f"units at step {step}", read))


def _routes(
    routed: RoutedModel, passages: Sequence[Passage], reference: RouteWeights, state: RouteWeights
) -> tuple[np.ndarray, np.ndarray]:
    """(Lambda, phi) per scored token of every passage, on the path from the reference to the state."""
    from fingerprint.lm.pair import ModelPair
    from fingerprint.lm.tokens import tokenize_passages
    from fingerprint.routing.contributions import measure_contributions
    from fingerprint.routing.extract import summarise

    rows = tokenize_passages(routed.base, passages)
    found = measure_contributions(ModelPair(routed, reference, state), passages, rows, n_points=_POINTS)
    measures = summarise(found, passages)
    size = np.maximum(measures.n_scored, 1)[:, None]
    return measures.log_ratio[:, None] / size, measures.phi / size


# --------------------------------------------------------------------------------------------- storage


def _stored(
    job: Emergence, digest: str, name: str, read: Callable[[], tuple[UnitReadings, dict[str, np.ndarray]]]
) -> tuple[UnitReadings, dict[tuple[str, int], np.ndarray]]:
    """Readings and extra rows of one checkpoint, measured once."""
    from fingerprint.development.units import UnitReadings

    def write(directory: Path) -> None:
        readings, extra = read()
        arrays: dict[str, np.ndarray] = {name: getattr(readings, name) for name in _ARRAYS}
        arrays |= {f"{_SHARED}{layer}": values for layer, values in readings.latents.items()}
        arrays |= {f"{_EXTRA}{key}": values for key, values in extra.items()}
        write_arrays(directory / "units.safetensors", arrays)

    place = job.opened.bench.make("unit-readings", digest, name, write)
    arrays = read_arrays(place / "units.safetensors")
    readings = UnitReadings(
        arrays["activations"],
        {int(k.removeprefix(_SHARED)): v for k, v in arrays.items() if k.startswith(_SHARED)},
        arrays["nll"], arrays["n_scored"],
        np.array([unit.is_positive for unit in job.units], dtype=bool),
        tuple(unit.group for unit in job.units),
    )  # fmt: skip
    extra = {
        (key.removeprefix(_EXTRA).rpartition("/")[0], int(key.rpartition("/")[2])): values
        for key, values in arrays.items()
        if key.startswith(_EXTRA)
    }
    return readings, extra


def keep_report(opened: OpenedProfile, report: TimelineReport) -> Path:
    """Store a report under the digest of its content; returns its directory."""
    value = report.model_dump(mode="json")
    return opened.bench.make(
        "emergence", digest_of(value), "emergence", lambda place: write_json(place / "emergence.json", value)
    )


def _told(opened: OpenedProfile) -> Callable[[str, int, int], None]:
    return lambda name, done, of: opened.bench.report(Stage(name, done, of))
