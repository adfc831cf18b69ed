"""Which stage wrote a label's direction, and where it is read: probes, alignments and swaps put together.

Where a label is *read* is a matter of activations: the layer at which a probe tells it. Where the direction
was *written* is a matter of weights: the stage and layer whose change lies along it more than along
directions that mean nothing. A change that only lies along it need not do anything, hence the swap
(method-decomposition.md section 7).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float

from fingerprint.development.probe_config import ProbeConfig
from fingerprint.development.probes import (
    ProbeScore,
    difference_of_means,
    measure_probe,
    shuffled_directions,
)
from fingerprint.development.stages_report import LayerProbe, StagesReport
from fingerprint.development.units import UnitReadings
from fingerprint.lm.load import Base
from fingerprint.weights.alignment import align, isotropic_directions, matched_directions
from fingerprint.weights.report import StageSwap
from fingerprint.weights.swap import Layers, Switch, swap_layers
from fingerprint.weights.terms import Stage

LOSS = -1
"""The "layer" of the probe that sees the loss alone."""
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, eq=False)
class Swappable:
    """A stage that can be switched layer by layer.

    Attributes:
        read: the units' rows behind a block, in the model's present state.
    """

    stage: Stage
    layers: Layers
    switch: Switch
    read: Callable[[int], Float[np.ndarray, "n d"]]


@dataclass(frozen=True, eq=False)
class Direction:
    """A probe to look for in weights.

    Attributes:
        w: the mean difference behind block ``layer`` of state ``state``. spread: standard deviation of the
            units along unit w, within the labels. labels: the units'. nulls: directions that mean nothing, by
            kind.
    """

    state: str
    layer: int
    w: Float[np.ndarray, " d"]
    spread: float
    labels: Bool[np.ndarray, " n"]
    nulls: dict[str, torch.Tensor]

    def read_out(self, rows: Float[np.ndarray, "n d"]) -> float:
        """Mean of the positives minus that of the negatives along w, in standard deviations."""
        along = rows @ (self.w / np.linalg.norm(self.w))
        return float(along[self.labels].mean() - along[~self.labels].mean()) / self.spread


def report_stages(
    what: str, base: Base, readings: Mapping[str, UnitReadings], stages: Sequence[Swappable],
    nulls: Sequence[Stage], config: ProbeConfig, *, progress: Progress = lambda _name, _done, _of: None,
) -> StagesReport:  # fmt: skip
    """Everything about a label and the stages of one training.

    Args:
        what: the label, for people. base: gives shapes and norms. readings: the same units in every state, in
            order; the direction is fitted in the last one. nulls: stages of null adapters, aligned alike.
    """
    probes = probe_states(readings, config, progress)
    state, last = list(readings.items())[-1]
    own = [probe for probe in probes if probe.state == state and probe.layer != LOSS]
    direction = fit_direction(state, max(own, key=lambda probe: probe.auroc).layer, last, config)
    w, changes = torch.from_numpy(direction.w), [swappable.stage for swappable in stages]
    alignments = [row for stage in (*changes, *nulls) for row in align(base, stage, w, direction.nulls)]
    return StagesReport(
        what=what, n_units=len(last.labels), n_positive=int(last.labels.sum()),
        n_groups=len(set(last.groups)), probes=tuple(probes), read_state=state, read_layer=direction.layer,
        changes=tuple(row for stage in (*changes, *nulls) for row in stage.changes()),
        alignments=tuple(alignments), swaps=tuple(_swap(one, direction, progress) for one in stages),
        null_stages=tuple(stage.name for stage in nulls),
    )  # fmt: skip


def probe_states(
    readings: Mapping[str, UnitReadings], config: ProbeConfig, progress: Progress
) -> list[LayerProbe]:
    """Mean-difference probes after every block of every state, and on the loss alone."""
    found: list[LayerProbe] = []
    for done, (state, rows) in enumerate(readings.items(), 1):
        layers = {LOSS: rows.nll[:, None]} | dict(enumerate(rows.activations.transpose(1, 0, 2)))
        for layer, values in layers.items():
            score = _measure(values, rows, config)
            found.append(LayerProbe(state=state, layer=layer, **_fields(score)))
        progress("probes", done, len(readings))
    return found


def fit_direction(state: str, layer: int, readings: UnitReadings, config: ProbeConfig) -> Direction:
    """The mean difference behind one block, on all units, with the three kinds of null."""
    rows, labels, groups = readings.activations[:, layer], readings.labels, readings.groups
    w = difference_of_means(rows, labels, groups)
    along = rows @ (w / np.linalg.norm(w))
    spread = np.sqrt(np.mean([along[labels].var(), along[~labels].var()]))
    n, seed = config.n_directions, config.seed
    shuffled = shuffled_directions(rows, labels, groups, difference_of_means, n_shuffles=n, seed=seed)
    return Direction(
        state, layer, w, float(spread), labels,
        {
            "shuffled labels": torch.from_numpy(shuffled),
            "like activations": matched_directions(torch.from_numpy(rows), n, seed),
            "isotropic": isotropic_directions(rows.shape[1], n, seed),
        },
    )  # fmt: skip


def _swap(swappable: Swappable, direction: Direction, progress: Progress) -> StageSwap:
    name = swappable.stage.name
    return swap_layers(
        name, swappable.layers, swappable.switch, lambda: direction.read_out(swappable.read(direction.layer)),
        lambda done, of: progress(f"swaps of {name}", done, of),
    )  # fmt: skip


def _measure(rows: Float[np.ndarray, "n d"], units: UnitReadings, config: ProbeConfig) -> ProbeScore:
    return measure_probe(
        rows, units.labels, units.groups, difference_of_means, n_folds=config.n_folds,
        n_draws=config.n_draws, n_shuffles=config.n_shuffles, seed=config.seed,
    )  # fmt: skip


def _fields(score: ProbeScore) -> dict[str, float]:
    return {
        "auroc": score.auroc, "low": score.low, "high": score.high, "null_high": score.null_high,
        "p_value": score.p_value,
    }  # fmt: skip
