"""The author form of transient structure: an adapter's training between base, team, n-grams and memory.

f_t is the log-probability of every scored token of a probe: code of the author's and of others', that nothing
was trained on. Out of distribution are the others' files. "General style first, then memory" would show as a
loss on these that dips and rises, and a path that bends from the team towards the memorised author.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from fingerprint.adapters.train import state_kept, train_adapter
from fingerprint.config import AdapterConfig
from fingerprint.development.checkpoints import CheckpointSeries
from fingerprint.development.trajectory import Trajectory
from fingerprint.development.transient_report import ProbedRun
from fingerprint.lm.pair import RoutedModel, RouteWeights, scored_log_probs
from fingerprint.lm.tokens import TokenizedPassage
from fingerprint.starter.ngram import KneserNey

BASE, TEAM, MEMORY, NGRAMS = "base", "team", "memorised author", "author's n-grams"
NGRAM_ORDER = 3
MEMORY_EPOCHS = 12
"""Readings of the same few windows, after which an adapter knows them by heart."""
Windows = Sequence[TokenizedPassage]


@dataclass(frozen=True)
class ProbeWindows:
    """Text that no adapter was trained on, and what the author's references are made from.

    Attributes:
        own, others: windows of the author's and of the others' unread code. train: of the author's training.
    """

    own: Windows
    others: Windows
    train: Windows


def probe_author(
    routed: RoutedModel,
    series: CheckpointSeries[RoutedModel],
    probe: ProbeWindows,
    references: Mapping[str, Float[np.ndarray, " f"]],
    name: str,
) -> ProbedRun:
    """Read every state of a recorded training on the probe, beside what ``read_references`` gave for it."""
    both = [*probe.own, *probe.others]
    outputs, losses = [], []
    with state_kept(routed):
        for checkpoint in series:
            found = scored_log_probs(checkpoint.load(), both)
            outputs.append(np.concatenate(found))
            losses.append([-values.mean() for values in found[len(probe.own) :]])
    path = Trajectory(name, series.steps, np.stack(outputs).astype(np.float64))
    return ProbedRun(path, np.array(losses, dtype=np.float64), references)


def read_references(
    routed: RoutedModel, probe: ProbeWindows, team: RouteWeights, config: AdapterConfig
) -> dict[str, Float[np.ndarray, " f"]]:
    """Base, team, memorised author and the author's n-grams on the probe.

    The memorised author is the team's adapter trained on the given training windows, read a dozen times over.

    Raises:
        FingerprintError: no scored token in the training windows.
    """
    both = [*probe.own, *probe.others]
    with state_kept(routed):
        return {
            BASE: _read(routed, routed.zero_weights(), both),
            TEAM: _read(routed, team, both),
            MEMORY: _read(routed, memorise(routed, probe.train, team, config), both),
            NGRAMS: ngram_log_probs(probe.train, both),
        }


def _read(routed: RoutedModel, weights: RouteWeights, windows: Windows) -> Float[np.ndarray, " f"]:
    with state_kept(routed):
        routed.set_weights(weights)
        return np.concatenate(scored_log_probs(routed, windows)).astype(np.float64)


def memorise(
    routed: RoutedModel, windows: Windows, start: RouteWeights, config: AdapterConfig
) -> RouteWeights:
    """The state an adapter reaches on windows read over and over, judged on these very windows."""
    n_scored = sum(window.n_scored for window in windows)
    dials = config.model_copy(update={"most_epochs": MEMORY_EPOCHS})
    trained = train_adapter(
        routed, windows, windows, start=start, config=dials, budget_tokens=n_scored * MEMORY_EPOCHS
    )
    return trained.weights


def ngram_log_probs(train: Windows, windows: Windows) -> Float[np.ndarray, " f"]:
    """Log-probabilities, in nats, that trigrams of the author's tokens give the windows' scored tokens."""
    ids = np.concatenate([window.ids for window in train]).astype(np.int64)
    highest = max(int(ids.max()), *(int(window.ids.max()) for window in windows))
    model = KneserNey(ids, NGRAM_ORDER, highest.bit_length())
    found = [model.log2_probs(window.ids.astype(np.int64))[window.scored] for window in windows]
    return np.concatenate(found) * np.log(2)
