"""A label read at every checkpoint, and when each reading came (method-development.md B.2).

Units, folds and bootstrap draws are the same at every checkpoint, so a curve is resampled as a whole. The
null, labels shuffled through the whole procedure, is drawn at the last checkpoint: it depends on units and
folds, hardly on weights, and costs twenty times the reading.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import pairwise

import numpy as np
from jaxtyping import Float
from torch import Tensor

from fingerprint.development.emergence import LEAST_POINTS, fit_emergence
from fingerprint.development.probe_config import ProbeConfig
from fingerprint.development.probes import (
    Fit,
    HeldOut,
    best_latent,
    cross_validate,
    difference_of_means,
    logistic,
    shuffled_aurocs,
)
from fingerprint.development.timeline_report import (
    EmergenceRow,
    LatentPoint,
    TimelinePoint,
    TimelineReport,
    WeightPoint,
)
from fingerprint.development.units import UnitReadings
from fingerprint.sae.artifact import Sae
from fingerprint.sae.matching import births, match_latents
from fingerprint.weights.terms import Stage

NO_LAYER = -1
MEANS, LOGISTIC, LATENT, LOSS = "mean difference", "logistic", "best latent", "loss alone"
OWN_LATENT, ROUTES, RATIO = "best own latent", "routes", "log-ratio"
_FITS: dict[str, Fit] = {LOGISTIC: logistic, LATENT: best_latent, OWN_LATENT: best_latent, ROUTES: logistic}
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, eq=False)
class Point:
    """The units at one checkpoint.

    Attributes:
        readings: activations, the shared dictionary's latents and the loss. extra: further rows [n, d] by
            (method, layer): an own dictionary's latents, contributions of routes, the log-ratio to another
            state.
    """

    step: int
    readings: UnitReadings
    extra: Mapping[tuple[str, int], Float[np.ndarray, "n d"]]

    def rows(self) -> dict[tuple[str, int], Float[np.ndarray, "n d"]]:
        """Everything a probe is fitted on, by (method, layer)."""
        found: dict[tuple[str, int], np.ndarray] = {(LOSS, NO_LAYER): self.readings.nll[:, None]}
        for layer, values in enumerate(self.readings.activations.transpose(1, 0, 2)):
            found[MEANS, layer] = found[LOGISTIC, layer] = values
        found |= {(LATENT, layer): values for layer, values in self.readings.latents.items()}
        return found | dict(self.extra)


def report_timeline(
    what: str, series: str, points: Sequence[Point], config: ProbeConfig, *,
    weights: tuple[WeightPoint, ...] = (), latents: tuple[LatentPoint, ...] = (),
    progress: Progress = lambda _name, _done, _of: None,
) -> TimelineReport:  # fmt: skip
    """Curves and their emergence; with fewer than five checkpoints beyond step 0 the curves alone.

    Args:
        what: the label, series: the training, for people. points: by rising step, the same units in each.
    """
    last = points[-1]
    shown: list[TimelinePoint] = []
    emergence: list[EmergenceRow] = []
    keys = list(last.rows())
    for done, key in enumerate(keys, 1):
        held = [_held_out(point, key, config) for point in points]
        curve, draws = _curve(held, points, key, _null_high(last, key, config), config)
        shown += curve
        emergence += _emergence(curve, draws)
        progress("readings along checkpoints", done, len(keys))
    readings = last.readings
    return TimelineReport(
        what=what, series=series, n_units=len(readings.labels), n_positive=int(readings.labels.sum()),
        n_groups=len(set(readings.groups)), points=tuple(shown), emergence=tuple(emergence), weights=weights,
        latents=latents,
    )  # fmt: skip


def _fit(key: tuple[str, int]) -> Fit:
    return _FITS.get(key[0], difference_of_means)


def _held_out(point: Point, key: tuple[str, int], config: ProbeConfig) -> HeldOut:
    readings, rows = point.readings, point.rows()[key]
    run = partial(cross_validate, n_folds=config.n_folds, seed=config.seed)
    return run(rows, readings.labels, readings.groups, _fit(key))


def _null_high(point: Point, key: tuple[str, int], config: ProbeConfig) -> float:
    readings = point.readings
    null = shuffled_aurocs(
        point.rows()[key], readings.labels, readings.groups, _fit(key), n_shuffles=config.n_shuffles,
        n_folds=config.n_folds, seed=config.seed,
    )  # fmt: skip
    return float(np.quantile(null, 0.95))


def _curve(
    held: Sequence[HeldOut],
    points: Sequence[Point],
    key: tuple[str, int],
    null_high: float,
    config: ProbeConfig,
) -> tuple[list[TimelinePoint], Float[np.ndarray, "n t"]]:
    """One reading's points, and the whole curve under every draw of groups."""
    draws = [one.draws(config.n_draws, config.seed) for one in held]
    n = min(map(len, draws))  # a draw without either label has no AUROC, at any checkpoint alike
    bounds = [np.quantile(drawn, [0.025, 0.975]) for drawn in draws]
    curve = [
        TimelinePoint(
            step=point.step, method=key[0], layer=key[1], auroc=one.auroc, low=float(low), high=float(high),
            null_high=null_high,
        )
        for point, one, (low, high) in zip(points, held, bounds, strict=True)
    ]  # fmt: skip
    return curve, np.stack([drawn[:n] for drawn in draws], axis=1)


