"""Content-addressed directories: ``<home>/artifacts/<kind>/<digest>/``.

An artifact appears whole or not at all: it is written beside its place and moved there. Finding one
by its digest replaces computing it again. What a repository uses is listed in its own record, so
that forgetting a repository deletes what only it used.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from fingerprint.storage import write_json
from service import ServiceError

FORMAT = 1
_MARK = "artifact.json"


class ArtifactError(ServiceError):
    """An artifact is missing, half-written or of another format; the message says what to do."""


def read_json(path: Path) -> Any:
    """Read a JSON file written by this package.

    Raises:
        ArtifactError: the file is missing or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ArtifactError(f"{path} is missing; run `routeprint profile` to make it again") from error
    except (OSError, ValueError) as error:
        raise ArtifactError(
            f"{path} cannot be read ({error}); delete its directory and run the command again"
        ) from error


READINGS = (
    "habits", "spectrum", "seeds", "rate-shift", "edits", "alive-sets", "attribution", "author-reads",
)  # fmt: skip
"""Kinds of artifacts that say something of one adapter, found by `reading_of`."""


def reading_of(kind: str, adapter: str) -> str:
    """Name of a record's pointer to what was last read of an adapter, by its digest."""
    return f"{kind} of {adapter}"


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write named arrays as safetensors. Zero-dimensional and non-contiguous arrays are welcome."""
    save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, path)


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Read named arrays written by `write_arrays`.

    Raises:
        ArtifactError: the file is missing or damaged.
    """
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise ArtifactError(
            f"{path} cannot be read ({error}); delete its directory and run the command again"
        ) from error


