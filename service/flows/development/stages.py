"""Stages base -> team -> author over a profile, or from one kept checkpoint of a base to the next."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fingerprint.development.probe_config import ProbeConfig
from fingerprint.development.stages_report import SparsityRow, SparsityTable, StagesReport
from fingerprint.passage import Corpus
from fingerprint.storage import write_json
from fingerprint.vpd.report import AliveSetChange, AliveSetDiff, MatrixChange
from service import ServiceError
from service.artifacts import read_json
from service.flows.bench import Stage as Told
from service.flows.development.units import author_units, label_of
from service.flows.opened import OpenedProfile

if TYPE_CHECKING:
    from fingerprint.adapters.adapter import Adapter
    from fingerprint.development.stages import Progress, Swappable
    from fingerprint.development.units import Unit, UnitReadings
    from fingerprint.lm.load import Base
    from fingerprint.lm.pair import RouteWeights
    from fingerprint.weights.terms import Stage

BASE, TEAM, REFERENCE = "base", "team", "reference"
_STAGE = "{} -> {}"
_DIRECTION_NOTE = (
    "The direction comes from the layer with the best AUROC: that AUROC is the best of several, and the same "
    "text fits the direction and takes the swaps' read-out. Compare with the null stages, which share both."
)
_REFERENCE_NOTE = (
    "An author's state starts from the base; its difference is to the reference, the team's code at the "
    "author's budget."
)


def report_author_stages(
    opened: OpenedProfile, word: str, config: ProbeConfig, view: str = "raw"
) -> StagesReport:
    """Base -> team, base -> reference and reference -> author, against one author's label; stored.

    Raises:
        UnknownAuthorError, NotProfiledError: no such adapter. ServiceError: too little unread code.
    """
    from fingerprint.development.stages import report_stages
    from fingerprint.development.units import read_block, read_units
    from fingerprint.weights.terms import stage_of_states

    name, bench = opened.name_of(word), opened.bench
    units = author_units(opened, name, config.most_tokens, view)
    own, nulls = opened.adapter(name), opened.nulls_of(name)
    digests = [opened.digests[key] for key in (TEAM, REFERENCE, name)]
    digest = bench.digest(
        "stages", adapters=digests, nulls=[n.digest for n in nulls.values()], config=config.digest,
        text=_digest(units),
    )  # fmt: skip

    def write(directory: Path) -> None:
        routed = bench.routed
        states = {
            BASE: routed.zero_weights(), TEAM: opened.adapter(TEAM).state,
            REFERENCE: opened.adapter(REFERENCE).state, "author": own.state,
        }  # fmt: skip

        def read(layer: int) -> np.ndarray:
            return read_block(routed, units, layer)

        readings: dict[str, UnitReadings] = {}
        for state, weights in states.items():
            with routed.at(weights, weights, 0.0):
                readings[state] = read_units(routed, units)
        stages = [
            _swappable_states(opened, states, start, end, read)
            for start, end in ((BASE, TEAM), (BASE, REFERENCE), (REFERENCE, "author"))
        ]
        null_stages = [
            stage_of_states(_STAGE.format(REFERENCE, f"null {i}"), routed, states[REFERENCE], null.state)
            for i, null in enumerate(nulls.values(), 1)
        ]
        found = report_stages(
            label_of(view), routed.base, readings, stages, null_stages, config, progress=_told(opened)
        )
        write_json(directory / "stages.json", found.model_dump(mode="json"))

    place = bench.make("stages", digest, "stages", write)
    found = StagesReport.model_validate(read_json(place / "stages.json"))
    notes = (_REFERENCE_NOTE, _DIRECTION_NOTE, *_same_as(own, nulls))
    return found.model_copy(update={"sparsity": read_sparsity(opened), "notes": notes})


def _same_as(own: Adapter, nulls: dict[str, Adapter]) -> tuple[str, ...]:
    """Where one person wrote nearly everything, shuffled authors leave the commits where they were."""
    same = [f"null {i}" for i, null in enumerate(nulls.values(), 1) if null.digest == own.digest]
    if not same:
        return ()
    who = ", ".join(same)
    sentence = f"{who}: the author's own adapter again, since shuffling moved no commit. That is no control."
    return (sentence,)


def _swappable_states(
    opened: OpenedProfile,
    states: dict[str, RouteWeights],
    start: str,
    end: str,
    read: Callable[[int], np.ndarray],
) -> Swappable:
    from fingerprint.development.stages import Swappable
    from fingerprint.weights.swap import layers_of_routed, switch_states
    from fingerprint.weights.terms import stage_of_states

    routed, first, last = opened.routed, states[start], states[end]
    stage = stage_of_states(_STAGE.format(start, end), routed, first, last)
    return Swappable(stage, layers_of_routed(routed), switch_states(routed, first, last), read)


def report_checkpoint_stages(
    opened: OpenedProfile, word: str, folder: Path, config: ProbeConfig, n_most: int = 4
) -> StagesReport:
    """The same from checkpoint to checkpoint of a base, all parameters; the labels are of the profile's code.

    Args:
        folder: checkpoints of one training, as ``develop checkpoints`` keeps them. n_most: of these, evenly.

    Raises:
        CheckpointsError: there is none. ServiceError: fewer than two, or too little unread code.
    """
    from fingerprint.development.checkpoints import folder_series

    series = folder_series(folder, device=opened.routed.device).spread(n_most)
    if len(series) < 2:
        raise ServiceError(f"{folder} holds {len(series)} checkpoint; stages lie between two or more")
    name, bench = opened.name_of(word), opened.bench
    units = author_units(opened, name, config.most_tokens)
    bases = {f"step {checkpoint.step}": checkpoint.load() for checkpoint in series}
    digest = bench.digest(
        "checkpoint stages", revisions=[base.revision for base in bases.values()], config=config.digest,
        text=_digest(units),
    )  # fmt: skip

    def write(directory: Path) -> None:
        found = _report_bases(bases, units, config, _told(opened))
        write_json(directory / "stages.json", found.model_dump(mode="json"))

    place = bench.make("stages", digest, "stages between checkpoints", write)
    found = StagesReport.model_validate(read_json(place / "stages.json"))
    return found.model_copy(update={"notes": (_DIRECTION_NOTE,)})


def _report_bases(
    bases: dict[str, Base], units: Sequence[Unit], config: ProbeConfig, progress: Progress
) -> StagesReport:
    import copy
    from dataclasses import replace
    from itertools import pairwise

    from fingerprint.development.stages import Swappable, report_stages
    from fingerprint.development.units import read_block, read_units
    from fingerprint.weights.swap import layers_of_model, switch_models
    from fingerprint.weights.terms import stage_of_models

    readings = {name: read_units(base, units) for name, base in bases.items()}
    last = list(bases.values())[-1]
    scratch = replace(last, model=copy.deepcopy(last.model))
    stages = [
        Swappable(
            stage_of_models(_STAGE.format(first, second), bases[first], bases[second]),
            layers_of_model(scratch.model),
            switch_models(scratch.model, bases[first].model, bases[second].model),
            lambda layer: read_block(scratch, units, layer),
        )
        for first, second in pairwise(bases)
    ]
    nulls: list[Stage] = []
    return report_stages(label_of("raw"), last, readings, stages, nulls, config, progress=progress)


# ---------------------------------------------------------------------------------------- L0 tables


def read_sparsity(opened: OpenedProfile) -> tuple[SparsityTable, ...]:
    """L0 tables of every alive-set comparison stored for this repository, each with the base beside it."""
    record, store = opened.bench.record, opened.bench.store
    kinds = [item.split("/", 1) for item in ([] if record is None else record.artifacts)]
    places = [store.find(kind, digest) for kind, digest in kinds if kind == "alive-sets"]
    found = [
        AliveSetDiff.model_validate(read_json(place / "alive.json")) for place in places if place is not None
    ]
    return tuple(_sparsity(diff) for diff in found)


def _sparsity(diff: AliveSetDiff) -> SparsityTable:
    nulls = [{row.matrix: row.l0_adapted for row in _all(null)} for null in diff.nulls]
    rows = []
    for row in _all(diff.change):
        beside = [null[row.matrix] for null in nulls]
        band = (min(beside), max(beside)) if len(beside) > 1 else (None, None)
        rows.append(
            SparsityRow(
                matrix=row.matrix, adapter=diff.adapter, n_components=row.n_components, l0_base=row.l0_base,
                l0_adapted=row.l0_adapted, null_low=band[0], null_high=band[1],
            )
        )  # fmt: skip
    return SparsityTable(
        dictionary=diff.dictionary, is_valid=diff.is_valid, still_fits=diff.still_fits, rows=tuple(rows)
    )


def _all(change: AliveSetChange) -> tuple[MatrixChange, ...]:
    return (*change.matrices, change.total)


def _digest(units: Sequence[Unit]) -> list[str]:
    sides = ([unit.passage for unit in units if unit.is_positive is side] for side in (True, False))
    return [Corpus(tuple(side)).digest for side in sides]


def _told(opened: OpenedProfile) -> Progress:
    return lambda name, done, of: opened.bench.report(Told(name, done, of))
