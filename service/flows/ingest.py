"""History in: a repository's commits become stored Contributions, read once and then added to."""

from __future__ import annotations

import contextlib
import fcntl
import gzip
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from connectors.contribution import Contribution
from connectors.git import RewrittenHistoryError
from connectors.git.history import HistoryState, HistoryStream, read_history
from connectors.identity.author import Author
from connectors.ledger import Ledger
from fingerprint.provenance import digest_of
from fingerprint.storage import write_json
from service import ServiceError
from service.artifacts import ArtifactError, ArtifactStore, read_json
from service.settings import Settings

FORMAT = 1
Progress = Callable[[int, int], None]
"""Called with (commits read, commits that will be read)."""

_CONTRIBUTION = TypeAdapter(Contribution)


class NotIngestedError(ServiceError):
    """A repository has not been read yet."""


@dataclass(frozen=True)
class ContributionStore:
    """A repository's Contributions on disk: gzip JSON-lines parts that are only ever added to.

    A part counts once ``state.json`` lists it; anything else in the directory is a torn run's rest.
    """

    directory: Path

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Let one process at a time add to it; a second one waits, and then finds the first one's work."""
        self.directory.parent.mkdir(parents=True, exist_ok=True)
        with (self.directory.parent / f"{self.directory.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    @property
    def _state_path(self) -> Path:
        return self.directory / "state.json"

    def read_state(self) -> dict[str, Any] | None:
        """The facts of the last complete run, or None before the first.

        Raises:
            ArtifactError: unreadable, or written by another version.
        """
        if not self._state_path.exists():
            return None
        state = read_json(self._state_path)
        if state.get("format") != FORMAT:
            raise ArtifactError(
                f"{self.directory} has format {state.get('format')}, this version reads {FORMAT}; "
                "run `routeprint ingest --again`"
            )
        return state

    def __iter__(self) -> Iterator[Contribution]:
        """Every Contribution, in the order in which they were read, credited as now known."""
        state = self.read_state() or {}
        merged = state.get("merged", {})
        for part in state.get("parts", []):
            for contribution in self._read_part(part):
                author = _follow(merged, contribution.author)
                yield contribution if author == contribution.author else replace(contribution, author=author)

    def _read_part(self, part: dict[str, Any]) -> Iterator[Contribution]:
        path, n_read = self.directory / part["name"], 0
        try:
            with gzip.open(path, "rb") as stream:
                for line in stream:
                    yield _CONTRIBUTION.validate_json(line)
                    n_read += 1
        except (OSError, EOFError, ValueError) as error:
            raise ArtifactError(f"{path} is damaged ({error}); run `routeprint ingest --again`") from error
        if n_read != part["n"]:
            raise ArtifactError(
                f"{path} holds {n_read} contributions, expected {part['n']}; run `routeprint ingest --again`"
            )

    @property
    def digest(self) -> str:
        """Digest of everything stored."""
        return digest_of([part["sha256"] for part in (self.read_state() or {}).get("parts", [])])

    def append(self, contributions: Iterator[Contribution], number: int) -> dict[str, Any]:
        """Write one part and return its facts; it counts only once a state lists it."""
        self.directory.mkdir(parents=True, exist_ok=True)
        path = self.directory / f"part-{number:06}.jsonl.gz"
        draft, n = path.with_suffix(".tmp"), 0
        digest = hashlib.sha256()
        with (
            draft.open("wb") as raw,
            gzip.GzipFile(fileobj=raw, mode="wb", mtime=0, compresslevel=3) as stream,
        ):
            for contribution in contributions:
                line = _CONTRIBUTION.dump_json(contribution) + b"\n"
                digest.update(line)
                stream.write(line)
                n += 1
        if not n:
            draft.unlink()
            return {"name": path.name, "n": 0, "sha256": digest.hexdigest()}
        os.replace(draft, path)  # noqa: PTH105 - the atomic rename is the point
        return {"name": path.name, "n": n, "sha256": digest.hexdigest()}

    def complete(self, state: dict[str, Any]) -> None:
        """Make a run count, whole."""
        write_json(self._state_path, {**state, "format": FORMAT})

    def clear(self) -> None:
        """Delete everything stored."""
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self.directory)


