"""Sparse probe, dense detection, product score and n-grams on code made to look like the team's.

A disguise can take the mean difference away and leave many small ones: a detector of the mean then fails
where one of sparse latents does not. Whether that is so depends on what the detector has been trained on, so
each is tried in both regimes: trained on plain foreign code (it does not know the disguise) and on disguised
code (all that is still there to be found). The product's scores know the team alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from fingerprint.development.evasion_report import PLAIN, EvasionCell, EvasionReport, Regime, Survival
from fingerprint.development.probe_config import ProbeConfig
from fingerprint.development.probes import (
    Fit,
    HeldOut,
    best_latent,
    cross_validate,
    difference_of_means,
    held_out_scores,
    logistic,
    on_best_layer,
    sparse_logistic,
    unfitted,
)
from fingerprint.development.statistics import search_latents, t_statistics
from fingerprint.development.units import UnitReadings
from fingerprint.evaluation.baselines import fit_ngram_classifier

N_BEST = 10
NGRAMS = "n-grams, trained"


@dataclass(frozen=True, eq=False)
class Form:
    """All units in one disguise (the team's side may be as it was), in one order for every disguise.

    Attributes:
        readings: of the model. team_scores: the product's scores of each unit, by detector; larger is more
        foreign.
        texts: what was added.
    """

    readings: UnitReadings
    team_scores: Mapping[str, Float[np.ndarray, " n"]]
    texts: Sequence[str]


def report_evasion(
    foreign: str, team: str, forms: Mapping[str, Form], config: ProbeConfig, *, dropped: int = 0
) -> EvasionReport:
    """Every detector on every disguise.

    Args:
        foreign, team: the sides, for people. forms: by disguise; ``PLAIN`` among them, and the same units in
            each.
    """
    plain = forms[PLAIN].readings
    cells = [
        _cell(disguise, detector, regime, held, config)
        for disguise, form in forms.items()
        for detector, regime, held in detect(forms[PLAIN], form, config, is_plain=disguise == PLAIN)
    ]
    return EvasionReport(
        foreign=foreign, team=team, n_foreign=int(plain.labels.sum()), n_team=int((~plain.labels).sum()),
        n_groups=len(set(plain.groups)), disguises=tuple(forms), dropped=dropped, cells=tuple(cells),
        survival=tuple(measure_survival(name, forms[PLAIN], form, config) for name, form in forms.items()),
    )  # fmt: skip


def detect(
    plain: Form, form: Form, config: ProbeConfig, *, is_plain: bool
) -> Iterator[tuple[str, Regime, HeldOut]]:
    """(detector, what it was trained on, held-out scores) of one disguise."""
    readings = form.readings
    for name, scores in form.team_scores.items():
        yield name, "team only", unfitted(scores, readings.labels, readings.groups)
    n_layers = readings.activations.shape[1]
    fits: dict[str, tuple[str, Fit]] = {
        "dense mean difference": ("dense", on_best_layer(n_layers, difference_of_means)),
        "dense logistic": ("dense", on_best_layer(n_layers, logistic)),
        "sparse probe": ("sparse", sparse_logistic),
        "best latent": ("sparse", best_latent),
    }
    regimes: list[tuple[Regime, Form]] = (
        [("plain", plain)] if is_plain else [("plain", plain), ("disguised", form)]
    )
    for regime, trained in regimes:
        for name, (kind, fit) in fits.items():
            yield name, regime, cross_validate(
                _rows(trained, kind), readings.labels, readings.groups, fit, tested=_rows(form, kind),
                n_folds=config.n_folds, seed=config.seed,
            )  # fmt: skip
        yield NGRAMS, regime, _ngrams(trained, form, config)


def _rows(form: Form, kind: str) -> Float[np.ndarray, "n d"]:
    readings = form.readings
    if kind == "dense":
        return readings.activations.reshape(len(readings.labels), -1)
    return np.concatenate(list(readings.latents.values()), axis=1)


def _ngrams(trained: Form, tested: Form, config: ProbeConfig) -> HeldOut:
    """The cheap peer B1 with the same folds."""
    labels = trained.readings.labels

    def score(train: np.ndarray, test: np.ndarray) -> np.ndarray:
        model = fit_ngram_classifier([trained.texts[int(i)] for i in train], labels[train].astype(int), 2)
        found = model.score([tested.texts[int(i)] for i in test])
        return found[:, 1] - found[:, 0]

    return held_out_scores(labels, trained.readings.groups, score, n_folds=config.n_folds, seed=config.seed)


def _cell(disguise: str, detector: str, regime: Regime, held: HeldOut, config: ProbeConfig) -> EvasionCell:
    found = held.interval(config.n_draws, config.seed)
    return EvasionCell(
        disguise=disguise, detector=detector, trained_on=regime, auroc=found.value, low=found.low,
        high=found.high,
    )  # fmt: skip


def measure_survival(disguise: str, plain: Form, form: Form, config: ProbeConfig) -> Survival:
    """How many latents that lead on plain code still tell the sides apart, and what the mean has lost."""
    labels, groups = plain.readings.labels, plain.readings.groups
    best = search_latents(
        plain.readings.latents, labels, groups, n_best=N_BEST, n_shuffles=1, seed=config.seed
    ).predictors
    if not best:
        return Survival(disguise=disguise, n_best=0, n_kept=0, dense=_dense_share(plain, form))
    columns = {(one.layer, one.latent): np.sign(one.t) for one in best}
    rows = np.stack([form.readings.latents[layer][:, i] for layer, i in columns], axis=1)
    again = search_latents({0: rows}, labels, groups, n_shuffles=200, seed=config.seed).predictors
    p_values = {one.latent: one.p_value for one in again}
    t = t_statistics(rows, labels, groups)
    kept = [
        bool(np.sign(t[k]) == sign and p_values.get(k, 1.0) <= 0.05)
        for k, sign in enumerate(columns.values())
    ]
    return Survival(disguise=disguise, n_best=len(best), n_kept=sum(kept), dense=_dense_share(plain, form))


def _dense_share(plain: Form, form: Form) -> float:
    """||mean difference|| at the layer where the plain one is largest beside the spread."""
    sizes = []
    for readings in (plain.readings, form.readings):
        by_layer = readings.activations.transpose(1, 0, 2)
        sizes.append(
            [
                np.linalg.norm(difference_of_means(rows, readings.labels, readings.groups)) / rows.std()
                for rows in by_layer
            ]
        )
    best = int(np.argmax(sizes[0]))
    return float(sizes[1][best] / sizes[0][best])
