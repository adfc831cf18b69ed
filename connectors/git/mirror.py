"""A bare copy of a repository that somebody else writes to: fetched, never checked out.

No hook, filter, submodule or large-file extension runs, for nothing is checked out; one protocol is allowed;
the credential is in neither the arguments, nor a file, nor the repository's configuration.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from connectors.contribution import FilePatch
from connectors.diff import parse_diff
from connectors.git import HistoryError
from connectors.git.command import DIFF_OPTIONS, Repository
from connectors.git.log import code_only_attributes
from connectors.identity.notes import REF as NOTES

_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_BRANCHES = "+refs/heads/*:refs/heads/*"
_PULLS = "+refs/pull/*/head:refs/pull/*/head"
_NOTES = f"+{NOTES}*:{NOTES}*"  # a pattern, for naming a ref that is not there fails
_FETCH = (
    "fetch", "--quiet", "--no-tags", "--no-recurse-submodules", "--no-auto-maintenance",
    "--no-write-fetch-head", "--end-of-options",
)  # fmt: skip


class MissingCommitError(HistoryError):
    """The mirror does not hold a commit: fetch first; if it stays away, a force push has taken it."""


class TooLargeError(HistoryError):
    """The diff is larger than was allowed."""


@dataclass(frozen=True, slots=True)
class MirrorDials:
    """How a mirror is kept.

    Attributes:
        protocols: that may be used; "file" is for tests.
        timeout_s: of one fetch. diff_timeout_s: of one diff. max_diff_bytes: of one diff.
    """

    protocols: tuple[str, ...] = ("https",)
    timeout_s: float = 600.0
    diff_timeout_s: float = 60.0
    max_diff_bytes: int = 20_000_000


@dataclass(frozen=True, slots=True)
class Mirror:
    """A bare repository at ``path``; see ``open_mirror``."""

    path: Path
    dials: MirrorDials = MirrorDials()

    @classmethod
    def at(cls, path: Path) -> Mirror:
        """Any repository of this machine, to be read as a mirror is; of a work tree, its git directory.

        Raises:
            NotARepositoryError: nothing at the path or above it is a repository.
        """
        return cls(Repository.at(path).git_dir)

    @property
    def repository(self) -> Repository:
        """For reading."""
        return Repository(self.path, None)

    def fetch(self, url: str, *, credential: str | None = None, pulls: Sequence[int] | None = None) -> None:
        """Bring branches, pull requests and line notes up to date; force pushes are followed.

        Args:
            url: where the repository is now; GitHub's API names it, also after a rename.
            credential: an installation's token, for this fetch alone.
            pulls: numbers of the pull requests that are wanted; None: all of them.

        Raises:
            HistoryError: not an address that may be fetched, git failed, or it took too long.
        """
        check_url(url, self.dials.protocols)
        wanted = (
            [_PULLS]
            if pulls is None
            else [f"+refs/pull/{int(n)}/head:refs/pull/{int(n)}/head" for n in pulls]
        )
        prune = ("--prune",) if pulls is None else ()
        words = (*_FETCH[:-1], *prune, _FETCH[-1], url, _BRANCHES, _NOTES, *wanted)
        allowed = [f"protocol.{name}.allow=always" for name in self.dials.protocols]
        settings = (
            *allowed,
            "http.followRedirects=false",
            "http.lowSpeedLimit=1000",
            "http.lowSpeedTime=60",
            "credential.helper=",
            "gc.auto=0",
        )
        environment = {"GIT_ASKPASS": "", "SSH_ASKPASS": "", **_authorisation(url, credential)}
        with self._locked():
            self.repository.read(
                *words, settings=settings, environment=environment, timeout_s=self.dials.timeout_s
            )

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One fetch at a time on this machine; the lock ends with the process."""
        with (self.path / "routeprint.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def holds(self, commit: str) -> bool:
        """Whether a commit is here."""
        name = f"{_checked(commit)}^{{commit}}"
        try:
            self.repository.read("cat-file", "-e", name)
        except HistoryError:
            return False
        return True

    def tip(self, ref: str) -> str:
        """The commit that a full ref name stands for, such as refs/heads/main. Raises HistoryError."""
        if not ref.startswith("refs/"):
            raise HistoryError(f"expected a full ref name such as refs/heads/main, saw {ref!r}")
        return self.repository.commit_id(ref)

    def follow(self, branch: str) -> str:
        """Let HEAD stand for a branch; returns its commit. Raises HistoryError: it is not here."""
        tip = self.tip(f"refs/heads/{branch}")
        self.repository.read("symbolic-ref", "HEAD", f"refs/heads/{branch}")
        return tip

    def parent(self, commit: str) -> str:
        """The first parent of a commit. Raises HistoryError: it has none, or is not here."""
        return self.repository.commit_id(f"{_checked(commit)}^1")

    def is_ancestor(self, old: str, new: str) -> bool:
        """Whether one commit is part of the other's history."""
        commits = (_checked(old), _checked(new))
        try:
            self.repository.read("merge-base", "--is-ancestor", *commits)
        except HistoryError:
            return False
        return True

    def diff(self, base: str, head: str) -> tuple[FilePatch, ...]:
        """What a pull request changes: head against the commit where it left base. Only code has hunks.

        Raises:
            MissingCommitError: one of the commits is not here.
            TooLargeError: the diff is larger than the mirror's dials allow.
            HistoryError: the two have no commit in common, or git failed.
        """
        for commit in (base, head):
            if not self.holds(commit):
                raise MissingCommitError(f"{commit[:12]} is not in {self.path.name}; fetch it first")
        limits = {"timeout_s": self.dials.diff_timeout_s, "max_bytes": self.dials.max_diff_bytes}
        with code_only_attributes() as settings:
            words = ("diff", *DIFF_OPTIONS, "--merge-base", base, head, "--")
            output = self.repository.read(*words, settings=settings, **limits)
        if len(output) > self.dials.max_diff_bytes:
            raise TooLargeError(
                f"the diff is larger than {self.dials.max_diff_bytes:,} bytes; split the change"
            )
        return parse_diff(output.decode("utf-8", "replace"))

    def file(self, commit: str, path: str) -> bytes | None:
        """A file at a commit, or None. Large files and links are read as git holds them."""
        name = f"{_checked(commit)}:{path}"
        try:
            return self.repository.read("cat-file", "blob", name)
        except HistoryError:
            return None


def open_mirror(path: Path, dials: MirrorDials = MirrorDials()) -> Mirror:
    """The mirror at a path; an empty one is made where there is none.

    It is made beside its place: git's own init is not for two at once.
    """
    if not (path / "HEAD").is_file():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        fresh = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}-"))  # its owner's alone
        try:
            Repository(fresh, None).read("init", "--quiet", "--bare", "--template=")
            with contextlib.suppress(OSError):  # somebody else was first
                fresh.replace(path)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    return Mirror(path, dials)


