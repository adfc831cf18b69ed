"""Write a git history through one ``git fast-import`` process."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Self, cast

from service import ServiceError

MAIN = "refs/heads/main"


@dataclass(frozen=True, slots=True)
class Commit:
    """One commit to write.

    Attributes:
        author: ``Name <email>``.
        when: seconds since the epoch.
        offset: offset from UTC as git writes it, such as ``+0530``.
        message: subject, body and trailers.
        changes: path -> new content; None deletes.
        renames: old path -> new path.
        branch: full reference name.
        start: mark of the parent where the branch begins, or None to go on from its tip.
        merged: marks of further parents.
    """

    author: str
    when: int
    offset: str
    message: str
    changes: Mapping[str, str | None] = field(default_factory=dict)
    renames: Mapping[str, str] = field(default_factory=dict)
    branch: str = MAIN
    start: int | None = None
    merged: Sequence[int] = ()


class HistoryWriter:
    """Streams commits into a new repository; leaving the context finishes it and checks ``main`` out."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)
        if any(path.iterdir()):
            raise ServiceError(
                f"the sample organisation needs an empty folder, but {path} has files; name another"
            )
        run_git(path, "init", "--quiet", "--template=", "--initial-branch=main")
        self._process = subprocess.Popen(
            ["git", "fast-import", "--quiet", "--date-format=raw"],
            cwd=path,
            env=git_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._marks = 0
        self._branches: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stdin.close()
        status = self._process.wait()
        cast(IO[bytes], self._process.stdout).close()
        if error is not None:
            return
        if status:
            raise ServiceError(
                f"git fast-import ended with status {status} in {self.path}; is the disk full?"
            )
        for branch in self._branches:
            run_git(self.path, "update-ref", "-d", branch)
        run_git(self.path, "reset", "--hard", "--quiet", "main")

    def write(self, commit: Commit) -> int:
        """Write a commit and return its mark."""
        self._marks += 1
        if commit.branch != MAIN and commit.branch not in self._branches:
            self._branches.append(commit.branch)
        stamp = f"{commit.when} {commit.offset}"
        lines = [f"commit {commit.branch}", f"mark :{self._marks}"]
        lines += [f"author {commit.author} {stamp}", f"committer {commit.author} {stamp}"]
        self._send("\n".join(lines) + "\n")
        self._send_data(commit.message)
        if commit.start is not None:
            self._send(f"from :{commit.start}\n")
        self._send("".join(f"merge :{mark}\n" for mark in commit.merged))
        self._send("".join(f"R {old} {new}\n" for old, new in commit.renames.items()))
        for path, text in commit.changes.items():
            if text is None:
                self._send(f"D {path}\n")
            else:
                self._send(f"M 100644 inline {path}\n")
                self._send_data(text)
        self._send("\n")
        return self._marks

    def object_id(self, mark: int) -> str:
        """The object id of a commit already written."""
        self._send(f"get-mark :{mark}\n")
        self._stdin.flush()
        return cast(IO[bytes], self._process.stdout).readline().decode().strip()

    @property
    def _stdin(self) -> IO[bytes]:
        return cast(IO[bytes], self._process.stdin)

    def _send(self, text: str) -> None:
        self._stdin.write(text.encode())

    def _send_data(self, text: str) -> None:
        data = text.encode()
        self._stdin.write(b"data %d\n" % len(data) + data + b"\n")


def git_environment() -> dict[str, str]:
    """The process environment without the user's git configuration and without a surrounding repository."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    return kept | {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "LC_ALL": "C"}


def run_git(
    path: Path, *arguments: str, stdin: str = "", environment: Mapping[str, str] | None = None
) -> str:
    """Run git in a folder and return what it prints.

    Raises:
        ServiceError: if git fails, with its message.
    """
    done = subprocess.run(
        ["git", *arguments],
        cwd=path,
        env=git_environment() | dict(environment or {}),
        input=stdin.encode(),
        capture_output=True,
        check=False,
    )
    if done.returncode:
        raise ServiceError(
            f"git {arguments[0]} failed in {path}: {done.stderr.decode(errors='replace').strip()}"
        )
    return done.stdout.decode()


def diff_against_head(path: Path, changes: Mapping[str, str]) -> str:
    """What ``git diff`` would print if these files had these contents; leaves nothing in the repository."""
    with tempfile.TemporaryDirectory() as scratch:
        environment = {
            "GIT_INDEX_FILE": str(Path(scratch, "index")),
            "GIT_OBJECT_DIRECTORY": scratch,
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": str((path / ".git" / "objects").resolve()),
        }
        run_git(path, "read-tree", "HEAD", environment=environment)
        entries: list[str] = []
        for name, text in sorted(changes.items()):
            object_id = run_git(
                path, "hash-object", "-w", "--stdin", stdin=text, environment=environment
            ).strip()
            entries.append(f"100644 {object_id}\t{name}\n")
        run_git(
            path, "update-index", "--add", "--index-info", stdin="".join(entries), environment=environment
        )
        return run_git(path, "diff", "--cached", "HEAD", environment=environment)
