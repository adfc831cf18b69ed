"""Influence along checkpoints: a base on correct and incorrect programs, an author's adapter on commits.

Each checkpoint's draws are an artifact, so that a killed run goes on at the checkpoint (and chain) where it
stopped, and reading the same draws otherwise costs nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fingerprint.provenance import CODE_VERSION, digest_of
from service import ServiceError
from service.artifacts import ArtifactStore, RepositoryRecord
from service.flows.bench import Progress, Stage
from service.flows.development.pairs import StoredPairs
from service.flows.development.record import NotRecordedError, Recording, load_recording, record_author
from service.flows.foreign import read_foreign
from service.flows.opened import OpenedProfile

if TYPE_CHECKING:
    from fingerprint.development.checkpoints import CheckpointSeries
    from fingerprint.development.influence_config import InfluenceConfig
    from fingerprint.development.samples import Samples
    from fingerprint.development.sampling import SampleProgress
    from fingerprint.development.stagewise import Curve
    from fingerprint.development.stagewise import Stage as InfluenceStage
    from fingerprint.development.trace import Trace
    from fingerprint.lm.load import Base
    from fingerprint.lm.tokens import TokenizedPassage
    from fingerprint.passage import Passage

KIND = "loss-trace"
_LINES_OF_A_FILE = (60, 120)
"""Sizes of the passages that training text is cut to before it is cut to windows."""


@dataclass(frozen=True, eq=False)
class InfluenceRun:
    """Influence along a series.

    Attributes:
        series: its name. samples: what was observed. stages: by rising step. curves: their shapes.
            config: every dial. facts: what it was made from. nulls: the same of shuffled authors.
    """

    series: str
    samples: Samples
    stages: tuple[InfluenceStage, ...]
    curves: tuple[Curve, ...]
    config: InfluenceConfig
    facts: dict[str, Any]
    nulls: tuple[InfluenceRun, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Rows by step, curves, dials and names; the matrices are in ``write_matrices``."""
        from dataclasses import asdict

        return {
            "series": self.series,
            "form": self.samples.form,
            **self.facts,
            "stages": [stage.to_json() for stage in self.stages],
            "curves": [asdict(curve) for curve in self.curves],
            "config": self.config.model_dump(mode="json"),
            "shuffled_authors": [null.to_json() for null in self.nulls],
        }

    def write_matrices(self, path: Path) -> None:
        """R by step, BIF on observables, names, groups and units as one npz file."""
        arrays: dict[str, Any] = {f"R/{stage.step}": stage.R for stage in self.stages}
        for stage in self.stages:
            arrays |= {f"{name}/{stage.step}": values for name, values in stage.on_observables.items()}
        samples = self.samples
        labels = {"names": np.array(samples.names), "group": samples.group, "unit": samples.unit}
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as stream:
            np.savez_compressed(stream, **arrays, **labels)  # pyright: ignore[reportArgumentType]


def base_influence(
    series: CheckpointSeries[Base], pairs: StoredPairs, home: Path, config: InfluenceConfig, report: Progress
) -> InfluenceRun:
    """Correct and incorrect programs at a base's checkpoints; training text is Python's standard library.

    Raises:
        FingerprintError: pairs that do not fit, a checkpoint that cannot be loaded, chains that diverge.
    """
    from fingerprint.development.losses import choose_windows, windows_of_length
    from fingerprint.development.samples import pair_samples
    from fingerprint.development.stagewise import read_curves, read_stage

    n_tokens = 2 * config.n_train * config.sequence_tokens
    text = read_foreign(None, _LINES_OF_A_FILE, n_tokens, config.seed).corpus.passages
    stages, samples = [], None
    for checkpoint in series.spread(config.most_checkpoints):
        base = checkpoint.load()
        samples = pair_samples(base, pairs.pairs.pairs, config)
        windows = windows_of_length(base, text, config.sequence_tokens)
        train = choose_windows(windows, config.n_train, config.seed)
        run = _Sampling(ArtifactStore(home), None, config, report, base.revision, train, samples)
        trace = run.trace(base, checkpoint.step)
        stages.append(read_stage(trace, train, samples, config, checkpoint.step, checkpoint.tokens_seen))
    if samples is None:
        raise ServiceError(f"expected checkpoints in {series.name}, there is none")
    facts = {"pairs": pairs.digest, "text": "Python's standard library"}
    return InfluenceRun(series.name, samples, tuple(stages), read_curves(stages), config, facts)