def check_url(url: str, protocols: Sequence[str]) -> None:
    """Raises HistoryError unless the address has an allowed protocol, a host, and no credential in it."""
    found = urlsplit(url)
    is_plain = url.isprintable() and not re.search(r"\s", url)
    if found.scheme not in protocols or not is_plain or not (found.netloc or found.scheme == "file"):
        raise HistoryError(f"expected an address by {' or '.join(protocols)}, saw {url[:80]!r}")
    if "@" in found.netloc:
        raise HistoryError("expected an address without a credential in it, saw one with; pass it beside")


def _authorisation(url: str, credential: str | None) -> dict[str, str]:
    """Settings by environment, sent to this host alone. GitHub takes tokens as the password of any user."""
    if credential is None:
        return {}
    found = urlsplit(url)
    encoded = base64.b64encode(f"x-access-token:{credential}".encode()).decode()
    return {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"http.{found.scheme}://{found.netloc}/.extraHeader",
        "GIT_CONFIG_VALUE_0": f"Authorization: Basic {encoded}",
    }


def _checked(commit: str) -> str:
    """A commit id, so that nothing else is ever taken for one. Raises HistoryError."""
    if not _COMMIT.fullmatch(commit):
        raise HistoryError(f"expected a commit's full id, saw {commit[:60]!r}")
    return commit
