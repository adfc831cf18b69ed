"""What a repository says of itself: linguist attributes, ignored commits, a shallow clone's boundary."""

from __future__ import annotations

import re
import subprocess
import tempfile
from pathlib import Path

from connectors.contribution import FilePatch
from connectors.filters import file_drop_reason, language_of
from connectors.git import HistoryError
from connectors.git.command import Repository, Run
from connectors.ledger import DropReason

_COMMIT_ID = re.compile(r"^[0-9a-f]{40}([0-9a-f]{24})?", re.M)
_ATTRIBUTES = ("linguist-generated", "linguist-vendored")
_CHECK = ("check-attr", "--cached", "--stdin", "-z", *_ATTRIBUTES)
_N_FIELDS = 3 * len(_ATTRIBUTES)  # (path, attribute, value) each


class FileRules:
    """The file rules of ``connectors.filters`` plus what ``.gitattributes`` at a commit says.

    ``.gitattributes`` can also overrule the path rules: ``vendor/ours/** -linguist-vendored``.
    """

    def __init__(self, repository: Repository, commit: str) -> None:
        self._repository = repository
        self._index = tempfile.TemporaryDirectory(prefix="routeprint-")
        self._said: dict[str, dict[str, bool]] = {}
        self._run = self._start(commit)

    def _start(self, commit: str) -> Run | None:
        """Start ``git check-attr`` on the attributes at a commit, or None if they say nothing to us.

        The commit's ``.gitattributes`` files, and nothing else, go into an index of our own;
        ``git check-attr --source`` would do, but needs git 2.41.
        """
        entries = self._repository.read("ls-tree", "-r", "-z", "--full-tree", commit).split(b"\0")
        found = [entry for entry in entries if entry.endswith((b"\t.gitattributes", b"/.gitattributes"))]
        blobs = [entry.split()[2].decode() for entry in found if entry.split()[1] == b"blob"]
        if not any(b"linguist-" in self._repository.read("cat-file", "blob", blob) for blob in blobs):
            return None
        listing = Path(self._index.name) / "entries"
        listing.write_bytes(b"\0".join(found) + b"\0")
        with listing.open("rb") as stdin:
            words = ("update-index", "-z", "--add", "--index-info")
            self._repository.read(*words, environment=self._environment, stdin=stdin)
        self._ask_at_once([entry.partition(b"\t")[2] for entry in entries])
        return self._repository.start(*_CHECK, environment=self._environment, stdin=subprocess.PIPE)

    def _ask_at_once(self, paths: list[bytes]) -> None:
        """Look up the paths of today in one go; those of the past are asked for as they come."""
        code = [path for path in paths if language_of(path.decode("utf-8", "replace")) is not None]
        listing = Path(self._index.name) / "paths"
        listing.write_bytes(b"".join(path + b"\0" for path in code))
        with listing.open("rb") as stdin:
            output = self._repository.read(*_CHECK, environment=self._environment, stdin=stdin)
        fields = output.decode("utf-8", "replace").split("\0")
        for at in range(0, len(fields) - _N_FIELDS, _N_FIELDS):
            self._said[fields[at]] = _values(fields[at : at + _N_FIELDS])

    @property
    def _environment(self) -> dict[str, str]:
        return {"GIT_INDEX_FILE": str(Path(self._index.name) / "index")}

    def reason(self, patch: FilePatch) -> DropReason | None:
        """Why a file is nobody's code, or None to keep it."""
        reason = file_drop_reason(patch)
        if self._run is None or reason not in (None, DropReason.VENDORED, DropReason.GENERATED):
            return reason
        said = self._attributes(patch.path)
        if said.get("linguist-vendored"):
            return DropReason.VENDORED
        if said.get("linguist-generated"):
            return DropReason.GENERATED
        if reason is DropReason.VENDORED and said.get("linguist-vendored") is False:
            return None
        if reason is DropReason.GENERATED and said.get("linguist-generated") is False:
            return None
        return reason

    def _attributes(self, path: str) -> dict[str, bool]:
        """What is said of a path."""
        if path not in self._said:
            assert self._run is not None
            fields = self._run.ask(path.encode("utf-8", "replace") + b"\0", _N_FIELDS)
            self._said[path] = _values(fields)
        return self._said[path]

    def close(self) -> None:
        """End git and remove the temporary index."""
        if self._run is not None:
            self._run.stop()
        self._index.cleanup()


def _values(fields: list[str]) -> dict[str, bool]:
    """Read (path, attribute, value) fields; ``set`` and ``true`` count alike."""
    said = zip(fields[1::3], fields[2::3], strict=True)
    return {name: value in ("set", "true") for name, value in said if value != "unspecified"}


def ignored_revisions(repository: Repository, commit: str) -> frozenset[str]:
    """Commits listed in ``.git-blame-ignore-revs`` at a commit."""
    try:
        text = repository.read("cat-file", "blob", f"{commit}:.git-blame-ignore-revs")
    except HistoryError:
        return frozenset()
    return frozenset(match[0] for match in _COMMIT_ID.finditer(text.decode("utf-8", "replace")))


def shallow_commits(repository: Repository) -> frozenset[str]:
    """Commits whose parents a shallow clone left out; their diffs show whole files as added."""
    listing = repository.path_in_git_dir("shallow")
    return frozenset(listing.read_text().split()) if listing.is_file() else frozenset()
