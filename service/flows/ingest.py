"""History in: a repository's commits become stored Contributions, read once and then added to."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from connectors.git import RewrittenHistoryError
from connectors.git.history import HistoryState, HistoryStream, read_history
from connectors.identity.author import Author, forgotten_digest
from connectors.ledger import Ledger
from service import ServiceError
from service.flows.contributions import ContributionStore, contribution_store, next_number, without
from service.settings import Settings

Progress = Callable[[int, int], None]
"""Called with (commits read, commits that will be read)."""


class NotIngestedError(ServiceError):
    """A repository has not been read yet."""


@dataclass(frozen=True)
class Ingested:
    """What is known of a repository after reading it.

    Attributes:
        store: its Contributions. authors: everyone resolved. ledger: kept and dropped, over all runs.
        n_new: Contributions that this run added. parts: digest of each part of the store, in order.
        is_restarted: whether rewritten history made the run start over.
    """

    store: ContributionStore
    authors: tuple[Author, ...]
    ledger: Ledger
    n_new: int = 0
    is_restarted: bool = False
    parts: tuple[str, ...] = ()


def ingest(
    repository: Path, settings: Settings, progress: Progress | None = None, *,
    skip_missing: bool = False, rev: str = "HEAD", replacing: Mapping[str, str] | None = None,
    forgotten: Collection[str] = (),
) -> Ingested:  # fmt: skip
    """Read what is new in a repository's history and store it.

    Args:
        rev: where the walk starts.
        skip_missing: read on without files whose objects are missing; they are counted in the ledger.
        replacing: squash commit -> head of its pull request, as ``connectors.github.merges.squashes`` finds
            them. Look before reading: a squash that was read as it is stays so.
        forgotten: digests of the keys of authors who asked to be forgotten: their code is not stored.

    Raises:
        ConnectorError: not a repository, empty, or git failed.
    """
    store = contribution_store(repository, settings)
    with store.held():
        state = store.read_state()
        read = _Reading(repository, store, progress, skip_missing, rev, replacing or {}, frozenset(forgotten))
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


@dataclass(frozen=True)
class _Reading:
    """One run over a repository's history."""

    repository: Path
    store: ContributionStore
    progress: Progress | None
    skip_missing: bool
    rev: str
    replacing: Mapping[str, str]
    forgotten: frozenset[str]

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
        wanted = (c for c in stream if forgotten_digest(c.author) not in self.forgotten)
        with contextlib.closing(stream):  # a full disk ends git, too
            part = self.store.append(wanted if self.forgotten else iter(stream), next_number(parts))
        after = _state_after(stream, state, [*parts, part] if part["n"] else parts)
        after = without(self.forgotten, after)
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


def _ingested(store: ContributionStore, state: dict[str, Any], n_new: int) -> Ingested:
    authors = HistoryState.from_json(state["history"]).authors
    parts = tuple(part["sha256"] for part in state["parts"])
    return Ingested(store, authors, Ledger.from_json(state["ledger"]), n_new, parts=parts)
