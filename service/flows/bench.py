"""What every step of a profile works with: base, store, dials, the team's slices, and how far it has come."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from fingerprint.config import ProfileConfig
from fingerprint.passage import Corpus
from fingerprint.provenance import CODE_VERSION, Provenance, digest_of
from service.artifacts import ArtifactStore, RepositoryRecord, reading_of
from service.settings import Settings

if TYPE_CHECKING:
    from fingerprint.adapters.adapter import Adapter
    from fingerprint.adapters.train import TrainProgress
    from fingerprint.lm.pair import RoutedModel


@dataclass(frozen=True, slots=True)
class Stage:
    """Where one step of a profile stands.

    Attributes:
        name: the step, for people. done, total: in the step's own units (total None: unknown).
        tokens_per_second, seconds_left: when known. is_stored: found, not computed.
    """

    name: str
    done: float
    total: float | None
    tokens_per_second: float | None = None
    seconds_left: float | None = None
    is_stored: bool = False


Progress = Callable[[Stage], None]


def print_steps(stage: Stage) -> None:
    """One line on stderr as a step ends, or as it begins where its length is unknown."""
    if stage.total is None or stage.done == stage.total:
        Console(stderr=True).print(stage.name)


@dataclass(frozen=True)
class Slices:
    """The team's four slices with their digests, computed once."""

    train: Corpus
    dev: Corpus
    calibration: Corpus
    held_out: Corpus
    digest: str

    @property
    def measured(self) -> tuple[Corpus, Corpus, Corpus]:
        """The slices that nothing is trained on."""
        return self.dev, self.calibration, self.held_out

    @classmethod
    def of(cls, train: Corpus, dev: Corpus, calibration: Corpus, held_out: Corpus) -> Slices:
        """Slices and the digest of them all."""
        digest = digest_of([corpus.digest for corpus in (train, dev, calibration, held_out)])
        return cls(train, dev, calibration, held_out, digest)


@dataclass(frozen=True)
class ForeignSlices:
    """Other people's code for the null team: to train on and to stop on; None without a null."""

    train: Corpus | None
    dev: Corpus | None


@dataclass(frozen=True)
class Bench:
    """What every step needs.

    Attributes:
        routed: the base over its routes. record: of the profiled repository; None lists nothing.
        config: every dial. settings: with them, a second process may train the nulls.
        consenting: authors who may have an adapter of their own; None: everybody with enough code, for
            whoever profiles on a machine of their own.
    """

    routed: RoutedModel
    store: ArtifactStore
    record: RepositoryRecord | None
    config: ProfileConfig
    report: Progress
    settings: Settings | None = None
    consenting: frozenset[str] | None = None

    def digest(self, what: str, **facts: Any) -> str:
        """Content address of a step's result."""
        base = {"revision": self.routed.base.revision, "routes": self.routed.routes.digest}
        return digest_of({"what": what, **base, **facts, "code": CODE_VERSION})

    def provenance(self, corpus: str) -> Provenance:
        """Where a signature of this profile comes from."""
        base, config = self.routed.base, self.config
        routes = self.routed.routes.digest
        return Provenance(base.name, base.revision, routes, corpus, config.digest, config.adapter.seed)

    def make(self, kind: str, digest: str, name: str, write: Callable[[Path], None]) -> Path:
        """Find an artifact or make it; either way it is listed as this repository's."""
        if self.record is not None:
            self.record.use(kind, digest)
        if (found := self.store.find(kind, digest)) is not None:
            self.report(Stage(name, 1, 1, is_stored=True))
            return found
        place = self.store.put(kind, digest, write)
        self.report(Stage(name, 1, 1))
        return place

    def remember(self, kind: str, adapter: str, digest: str) -> None:
        """Let pages find what was read of an adapter last."""
        if self.record is not None:
            self.record.point(reading_of(kind, adapter), digest)

    def adapter(
        self, digest: str, name: str, train: Callable[[Path, Callable[[TrainProgress], None]], Adapter]
    ) -> Adapter:
        """Find an adapter or train it: ``train(checkpoint, progress)``."""
        from fingerprint.adapters.adapter import Adapter

        def progress(state: TrainProgress) -> None:
            self.report(Stage(name, state.step, state.steps, state.tokens_per_second, state.seconds_left))

        def write(directory: Path) -> None:
            train(self.store.begin_checkpoint(digest), progress).save(directory)

        place = self.make("adapter", digest, name, write)
        self.store.drop_checkpoints(digest)
        return Adapter.load(place, self.routed.routes)

    def counter(self, name: str, total: float) -> Callable[[int], None]:
        """A progress callback that is told of tokens just done."""
        started, done = time.monotonic(), 0

        def count(n_tokens: int) -> None:
            nonlocal done
            done += n_tokens
            rate = done / max(time.monotonic() - started, 1e-9)
            # the total is an estimate: only the end of the step, told elsewhere, is done
            left = max(0.0, total - done) / rate if rate else None
            self.report(Stage(name, done, max(total, done * 1.01), rate, left))

        return count
