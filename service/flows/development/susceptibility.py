"""Susceptibilities along checkpoints: each an artifact, so that a killed run goes on at the next."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from fingerprint.provenance import CODE_VERSION, digest_of
from service import ServiceError
from service.artifacts import ArtifactStore, read_json, write_json
from service.flows.bench import Progress, Stage
from service.flows.development.record import Recording
from service.flows.development.shifts import ShiftTexts
from service.flows.opened import OpenedProfile

if TYPE_CHECKING:
    from fingerprint.development.checkpoints import Checkpoint, CheckpointSeries
    from fingerprint.development.config import SusceptibilityConfig
    from fingerprint.development.responses import CheckpointResponse
    from fingerprint.development.sampling import SampleProgress
    from fingerprint.lm.load import Base
    from fingerprint.lm.pair import RoutedModel
    from fingerprint.lm.tokens import TokenizedPassage
    from fingerprint.passage import Passage
    from fingerprint.sae.artifact import Sae

KIND = "responses"
LEAST_SCORED = 12
"""Scored tokens below which a window is not read: it would weigh as much as a full one in a forward pass."""


@dataclass(frozen=True)
class TokenRow:
    """One scored token of a data set, for people: what it is and what stands around it."""

    set_name: str
    text: str
    before: str
    after: str
    kind: int


@dataclass(frozen=True)
class Susceptibility:
    """The responses of a model's components over its checkpoints.

    Attributes:
        subject: what was trained. responses: by rising step. tokens_seen: of each. tokens: rows of the
            token factors. digests: of the artifacts. nulls: the same of shuffled authors' trainings.
    """

    subject: str
    responses: tuple[CheckpointResponse, ...]
    tokens_seen: tuple[int | None, ...]
    tokens: tuple[TokenRow, ...]
    digests: tuple[str, ...]
    nulls: tuple[Susceptibility, ...] = ()


@dataclass(frozen=True)
class Sampling:
    """What every checkpoint is sampled with.

    Attributes:
        config: every dial. store: where responses are kept. report: progress. sae: a dictionary of the base
            that all checkpoints share (adapters'), of which the busiest latents are read.
    """

    config: SusceptibilityConfig
    store: ArtifactStore
    report: Progress
    sae: Sae | None = None


@dataclass(frozen=True)
class _Windows:
    train: Sequence[TokenizedPassage]
    sets: Mapping[str, Sequence[TokenizedPassage]]
    digest: str


def routed_bases(
    series: CheckpointSeries[Base], config: SusceptibilityConfig
) -> CheckpointSeries[RoutedModel]:
    """Whole models over the same random directions each, with B at zero: what is sampled."""
    from fingerprint.development.checkpoints import Checkpoint, CheckpointSeries
    from fingerprint.lm.pair import RoutedModel
    from fingerprint.lm.routes import random_routes

    def routed(load: Callable[[], Base]) -> Callable[[], RoutedModel]:
        def wrapped() -> RoutedModel:
            base = load()
            return RoutedModel(base, random_routes(base, config.rank, config.seed))

        return wrapped

    return CheckpointSeries(
        series.name, tuple(Checkpoint(c.step, c.tokens_seen, routed(c.load)) for c in series)
    )


def measure_susceptibility(
    series: CheckpointSeries[RoutedModel], texts: ShiftTexts, sampling: Sampling
) -> Susceptibility:
    """Sample around every checkpoint, or find what was sampled.

    Raises:
        ServiceError: a checkpoint whose tokenizer is another, or too little text.
        FingerprintError: every chain diverged.
    """
    found, digests, first = [], [], None
    tokens: tuple[TokenRow, ...] = ()
    for checkpoint in series:
        model = checkpoint.load()
        windows = _windows(model.base, texts, sampling.config)
        if first is None:
            first, tokens = windows.digest, _token_rows(texts, windows)
        if windows.digest != first:
            raise ServiceError(
                f"{series.name} at step {checkpoint.step} reads the text with another tokenizer than the "
                "first checkpoint: responses to tokens cannot be compared. Give checkpoints of one training."
            )
        response, digest = _respond(checkpoint, model, windows, sampling)
        found.append(response)
        digests.append(digest)
    seen = tuple(checkpoint.tokens_seen for checkpoint in series)
    return Susceptibility(series.name, tuple(found), seen, tokens, tuple(digests))


def measure_nulls(
    opened: OpenedProfile, nulls: Sequence[Recording], texts: ShiftTexts, n_most: int, sampling: Sampling
) -> tuple[Susceptibility, ...]:
    """Shuffled authors' trainings, each a posterior of its own text, shifted to the author's data sets."""
    found = []
    for null in nulls:
        series = null.series(opened.bench.routed).spread(n_most)
        own = replace(texts, train=opened.trained_on(null.author).passages)
        found.append(measure_susceptibility(series, own, sampling))
    return tuple(found)


def _respond(
    checkpoint: Checkpoint[RoutedModel], model: RoutedModel, windows: _Windows, sampling: Sampling
) -> tuple[CheckpointResponse, str]:
    from fingerprint.adapters.adapter import digest_weights
    from fingerprint.development.responses import (
        CheckpointResponse,
        busiest_latents,
        component_probes,
        sample_responses,
    )
    from fingerprint.development.trace import Trace

    config, sae, store = sampling.config, sampling.sae, sampling.store
    latents = [] if sae is None else busiest_latents(model.base, sae, windows.train, config.n_latents)
    probes = component_probes(model, sae, latents)
    components = [name for probe in probes for name in probe.names]
    digest = digest_of(
        {"what": KIND, "revision": model.base.revision, "routes": model.routes.digest,
         "weights": digest_weights(model.weights()), "windows": windows.digest, "config": config.digest,
         "components": components, "dictionary": None if sae is None else sae.digest, "code": CODE_VERSION}
    )  # fmt: skip
    name = f"step {checkpoint.step}"

    def progress(state: SampleProgress) -> None:
        done = state.chain * state.steps + state.step
        sampling.report(Stage(name, done, state.chains * state.steps))

    def write(directory: Path) -> None:
        trace = sample_responses(
            model.model, model.parameters, windows.train, windows.sets, probes, config,
            label=str(checkpoint.step), progress=progress,
        )  # fmt: skip
        trace.save(directory / "trace.npz")
        write_json(directory / "names.json", {"components": components, "sets": list(windows.sets)})

    if store.find(KIND, digest) is not None:
        sampling.report(Stage(name, 1, 1, is_stored=True))
    place = store.put(KIND, digest, write)
    names = read_json(place / "names.json")
    trace = Trace.load(place / "trace.npz")
    response = CheckpointResponse(
        checkpoint.step, trace, tuple(names["components"]), tuple(names["sets"]), config
    )
    return response, digest


def _windows(base: Base, texts: ShiftTexts, config: SusceptibilityConfig) -> _Windows:
    from fingerprint.sae.stream import digest_windows

    n_own = config.set_windows(len(texts.sets))
    train = _chosen(base, texts.train, config.train_windows, config)
    sets = {name: _chosen(base, own, n_own, config) for name, own in texts.sets.items()}
    parts = {
        name: [digest_windows(own), *(window.scored.tobytes().hex() for window in own)]
        for name, own in ({"": train} | sets).items()
    }
    return _Windows(train, sets, digest_of(parts))


def _chosen(
    base: Base, passages: Sequence[Passage], n_most: int, config: SusceptibilityConfig
) -> Sequence[TokenizedPassage]:
    from fingerprint.development.losses import choose_windows
    from fingerprint.lm.tokens import tokenize_passages

    windows = tokenize_passages(base, passages, config.window_tokens)
    full = [window for window in windows if window.n_scored >= LEAST_SCORED]
    return choose_windows(full or windows, n_most, config.seed)


def _token_rows(texts: ShiftTexts, windows: _Windows) -> tuple[TokenRow, ...]:
    """The scored tokens of all sets, in the order of the sampled losses."""
    from fingerprint.development.token_kinds import kinds_of_tokens

    rows = []
    for name, own in windows.sets.items():
        passages = texts.sets[name]
        for window in own:
            passage = passages[window.passage_index]
            offsets = window.offsets[window.scored]
            kinds = kinds_of_tokens(passage.text, passage.path, offsets)
            for (start, end), kind in zip(offsets.tolist(), kinds.tolist(), strict=True):
                before, after = passage.text[max(0, start - 40) : start], passage.text[end : end + 40]
                rows.append(TokenRow(name, passage.text[start:end], before, after, kind))
    return tuple(rows)
