"""Whether a label tells a component's firings from other tokens: detection, and the intruder test.

Both read a harvest of other text than the labels were made from. A judge sees a label and windows and says
how well each fits, the firing token in the middle; it does not see the component.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int

from fingerprint.evaluation.metrics import Interval, auroc, detection_bootstrap
from fingerprint.harvest.store import Background, Component, Example, Harvest
from fingerprint.labels.label import Label

Judge = Callable[[Label, Sequence[Example]], Sequence[float]]
"""How well each window fits a label; above zero means that the label says it fires."""
LEAST_EXAMPLES = 5
"""Firings on the scoring text below which a label has no score."""
N_NEGATIVES = 100
"""Background tokens without a firing that examples are told from."""
N_OWN, N_TRIALS = 4, 20
"""Windows of the component beside one intruder, and trials."""
CHANCE = 1 / (N_OWN + 1)
"""Of finding the intruder."""


@dataclass(frozen=True)
class LabelScore:
    """What a label is worth.

    Attributes:
        component: its number. n_positive, n_negative: windows told apart. auroc, balanced: with 95 %
            intervals by bootstrap of windows; .5 is chance. intruder: share of trials in which the judge's
            worst fit is the intruder, ties shared; .2 is chance. None: no trial.
    """

    component: int
    n_positive: int
    n_negative: int
    auroc: Interval
    balanced: Interval
    intruder: float | None


def judge_tokens(label: Label, windows: Sequence[Example]) -> list[float]:
    """PMI of the middle token as an input, plus that of the next one as an output."""
    inputs = {token: weight for token, _, weight in label.inputs}
    outputs = {token: weight for token, _, weight in label.outputs}
    return [inputs.get(w.centre, 0.0) + outputs.get(w.following, 0.0) for w in windows]


@dataclass(frozen=True, eq=False)
class ScoringText:
    """The background of a scoring harvest, laid out for many labels.

    Attributes:
        background: its sampled tokens. log_density: of every component. fired: log densities of what fires on
            each background token, padded with NaN.
    """

    background: Background
    log_density: Float[np.ndarray, " c"]
    fired: Float[np.ndarray, "b f"]

    @classmethod
    def of(cls, harvest: Harvest) -> ScoringText:
        """Read a harvest's background."""
        background = harvest.background()
        log_density = np.log(harvest.densities() + 0.5)
        fired = np.full((len(background.fired), max(map(len, background.fired), default=0) + 1), np.nan)
        for row, components in enumerate(background.fired):
            fired[row, : len(components)] = log_density[sorted(components)]
        return cls(background, log_density, fired)

    def without(self, component: int) -> Int[np.ndarray, " n"]:
        """Background tokens on which a component does not fire."""
        fired = self.background.fired
        return np.array([i for i in range(len(fired)) if component not in fired[i]], dtype=int)

    def nearest(self, component: int, among: Int[np.ndarray, " n"]) -> Int[np.ndarray, " m"]:
        """Of these tokens, those on which something of the most similar density fires."""
        distance = np.abs(self.fired[among] - self.log_density[component])
        nearest = np.where(np.isnan(distance), np.inf, distance).min(axis=1)
        return among[np.argsort(nearest, kind="stable")[: 2 * N_TRIALS]]


def score_label(
    label: Label,
    component: Component,
    text: ScoringText,
    judge: Judge = judge_tokens,
    *,
    n_draws: int = 100,
    seed: int = 0,
) -> LabelScore | None:
    """Detection and intruder test of one label; None with too few firings to say.

    Args:
        component: of the scoring harvest, as ``text`` is.
        n_draws: bootstrap draws of the intervals; 0 leaves them NaN.
    """
    own, others = list(component.examples), text.without(component.number)
    if len(own) < LEAST_EXAMPLES or len(others) < LEAST_EXAMPLES:
        return None
    rng = np.random.default_rng([seed, component.number])
    background = text.background.examples
    negatives = [background[i] for i in np.sort(rng.permutation(others)[:N_NEGATIVES])]
    scores = np.asarray(judge(label, [*own, *negatives]), float)
    is_own = np.arange(len(scores)) < len(own)
    names = [str(i) for i in range(len(scores))]
    area, balanced = (
        detection_bootstrap(measure, scores, is_own, names, n_draws=n_draws, seed=seed)
        for measure in (auroc, _balanced)
    )
    strangers = [background[i] for i in text.nearest(component.number, others)]
    found = _intruders(label, own, strangers, judge, rng)
    return LabelScore(component.number, len(own), len(negatives), area, balanced, found)


def mean_auroc(scores: Sequence[LabelScore]) -> float:
    """Mean over labels that have a score; NaN without any."""
    return float(np.mean([score.auroc.value for score in scores])) if scores else float("nan")


def dealt_out(labels: Sequence[Label], seed: int = 0) -> list[Label]:
    """The same labels, each given to another component: what chance scores."""
    order = np.random.default_rng(seed).permutation(len(labels))
    taken = dict(zip(order.tolist(), np.roll(order, 1).tolist(), strict=True))
    return [replace(labels[taken[i]], component=label.component) for i, label in enumerate(labels)]


def _balanced(positive: Float[np.ndarray, " p"], negative: Float[np.ndarray, " q"]) -> float:
    """Mean of the shares judged right; NaN when a side is empty."""
    if not len(positive) or not len(negative):
        return float("nan")
    return float(((positive > 0).mean() + (negative <= 0).mean()) / 2)


def _intruders(
    label: Label, own: Sequence[Example], strangers: Sequence[Example], judge: Judge, rng: np.random.Generator
) -> float | None:
    """Share of trials in which the intruder fits worst."""
    if len(own) < N_OWN or not strangers:
        return None
    fits = np.asarray(judge(label, [*own, *strangers]), float)
    own_fits, strange_fits = fits[: len(own)], fits[len(own) :]
    found = [
        _is_worst(strange_fits[rng.integers(len(strangers))], own_fits[rng.permutation(len(own))[:N_OWN]])
        for _ in range(N_TRIALS)
    ]
    return float(np.mean(found))


def _is_worst(stranger: float, own: Float[np.ndarray, " k"]) -> float:
    """1, or a share where windows tie for the worst fit."""
    if (own < stranger).any():
        return 0.0
    return 1 / (1 + int((own == stranger).sum()))
