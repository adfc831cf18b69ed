"""Learning coefficients along a base's checkpoints or an author's recorded training, found again."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fingerprint.passage import Corpus, Passage
from fingerprint.provenance import CODE_VERSION, digest_of
from fingerprint.storage import write_json
from service import ServiceError
from service.artifacts import ArtifactStore, read_json
from service.flows.bench import Progress, Stage
from service.flows.development.record import Recording
from service.flows.foreign import read_foreign
from service.flows.opened import OpenedProfile
from service.settings import Settings

if TYPE_CHECKING:
    from fingerprint.development.checkpoints import CheckpointSeries
    from fingerprint.development.config import SamplerConfig
    from fingerprint.development.curves import CurvePoint, CurveProgress
    from fingerprint.development.parts import Split
    from fingerprint.lm.load import Base
    from fingerprint.lm.tokens import TokenizedPassage

KIND = "learning-coefficients"


@dataclass(frozen=True)
class LearningPlan:
    """What is measured.

    Attributes:
        sampler: dials. gammas: localisations: a value means little at one alone. n_checkpoints: at most so
            many, spread. n_windows, window_tokens: of each text. n_rows: windows of a minibatch. split: parts
            that move one at a time.
    """

    sampler: SamplerConfig
    gammas: tuple[float, ...]
    n_checkpoints: int
    n_windows: int
    window_tokens: int
    n_rows: int
    split: Split = "whole"

    @classmethod
    def tiny(cls) -> LearningPlan:
        """A CPU: five checkpoints, two chains of a hundred draws, 32 windows of 128 tokens.

        Unscaled, draws apart, and localised strongly enough for so few steps: a flat direction forgets in
        2 / (epsilon gamma) of them, around an adapter some 28 at the second gamma and 200 at the first.
        """
        from fingerprint.development.config import SamplerConfig

        spaced = {"preconditioner": "none", "steps_between": 4}
        return cls(SamplerConfig.tiny().model_copy(update=spaced), (10_000.0, 100_000.0), 5, 32, 128, 4)

    @classmethod
    def full(cls) -> LearningPlan:
        """A GPU."""
        from fingerprint.development.config import SamplerConfig

        return cls(SamplerConfig.full(), (100.0, 1000.0, 10_000.0), 20, 256, 512, 32)

    @property
    def digest(self) -> str:
        """Of every dial."""
        own = [self.n_checkpoints, self.n_windows, self.window_tokens, self.n_rows, self.split]
        return digest_of([self.sampler.model_dump(mode="json"), list(self.gammas), own])


@dataclass(frozen=True)
class Learned:
    """Measured curves.

    Attributes:
        place: the artifact. points: one a checkpoint, part, text and localisation. nulls: the same of
            shuffled authors' trainings, each on its own training text.
    """

    digest: str
    place: Path
    points: tuple[CurvePoint, ...]
    nulls: tuple[tuple[CurvePoint, ...], ...] = ()


def open_bases(folder: Path | None, hub: str | None, settings: Settings) -> CheckpointSeries[Base]:
    """Whole models from a folder, or the revisions of a hub model.

    Raises:
        ServiceError: neither or both are given. CheckpointsError: no checkpoint is there.
    """
    from fingerprint.development.checkpoints import folder_series, hub_series

    if (folder is None) == (hub is None):
        raise ServiceError(
            "checkpoints of a base need either --folder, with whole models in folders named by step, or "
            "--hub, a model whose revisions are named like step1000"
        )
    if folder is not None:
        return folder_series(folder.expanduser().resolve(), device=settings.device)
    return hub_series(str(hub), device=settings.device)


def measure_base(
    bases: CheckpointSeries[Base], settings: Settings, plan: LearningPlan, report: Progress
) -> Learned:
    """Along whole models, on Python's standard library."""
    from fingerprint.development.losses import choose_windows, windows_of_length

    series = bases.spread(plan.n_checkpoints)
    first = series.checkpoints[0].load()
    last = series.checkpoints[-1].load()
    tokens = plan.n_windows * plan.window_tokens * 4
    text = read_foreign(None, (60,), tokens, plan.sampler.seed).corpus.passages
    windows = windows_of_length(first, text, plan.window_tokens)
    texts = {"standard library": choose_windows(windows, plan.n_windows, plan.sampler.seed)}
    facts = {
        "series": "base", "first": first.revision, "last": last.revision, "steps": list(series.steps),
        "text": Corpus(tuple(text)).digest,
    }  # fmt: skip
    return _measure(series, texts, plan, ArtifactStore(settings.home), facts, report)


