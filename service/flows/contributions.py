"""A repository's Contributions on disk: added to, and forgotten. No git: the API deletes here too."""

from __future__ import annotations

import contextlib
import fcntl
import gzip
import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from connectors.contribution import Contribution
from connectors.identity.author import forgotten_digest
from fingerprint.provenance import digest_of
from fingerprint.storage import write_json
from service.artifacts import ArtifactError, ArtifactStore, read_json
from service.settings import Settings

FORMAT = 1
BLOCK_BYTES = 1 << 18
"""Text compressed at once."""
_CONTRIBUTION = TypeAdapter(Contribution)


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
            for contribution in self.read_part(part):
                author = _follow(merged, contribution.author)
                yield contribution if author == contribution.author else replace(contribution, author=author)

    def read_part(self, part: dict[str, Any]) -> Iterator[Contribution]:
        """One part's Contributions, credited as they were when it was read; errors as for a state."""
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

    def commits_after(self, n_parts: int) -> set[str]:
        """Commits that were read after the first so many parts."""
        parts = (self.read_state() or {}).get("parts", [])
        return {contribution.commit for part in parts[n_parts:] for contribution in self.read_part(part)}

    @property
    def digest(self) -> str:
        """Digest of everything stored."""
        return digest_of([part["sha256"] for part in (self.read_state() or {}).get("parts", [])])

    def append(self, contributions: Iterator[Contribution], number: int) -> dict[str, Any]:
        """Write one part and return its facts; it counts only once a state lists it."""
        self.directory.mkdir(parents=True, exist_ok=True)
        path = self.directory / f"part-{number:06}.jsonl.gz"
        draft, n = path.with_suffix(".tmp"), 0
        digest, block, sent = hashlib.sha256(), bytearray(), None
        with (
            draft.open("wb") as raw,
            gzip.GzipFile(fileobj=raw, mode="wb", mtime=0, compresslevel=3) as stream,
            ThreadPoolExecutor(1) as beside,  # zlib leaves the interpreter to the parser
        ):
            for contribution in contributions:
                block += _CONTRIBUTION.dump_json(contribution) + b"\n"
                n += 1
                if len(block) >= BLOCK_BYTES:
                    digest.update(block)
                    if sent is not None:
                        sent.result()
                    sent, block = beside.submit(stream.write, block), bytearray()
            if sent is not None:
                sent.result()
            digest.update(block)
            stream.write(block)
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


def contribution_store(repository: Path, settings: Settings) -> ContributionStore:
    """Where a repository's Contributions lie."""
    return ContributionStore(ArtifactStore(settings.home).record(repository).contributions)


def forget_contributions(repository: Path, settings: Settings, key: str) -> int:
    """Delete what an author wrote from what was read, and who they are; returns how many contributions.

    Done again after it broke off, it goes on. Their commits stay in the repository: what is read later must
    be told of them (``ingest(forgotten=...)``).

    Raises:
        ArtifactError: what was read is damaged.
    """
    store = contribution_store(repository, settings)
    if not store.directory.exists():
        return 0
    with store.held():
        state = store.read_state()
        if state is None:
            return 0
        parts, n_gone, stale = [], 0, []
        for part in state["parts"]:
            before = list(store.read_part(part))
            kept = [_unasked(c, key) for c in before if _follow(state["merged"], c.author) != key]
            if kept == before:
                parts.append(part)
                continue
            n_gone += part["n"] - len(kept)
            stale.append(part["name"])
            number = next_number([*state["parts"], *parts])
            parts += [store.append(iter(kept), number)] if kept else []
        store.complete(without(frozenset({forgotten_digest(key)}), {**state, "parts": parts}))
        for name in stale:
            (store.directory / name).unlink(missing_ok=True)
    return n_gone


def _unasked(contribution: Contribution, key: str) -> Contribution:
    """An agent's contribution that does not say who asked for it, where that was the one to forget."""
    credit = contribution.credit
    if credit is None or credit.requester != key:
        return contribution
    evidence = tuple(replace(one, text="") for one in credit.evidence)
    return replace(contribution, credit=replace(credit, requester="", evidence=evidence))


def next_number(parts: Sequence[Mapping[str, Any]]) -> int:
    """A number that no part has: one that was written anew left a gap."""
    return 1 + max((int(part["name"][5:11]) for part in parts), default=0)


def without(forgotten: frozenset[str], state: dict[str, Any]) -> dict[str, Any]:
    """A state that does not say who the forgotten are, nor under which other keys they were known."""
    if not forgotten:
        return state
    gone = {author["key"] for author in state["history"]["authors"]}
    gone = {key for key in gone | set(state["merged"].values()) if forgotten_digest(key) in forgotten}
    others = [author for author in state["history"]["authors"] if author["key"] not in gone]
    duplicates = state["history"]["duplicates"]
    names = [forgotten_digest(name) if name in gone else name for name in duplicates["authors"]]
    history = {**state["history"], "authors": others, "duplicates": {**duplicates, "authors": names}}
    merged = {before: now for before, now in state["merged"].items() if now not in gone}
    return {**state, "history": history, "merged": merged}


def _follow(merged: dict[str, str], author: str) -> str:
    """The key that an author's key has become."""
    seen = {author}
    while (author_now := merged.get(author, author)) not in seen:
        author = author_now
        seen.add(author)
    return author