@dataclass(frozen=True)
class ArtifactStore:
    """The artifacts under one home directory."""

    home: Path

    def place(self, kind: str, digest: str) -> Path:
        """Directory where the artifact lies or would lie."""
        return self.home / "artifacts" / kind / digest

    def find(self, kind: str, digest: str) -> Path | None:
        """The artifact's directory, or None when it was never made.

        Raises:
            ArtifactError: it is there but half-written or of another format.
        """
        place = self.place(kind, digest)
        if not place.exists():
            return None
        _check_mark(place)
        return place

    def require(self, kind: str, digest: str) -> Path:
        """The artifact's directory.

        Raises:
            ArtifactError: it was never made, or cannot be used.
        """
        found = self.find(kind, digest)
        if found is None:
            raise ArtifactError(
                f"{kind} {digest[:12]} is not under {self.home}; run `routeprint profile` to make it again"
            )
        return found

    def put(self, kind: str, digest: str, write: Callable[[Path], None]) -> Path:
        """Return the artifact's directory, calling ``write(directory)`` only when it is not there.

        Two processes may make the same artifact at once: the first to finish wins, and both see it.
        """
        if (found := self.find(kind, digest)) is not None:
            return found
        place = self.place(kind, digest)
        place.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=".tmp-", dir=place.parent))
        try:
            write(draft)
            _write_mark(draft, kind, digest)
            draft.chmod(0o755)  # mkdtemp makes it private; artifacts are shared
            with contextlib.suppress(OSError):  # lost the race: the other's copy is the same
                draft.replace(place)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        return self.require(kind, digest)

    def remove(self, kind: str, digest: str) -> None:
        """Delete an artifact that nothing refers to: gone at once, so that nobody finds half of it."""
        place = self.place(kind, digest)
        if not place.exists():
            return
        doomed = Path(tempfile.mkdtemp(prefix=".tmp-", dir=place.parent))
        with contextlib.suppress(FileNotFoundError):  # somebody else was first
            place.replace(doomed / "artifact")
        shutil.rmtree(doomed, ignore_errors=True)

    def begin_checkpoint(self, digest: str) -> Path:
        """File for one attempt's unfinished work on an artifact, holding what there is to go on from.

        Two attempts can run at once, when a worker that was thought dead was not. Each writes a file of its
        own, so neither tears the other's; whichever finishes first has made the artifact (`put`).
        """
        place = self.home / "checkpoints" / digest
        place.mkdir(parents=True, exist_ok=True)
        with (place / "attempts.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            attempts = sorted(int(path.name) for path in place.iterdir() if path.name.isdigit())
            mine = place / str(attempts[-1] + 1 if attempts else 1)
            mine.mkdir()
            for number in reversed(attempts):  # one may have ended before its first checkpoint
                before = place / str(number) / "state"
                if before.exists():
                    os.link(before, mine / "state")  # it is only ever replaced, so this one stays as it is
                    break
        return mine / "state"

    def begin_pieces(self, digest: str) -> Path:
        """Folder for unfinished work in whole pieces, such as chains; every attempt shares it."""
        place = self.home / "checkpoints" / digest / "pieces"
        place.mkdir(parents=True, exist_ok=True)
        return place

    def drop_checkpoints(self, digest: str) -> None:
        """Delete the unfinished work of every attempt, once the artifact exists."""
        shutil.rmtree(self.home / "checkpoints" / digest, ignore_errors=True)

    def record(self, repository: Path) -> RepositoryRecord:
        """The record of one repository (which need not exist yet)."""
        return RepositoryRecord(self, repository.resolve())

    def records(self) -> tuple[dict[str, Any], ...]:
        """What every known repository's record says, by name."""
        places = sorted((self.home / "repositories").glob("*/record.json"))
        return tuple(read_json(place) for place in places)

    def forget(self, repository: Path) -> int:
        """Delete all that is kept about a repository; return the number of artifacts deleted.

        Artifacts that another repository's record also lists stay.
        """
        record = self.record(repository)
        mine = set(record.artifacts)
        shutil.rmtree(record.place, ignore_errors=True)
        kept = {item for other in self.records() for item in other.get("artifacts", [])}
        doomed = mine - kept
        for item in doomed:
            kind, digest = item.split("/", 1)
            shutil.rmtree(self.place(kind, digest), ignore_errors=True)
            self.drop_checkpoints(digest)
        if record.place.exists():
            raise ArtifactError(f"{record.place} could not be deleted; check its permissions and try again")
        return len(doomed)


@dataclass(frozen=True)
class RepositoryRecord:
    """What is kept about one repository: pointers by name, and the artifacts it uses."""

    store: ArtifactStore
    repository: Path

    @property
    def place(self) -> Path:
        """Directory of the record, named for people and unique by path."""
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", self.repository.name) or "repository"
        key = hashlib.sha256(str(self.repository).encode("utf-8", "surrogateescape")).hexdigest()[:12]
        return self.store.home / "repositories" / f"{name}-{key}"

    @property
    def contributions(self) -> Path:
        """Directory of the repository's ingested contributions."""
        return self.place / "contributions"

    @property
    def artifacts(self) -> tuple[str, ...]:
        """Artifacts used, as ``kind/digest``."""
        return tuple(self._read().get("artifacts", []))

    def pointer(self, name: str) -> str | None:
        """Digest that ``name`` (such as "profile") points to, or None."""
        return self._read().get("pointers", {}).get(name)

    def pointers(self, prefix: str) -> dict[str, str]:
        """Every pointer whose name starts so."""
        pointers = self._read().get("pointers", {})
        return {name: digest for name, digest in pointers.items() if name.startswith(prefix)}

    def point(self, name: str, digest: str) -> None:
        """Let ``name`` point to ``digest``."""
        with self._held():
            facts = self._read()
            facts.setdefault("pointers", {})[name] = digest
            self._write(facts)

    def unpoint(self, name: str) -> None:
        """Let ``name`` point to nothing."""
        with self._held():
            facts = self._read()
            if facts.get("pointers", {}).pop(name, None) is not None:
                self._write(facts)

    def use(self, kind: str, digest: str) -> None:
        """List an artifact (or a checkpoint on its way to become one) as used by this repository."""
        with self._held():
            facts = self._read()
            used = set(facts.get("artifacts", []))
            if f"{kind}/{digest}" not in used:
                facts["artifacts"] = sorted(used | {f"{kind}/{digest}"})
                self._write(facts)

    def release(self, kind: str, digest: str) -> None:
        """List an artifact no longer."""
        with self._held():
            facts = self._read()
            used = set(facts.get("artifacts", []))
            if f"{kind}/{digest}" in used:
                facts["artifacts"] = sorted(used - {f"{kind}/{digest}"})
                self._write(facts)

    @contextlib.contextmanager
    def _held(self) -> Iterator[None]:
        """One writer at a time: reviews, trainings and commands of several processes add to one record."""
        locks = self.store.home / "repositories"
        locks.mkdir(parents=True, exist_ok=True)
        with (locks / f".{self.place.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _read(self) -> dict[str, Any]:
        path = self.place / "record.json"
        return read_json(path) if path.exists() else {}

    def _write(self, facts: dict[str, Any]) -> None:
        write_json(
            self.place / "record.json", {**facts, "repository": str(self.repository), "format": FORMAT}
        )


def _write_mark(directory: Path, kind: str, digest: str) -> None:
    files = [path for path in sorted(directory.rglob("*")) if path.is_file()]
    sizes = {path.relative_to(directory).as_posix(): path.stat().st_size for path in files}
    write_json(directory / _MARK, {"format": FORMAT, "kind": kind, "digest": digest, "files": sizes})


def _check_mark(directory: Path) -> None:
    mark_path = directory / _MARK
    if not mark_path.exists():
        raise ArtifactError(f"{directory} is half-written (no {_MARK}); delete it and run the command again")
    mark = read_json(mark_path)
    if mark.get("format") != FORMAT:
        raise ArtifactError(
            f"{directory} has format {mark.get('format')}, this version reads {FORMAT}; "
            "delete it and profile again"
        )
    for name, size in mark["files"].items():
        path = directory / name
        seen = path.stat().st_size if path.is_file() else None
        if seen != size:
            raise ArtifactError(
                f"{path} is damaged: expected {size} bytes, found {seen}; delete {directory} and run again"
            )