@dataclass(frozen=True)
class Ingested:
    """What is known of a repository after reading it.

    Attributes:
        store: its Contributions. authors: everyone resolved. ledger: kept and dropped, over all runs.
        n_new: Contributions that this run added.
        is_restarted: whether rewritten history made the run start over.
    """

    store: ContributionStore
    authors: tuple[Author, ...]
    ledger: Ledger
    n_new: int = 0
    is_restarted: bool = False


def ingest(
    repository: Path, settings: Settings, progress: Progress | None = None, *,
    skip_missing: bool = False, rev: str = "HEAD", replacing: Mapping[str, str] | None = None,
) -> Ingested:  # fmt: skip
    """Read what is new in a repository's history and store it.

    Args:
        rev: where the walk starts.
        skip_missing: read on without files whose objects are missing; they are counted in the ledger.
        replacing: squash commit -> head of its pull request, as ``connectors.github.merges.squashes`` finds
            them. Look before reading: a squash that was read as it is stays so.

    Raises:
        ConnectorError: not a repository, empty, or git failed.
    """
    store = contribution_store(repository, settings)
    with store.held():
        state = store.read_state()
        read = _Reading(repository, store, progress, skip_missing, rev, replacing or {})
        try:
            return read.on_from(state)
        except RewrittenHistoryError:
            if state is None:
                raise
            store.clear()
            return replace(read.on_from(None), is_restarted=True)


def load_ingested(repository: Path, settings: Settings) -> Ingested:
    """What the last run stored.

    Raises:
        NotIngestedError: there was none.
    """
    store = contribution_store(repository, settings)
    state = store.read_state()
    if state is None:
        raise NotIngestedError(
            f"{repository} has not been read yet; run `routeprint ingest --repo {repository}`"
        )
    return _ingested(store, state, 0)


def contribution_store(repository: Path, settings: Settings) -> ContributionStore:
    """Where a repository's Contributions lie."""
    return ContributionStore(ArtifactStore(settings.home).record(repository).contributions)


@dataclass(frozen=True)
class _Reading:
    """One run over a repository's history."""

    repository: Path
    store: ContributionStore
    progress: Progress | None
    skip_missing: bool
    rev: str
    replacing: Mapping[str, str]

    def on_from(self, state: dict[str, Any] | None) -> Ingested:
        """Read what came after ``state``."""
        since = None if state is None else HistoryState.from_json(state["history"])
        stream = read_history(
            self.repository,
            since=since,
            rev=self.rev,
            progress=lambda n_commits: self._tell(n_commits, stream.n_expected),
            on_missing="skip" if self.skip_missing else "raise",
            replacing=self.replacing,
        )
        parts = [] if state is None else list(state["parts"])
        part = self.store.append(stream, len(parts) + 1)
        after = _state_after(stream, state, [*parts, part] if part["n"] else parts)
        self.store.complete(after)
        return _ingested(self.store, after, part["n"])

    def _tell(self, n_commits: int, n_expected: int) -> None:
        if self.progress is not None:
            self.progress(n_commits, n_expected)


def _state_after(
    stream: HistoryStream, before: dict[str, Any] | None, parts: list[dict[str, Any]]
) -> dict[str, Any]:
    ledger = stream.ledger if before is None else Ledger.from_json(before["ledger"]) + stream.ledger
    merged = ({} if before is None else before["merged"]) | stream.merged_authors
    return {"parts": parts, "history": stream.state.to_json(), "merged": merged, "ledger": ledger.to_json()}


def _follow(merged: dict[str, str], author: str) -> str:
    """The key that an author's key has become."""
    seen = {author}
    while (author_now := merged.get(author, author)) not in seen:
        author = author_now
        seen.add(author)
    return author


def _ingested(store: ContributionStore, state: dict[str, Any], n_new: int) -> Ingested:
    authors = HistoryState.from_json(state["history"]).authors
    return Ingested(store, authors, Ledger.from_json(state["ledger"]), n_new)