def measure_adapter(
    opened: OpenedProfile, recording: Recording, plan: LearningPlan, nulls: Sequence[Recording] = ()
) -> Learned:
    """Along an author's recorded training, on their own training text; by parts also on the team's.

    Args:
        nulls: recorded trainings of shuffled authors, measured alike, each on what it was trained on.

    Raises:
        ServiceError: too little text.
    """
    found = _measure_recording(opened, recording, plan)
    return replace(found, nulls=tuple(_measure_recording(opened, null, plan).points for null in nulls))


def _measure_recording(opened: OpenedProfile, recording: Recording, plan: LearningPlan) -> Learned:
    from fingerprint.adapters.train import state_kept

    bench, own = opened.bench, opened.trained_on(recording.author).passages
    series = recording.series(bench.routed).spread(plan.n_checkpoints)
    passages = {"author": own}
    if plan.split != "whole":
        read = {(p.group, p.path, p.text) for p in own}
        train = opened.plan.slices.train.passages
        passages["team"] = tuple(p for p in train if (p.group, p.path, p.text) not in read)
    texts = {name: _windows(opened, text, plan) for name, text in passages.items()}
    facts = {
        "series": recording.digest, "steps": list(series.steps),
        "text": [Corpus(tuple(text)).digest for text in passages.values()],
    }  # fmt: skip
    with state_kept(bench.routed):
        found = _measure(series, texts, plan, bench.store, facts, bench.report)
    if bench.record is not None:
        bench.record.use(KIND, found.digest)
    return found


def _windows(opened: OpenedProfile, text: Sequence[Passage], plan: LearningPlan) -> list[TokenizedPassage]:
    from fingerprint.development.losses import tokenized

    found = tokenized(opened.bench.routed.base, text, plan.window_tokens, plan.n_windows, plan.sampler.seed)
    if not found:
        raise ServiceError("there is no text to measure on: the author or the team has no training code")
    return found


def _measure(
    series: CheckpointSeries[Any], texts: dict[str, list[TokenizedPassage]], plan: LearningPlan,
    store: ArtifactStore, facts: dict[str, Any], report: Progress,
) -> Learned:  # fmt: skip
    """Find the curves or measure them; what was sampled before a kill is found chain by chain."""
    from fingerprint.development.curves import CurvePoint, measure_curves

    digest = digest_of({"what": KIND, **facts, "plan": plan.digest, "code": CODE_VERSION})
    name = "learning coefficients"

    def write(directory: Path) -> None:
        points = measure_curves(
            series, texts, plan.sampler, gammas=plan.gammas, split=plan.split, n_rows=plan.n_rows,
            store=store.home / "checkpoints" / digest / "draws", progress=_teller(report, name),
        )  # fmt: skip
        write_json(directory / "points.json", [point.to_dict() for point in points])
        write_json(directory / "plan.json", {**facts, "gammas": list(plan.gammas), "split": plan.split})

    was_there = store.find(KIND, digest) is not None
    place = store.put(KIND, digest, write)
    report(Stage(name, 1, 1, is_stored=was_there))
    store.drop_checkpoints(digest)
    points = tuple(CurvePoint.of_dict(plain) for plain in read_json(place / "points.json"))
    return Learned(digest, place, points)


def _teller(report: Progress, name: str) -> Callable[[CurveProgress], None]:
    """Progress in steps of the sampler over all runs, spoken of by checkpoint."""

    def tell(state: CurveProgress) -> None:
        chain = state.sampling
        within = (chain.chain * chain.steps + chain.step) / (chain.chains * chain.steps)
        title = f"{name}: step {state.step:,}"
        report(Stage(title, state.done + within, state.runs))

    return tell


def to_machine(found: Learned) -> str:
    """The curves as JSON, the author's or base's and shuffled authors'; what is not a number is null."""
    plain = {
        "points": [point.to_dict() for point in found.points],
        "shuffled_authors": [[point.to_dict() for point in null] for null in found.nulls],
    }
    text = json.dumps(plain, ensure_ascii=False)
    return json.dumps(json.loads(text, parse_constant=lambda _: None), indent=2, ensure_ascii=False) + "\n"
