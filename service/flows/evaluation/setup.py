"""The team and its authors trained as a profile trains them, and what every later phase shares."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fingerprint.evaluation.config import EvaluationConfig
from fingerprint.evaluation.results import AdapterRow, LossMatrix
from fingerprint.provenance import digest_of
from service.artifacts import ArtifactStore, read_arrays, write_arrays
from service.flows.base import load_routed
from service.flows.bench import Bench, ForeignSlices, Progress, Slices
from service.flows.evaluation.text import History, Material, anonymous, nobody_enrolled, team_slices
from service.flows.readings import Losses, measure_losses
from service.flows.training import Trained, train_all
from service.settings import Settings

if TYPE_CHECKING:
    from fingerprint.adapters.adapter import Adapter


WHOLE_TEAM = ("team", "null team")
"""The adapters that drift depends on."""
_JUDGING = {
    "n_draws", "unseen_authors", "least_hunk_tokens", "ablated_hunks", "hidden_samples", "n_null_sets",
    "null_authors", "skip", "probe_samples", "fisher_samples", "judge",
}  # fmt: skip
"""Dials that choose among computed arrays, or how they are judged; the rest changes the arrays."""


@dataclass
class Clock:
    """Wall time by phase, in this run (phases found as artifacts cost next to nothing)."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Time what happens within."""
        started = time.monotonic()
        yield
        self.seconds[name] = round(self.seconds.get(name, 0.0) + time.monotonic() - started, 1)


@dataclass(frozen=True)
class Setup:
    """What the phases share.

    Attributes:
        material: authors who take part and their samples; those with too few tokens are gone.
        slices: the team's four slices: code of the authors who take part.
        trained: team B, authors' D, nulls. other: the foreign repository's history.
        notes: sentences for the reader, added to as phases run.
    """

    bench: Bench
    config: EvaluationConfig
    history: History
    other: History | None
    material: Material
    slices: Slices
    trained: Trained
    clock: Clock
    notes: list[str]

    def arrays(
        self, name: str, compute: Callable[[], Mapping[str, np.ndarray]], *,
        adapters: Sequence[str] | None = None, **facts: Any,
    ) -> dict[str, np.ndarray]:  # fmt: skip
        """Named arrays, found by what determines them or computed.

        Args:
            adapters: those that the result depends on; None for all.
            facts: what it depends on besides these and the dials.
        """
        setting = digest_of(self.config.model_dump(mode="json", exclude=_JUDGING))
        digest = self.bench.digest(
            f"evaluation: {name}",
            setting=setting,
            adapters=self.digests_of(adapters),
            slices=self.slices.digest,
            **facts,
        )

        def write(directory: Path) -> None:
            write_arrays(directory / "values.safetensors", compute())

        return read_arrays(self.bench.make("evaluation", digest, name, write) / "values.safetensors")

    def digests_of(self, adapters: Sequence[str] | None) -> dict[str, str]:
        """Digests of the trained adapters of these names; of all for None."""
        digests = self.trained.digests
        return digests if adapters is None else {name: digests[name] for name in adapters if name in digests}


def open_bench(repository: Path, settings: Settings, config: EvaluationConfig, report: Progress) -> Bench:
    """Load the base, and open the store."""
    profile = config.profile(settings.base, settings.revision)
    routed = load_routed(settings, profile.base, profile.revision, profile.adapter.scale)
    store = ArtifactStore(settings.home)
    return Bench(routed, store, store.record(repository), profile, report, settings)


def set_up(
    bench: Bench, history: History, other: History | None, material: Material, config: EvaluationConfig
) -> Setup:
    """Train what is not stored; where nobody takes part, the team of everybody alone.

    Raises:
        InsufficientCodeError: the team has too little code.
    """
    notes = list[str]()
    if not material.authors:
        bench = replace(bench, consenting=frozenset())
        notes.append(f"the team is everybody and has no authors: {nobody_enrolled(history, config)}")
    slices = Slices.of(*team_slices(history, material.authors))
    clock = Clock()
    with clock.phase("training"):
        null = (None, None) if other is None else tuple(anonymous(corpus) for corpus in other.slices[:2])
        trained = train_all(bench, slices, ForeignSlices(*null))
    kept = material.narrowed(list(trained.authors)) if material.authors else material
    notes += [
        f"{author}: {missing:,} scored tokens too few to train on; left out"
        for author, missing in trained.too_little.items()
        if author in material.authors
    ]
    return Setup(bench, config, history, other, kept, slices, trained, clock, notes)


def loss_tables(setup: Setup) -> tuple[tuple[AdapterRow, ...], LossMatrix | None]:
    """Every adapter's row, and the N x N matrix of dev losses of those who take part."""
    with setup.clock.phase("losses"):
        losses = measure_losses(setup.bench, setup.slices, setup.trained)
    trained, mean = setup.trained, _mean_of(losses)
    rows = [_adapter_row("team", "team", trained.team, (mean("base"), mean("team"), mean("team")))]
    if trained.reference is not None:
        found = (mean("base"), mean("team"), mean("reference"))
        rows.append(_adapter_row("team", "reference", trained.reference, found))
    for author, adapter in trained.authors.items():
        own = (losses.of("base", author), losses.of("team", author), losses.of(author, author))
        rows.append(_adapter_row("author", author, adapter, own))
    for name, adapter in trained.nulls.items():
        own = name.rpartition("/")[0]
        found = (losses.of("base", own), losses.of("team", own), losses.of(name, own))
        rows.append(_adapter_row("null", name, adapter, found))
    if trained.null_team is not None:
        found = (mean("base"), mean("team"), mean("null team"))
        rows.append(_adapter_row("null", "another repository", trained.null_team, found))
    return tuple(rows), _matrix(setup, losses)


def _mean_of(losses: Losses) -> Callable[[str], float | None]:
    def mean(row: str) -> float | None:
        values = [losses.of(row, column) for column in losses.columns]
        known = [value for value in values if value is not None]
        return float(np.mean(known)) if known else None

    return mean


def _adapter_row(
    kind: str, name: str, adapter: Adapter, losses: tuple[float | None, float | None, float | None]
) -> AdapterRow:
    facts = adapter.facts
    return AdapterRow(
        kind=kind, name=name, scored_tokens=int(facts["scored_tokens"]),
        text_tokens=int(facts["text_tokens"]), epochs=round(float(facts["epochs"]), 2),
        steps=int(facts["steps"]), improved=bool(facts["improved"]), base_loss=losses[0],
        team_loss=losses[1], own_loss=losses[2],
    )  # fmt: skip


def _matrix(setup: Setup, losses: Losses) -> LossMatrix | None:
    authors = [author for author in setup.material.authors if author in losses.columns]
    if not authors:
        return None
    rows = ("base", "team", "reference", *authors)
    values = [[losses.of(row, column) or 0.0 for column in authors] for row in rows]
    own = np.array(values[3:])
    return LossMatrix(
        rows=rows, columns=tuple(authors), values=tuple(tuple(round(x, 4) for x in row) for row in values),
        n_diagonal_least=int((own.argmin(axis=0) == np.arange(len(authors))).sum()),
    )  # fmt: skip