def author_influence(
    opened: OpenedProfile, author: str, config: InfluenceConfig, report: Progress,
    nulls: Sequence[Recording] = (),
) -> InfluenceRun:  # fmt: skip
    """An author's commits on each other and on the team's, along the training of the author's adapter.

    Only the adapter's B is sampled. The team's commits are others' newest code, which the adapter never read.
    A step at which commits move themselves too much is refused, and named; step 0 is the base.

    Args:
        nulls: recorded trainings of shuffled authors, read alike: the commits dealt to each on each other and
            on the same team's code.

    Raises:
        FingerprintError: too few commits, or no step at which influence can be read.
    """
    others = [passage for passage in opened.unread if passage.author != author]
    own = _along_recording(opened, author, _recording(opened, author), others, config, report)
    return replace(
        own,
        nulls=tuple(
            _along_recording(opened, f"shuffled {i}", null, others, config, report)
            for i, null in enumerate(nulls, 1)
        ),
    )


def _along_recording(
    opened: OpenedProfile, name: str, recording: Recording, others: Sequence[Passage],
    config: InfluenceConfig, report: Progress,
) -> InfluenceRun:  # fmt: skip
    from fingerprint.development.influence import InfluenceError
    from fingerprint.development.observables import route_energies
    from fingerprint.development.samples import author_samples
    from fingerprint.development.stagewise import read_curves, read_stage
    from fingerprint.lm.tokens import tokenize_passages

    routed, own = opened.bench.routed, opened.trained_on(recording.author).passages
    train = tokenize_passages(routed.base, own, config.sequence_tokens)
    samples = author_samples(routed.base, own, others, config)
    observe = route_energies(routed, train[: config.batch_rows])
    stages, refused = [], {}
    before = routed.weights()
    try:
        for checkpoint in recording.series(routed).spread(config.most_checkpoints):
            live = checkpoint.load()
            identity = digest_of(
                [routed.base.revision, routed.routes.digest, recording.digest, checkpoint.step]
            )
            run = _Sampling(opened.bench.store, opened.bench.record, config, report, identity, train, samples)
            trace = run.trace(live, checkpoint.step, observe)
            try:
                stages.append(
                    read_stage(trace, train, samples, config, checkpoint.step, checkpoint.tokens_seen)
                )
            except InfluenceError as error:
                refused[checkpoint.step] = str(error)
    finally:
        routed.set_weights(before)
    if not stages:
        raise ServiceError(f"no checkpoint of {name} can be read: {next(iter(refused.values()))}")
    facts = {"author": name, "recording": recording.digest, "refused": refused}
    return InfluenceRun(name, samples, tuple(stages), read_curves(stages), config, facts)


def _recording(opened: OpenedProfile, author: str) -> Recording:
    """The recorded training, however many states it keeps; made when there is none."""
    try:
        return load_recording(opened, author)
    except NotRecordedError:
        return record_author(opened, author)


@dataclass(frozen=True, eq=False)
class _Sampling:
    """Draws of one checkpoint, found or made.

    Attributes:
        model: digest of what is sampled around. record: of the repository whose code is read, which lists the
            draws, so that forgetting it deletes them; None for a base. The rest as elsewhere.
    """

    store: ArtifactStore
    record: RepositoryRecord | None
    config: InfluenceConfig
    report: Progress
    model: str
    train: Sequence[TokenizedPassage]
    samples: Samples

    def trace(self, model: Any, step: int, also: Any = None) -> Trace:
        from fingerprint.development.stagewise import sample_losses
        from fingerprint.development.trace import Trace

        digest, name = self._digest(step), f"draws around step {step}"
        is_stored = self.store.find(KIND, digest) is not None
        if self.record is not None:
            self.record.use(KIND, digest)

        def progress(at: SampleProgress) -> None:
            self.report(Stage(name, at.chain * at.steps + at.step, at.chains * at.steps))

        def write(directory: Path) -> None:
            chains = self.store.begin_pieces(digest)
            sample_losses(
                model, self.train, self.samples, self.config, label=str(step), also=also, store=chains,
                progress=progress,
            ).save(directory / "trace.npz")  # fmt: skip

        place = self.store.put(KIND, digest, write)
        self.store.drop_checkpoints(digest)
        self.report(Stage(name, 1, 1, is_stored=is_stored))
        return Trace.load(place / "trace.npz")

    def _digest(self, step: int) -> str:
        config = self.config
        windows = (*self.train, *self.samples.windows)
        texts = [[window.ids.tolist(), window.scored.tolist()] for window in windows]
        facts = {
            "what": KIND, "model": self.model, "step": step, "n_train": len(self.train),
            "texts": digest_of(texts), "sampler": config.sampler.digest, "rows": config.batch_rows,
            "code": CODE_VERSION,
        }  # fmt: skip
        return digest_of(facts)