def _emergence(curve: Sequence[TimelinePoint], draws: Float[np.ndarray, "n t"]) -> list[EmergenceRow]:
    """At most one row: none where a logistic curve could not be told."""
    later = [i for i, point in enumerate(curve) if point.step >= 1]
    if len(later) < LEAST_POINTS:
        return []
    found = fit_emergence(
        [curve[i].step for i in later], np.array([curve[i].auroc for i in later]), draws[:, later].std(0),
        draws=draws[:, later],
    )  # fmt: skip
    above = [point.low > point.null_high for point in curve]
    n_last = next((i for i, is_above in enumerate(reversed(above)) if not is_above), len(above))
    first = curve[len(above) - n_last].step if n_last else None
    fields = {name: value for name, value in asdict(found).items() if name != "bic"}
    return [
        EmergenceRow(
            method=curve[0].method, layer=curve[0].layer, is_limited=found.is_limited,
            is_above_null=above[-1], first_above=first, **fields,
        )
    ]  # fmt: skip


# ------------------------------------------------------------------------------------ weights, latents


def measure_weights(so_far: Mapping[int, Stage], to_final: Mapping[int, Stage]) -> tuple[WeightPoint, ...]:
    """The weight-space view of a series.

    Args:
        so_far: by step, from the start of the series to the checkpoint. to_final: from the checkpoint to the
            last.
    """
    final = so_far[max(so_far)]
    whole = _size(final)
    return tuple(
        WeightPoint(
            step=step, size=_size(stage),
            relative=_size(stage) / float(np.sqrt(sum(n * n for n in stage.before.values()))),
            effective_rank=_weighted(stage, {site: t.effective_rank for site, t in stage.terms.items()}),
            cosine_to_final=_weighted(
                stage, {site: _leading_cosine(t.left, final.terms[site].left) for site, t in
                stage.terms.items()}
            ),
            distance_to_final=_size(to_final[step]) / whole if whole else 0.0,
        )
        for step, stage in sorted(so_far.items())
    )  # fmt: skip


def _size(stage: Stage) -> float:
    return float(np.sqrt(sum(terms.frobenius**2 for terms in stage.terms.values())))


def _weighted(stage: Stage, values: Mapping[str, float]) -> float:
    """Mean over matrices, weighted by the energy of their change; 0 of no change."""
    energy = {site: terms.frobenius**2 for site, terms in stage.terms.items()}
    whole = sum(energy.values())
    return sum(energy[site] * value for site, value in values.items()) / whole if whole else 0.0


def _leading_cosine(first: Float[Tensor, "o k"], second: Float[Tensor, "o m"]) -> float:
    return float((first[:, 0] @ second[:, 0]).abs())


def measure_latents(dictionaries: Mapping[int, Sae]) -> tuple[LatentPoint, ...]:
    """What becomes of latents along dictionaries trained one from the other, by step."""
    steps = sorted(dictionaries)
    rows = [dictionaries[step].autoencoder.W_dec for step in steps]
    matches = [match_latents(first, second) for first, second in pairwise(rows)]
    born = births(matches) if matches else np.zeros(len(rows[0]), dtype=int)
    return tuple(
        LatentPoint(
            step=step, fvu=dictionaries[step].facts.last_fvu,
            kept_share=matches[i].kept_share if i < len(matches) else None,
            born_share=float((born == i).mean()),
        )
        for i, step in enumerate(steps)
    )  # fmt: skip
