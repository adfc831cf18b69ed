"""Git as a child process: found, fenced in, and checked.

Whatever the user's or the repository's configuration says, no hook, filter, external diff, text conversion,
file-system monitor or network transport runs, and the output has one format.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO, cast

from git.cmd import Git
from git.exc import GitCommandNotFound

from connectors.git import EmptyRepositoryError, HistoryError, NotARepositoryError

BLOCK_BYTES = 1 << 18
MAX_LINE_BYTES = 1 << 16  # a longer line is cut here; no rule keeps a file with such lines
STDERR_BYTES = 1 << 16
_PIPE_BYTES = 1 << 20
_F_SETPIPE_SZ = 1031  # Linux

_ENVIRONMENT = {
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_DIFF_OPTS": "",
    "GIT_LITERAL_PATHSPECS": "0",
    "GIT_GLOB_PATHSPECS": "0",
    "GIT_NOGLOB_PATHSPECS": "0",
    "GIT_ICASE_PATHSPECS": "0",
    "GIT_PAGER": "cat",
    "LC_ALL": "C",
    "TZ": "UTC",
}
_CONFIG = (
    "core.quotepath=off",
    "core.fsmonitor=false",
    "core.hooksPath=/dev/null",
    "core.pager=cat",
    "log.showSignature=false",
    "log.follow=false",
    "diff.suppressBlankEmpty=false",
    "diff.ignoreSubmodules=none",
    "protocol.allow=never",
)
DIFF_OPTIONS = (
    "-p", "-U3", "-M50%", "-l1000", "--no-ext-diff", "--no-textconv", "--no-color", "--no-relative",
    "-O/dev/null", "--src-prefix=a/", "--dst-prefix=b/", "--inter-hunk-context=0", "--diff-algorithm=myers",
    "--indent-heuristic", "--submodule=short", "--ws-error-highlight=none",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Repository:
    """Where git finds a repository.

    Attributes:
        git_dir: the git directory, or a ``.git`` file that names it (worktrees, submodules).
        work_tree: the checked-out files, or None for a bare repository.
    """

    git_dir: Path
    work_tree: Path | None

    @classmethod
    def at(cls, path: Path) -> Repository:
        """Find the repository that holds a path: a work tree, a folder in one, or a git directory.

        Raises:
            NotARepositoryError: nothing at the path or above it is a repository.
        """
        path = Path(path).expanduser()
        if not path.exists():
            raise NotARepositoryError(f"{path} does not exist; give the path of a git repository")
        path = path.resolve()
        for folder in (path, *path.parents):
            if (folder / ".git").exists():
                return cls(folder / ".git", folder)
            if (folder / "HEAD").is_file() and (folder / "objects").is_dir() and (folder / "refs").is_dir():
                return cls(folder, None)
        raise NotARepositoryError(
            f"{path} is not a git repository, nor is any folder above it; give one's path"
        )

    @property
    def _fence(self) -> list[str]:
        options = [word for setting in _CONFIG for word in ("-c", setting)]
        options.append(f"--git-dir={self.git_dir}")
        if self.work_tree is None:
            return [*options, "-c", "core.bare=true"]  # a copied git directory may lack its config file
        return [*options, f"--work-tree={self.work_tree}"]

    def start(
        self,
        *words: str,
        settings: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        stdin: IO[bytes] | int | None = None,
        is_group: bool = False,
    ) -> Run:
        """Start ``git <words>``, with more settings ("name=value") than the fence has.

        Args:
            is_group: git and what it starts can be ended together; the terminal's Ctrl-C reaches neither.
        """
        git = Git(str(self.work_tree or self.git_dir))
        more = [word for setting in settings for word in ("-c", setting)]
        command = [Git.GIT_PYTHON_GIT_EXECUTABLE or "git", *self._fence, *more, *words]
        merged = {**_ENVIRONMENT, **(environment or {})}
        try:
            process = git.execute(
                command,
                istream=cast(BinaryIO, stdin),
                as_process=True,
                env=merged,
                start_new_session=is_group,
            )
        except GitCommandNotFound as error:
            raise HistoryError("git was not found on PATH; install git 2.32 or later") from error
        return Run(cast("Git.AutoInterrupt", process), words[0])

    def read(
        self,
        *words: str,
        settings: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        stdin: IO[bytes] | None = None,
        timeout_s: float | None = None,
        max_bytes: int | None = None,
    ) -> bytes:
        """Output of ``git <words>``.

        Args:
            timeout_s: after which git is ended. max_bytes: git is ended when it has printed more.

        Raises:
            HistoryError: git failed or took too long.
        """
        run = self.start(
            *words, settings=settings, environment=environment, stdin=stdin, is_group=timeout_s is not None
        )
        with run.ended_after(timeout_s):
            output = bytearray()
            for chunk in run.chunks():
                output += chunk
                if max_bytes is not None and len(output) > max_bytes:
                    run.stop()
                    return bytes(output)
            run.finish()
        return bytes(output)

    def commit_id(self, rev: str) -> str:
        """Full id of the commit that a revision names.

        Raises:
            EmptyRepositoryError: HEAD has no commit yet.
            HistoryError: no such revision.
        """
        try:
            found = self.read("rev-parse", "--verify", "--quiet", "--end-of-options", f"{rev}^{{commit}}")
            return found.decode().strip()
        except HistoryError as error:
            if rev == "HEAD" and self._is_unborn():
                others = self.read("for-each-ref", "--count=3", "--format=%(refname:short)").decode().split()
                advice = (
                    f"; other branches exist, such as {others[0]}: name one" if others else "; commit first"
                )
                raise EmptyRepositoryError(f"{self.git_dir}: HEAD has no commit yet{advice}") from error
            raise HistoryError(f"{rev!r} names no commit in {self.git_dir}: {error}") from error

    def _is_unborn(self) -> bool:
        try:
            branch = self.read("symbolic-ref", "--quiet", "HEAD").decode().strip()
            self.read("rev-parse", "--verify", "--quiet", branch)
        except HistoryError:
            return True
        return False

    def path_in_git_dir(self, name: str) -> Path:
        """Where git keeps one of its own files, such as "shallow"; worktrees share some of them."""
        found = os.fsdecode(self.read("rev-parse", "--git-path", name).rstrip(b"\n"))
        return Path(self.work_tree or self.git_dir, found)


class Run:
    """One git process whose standard output is read as it comes; stderr is drained beside it."""

    def __init__(self, process: Git.AutoInterrupt, verb: str) -> None:
        assert process.proc is not None
        self._process = process  # ends git when this object goes out of scope
        self._popen = process.proc
        self._verb = verb
        self._limit_s: float | None = None
        self._stdout = cast(BinaryIO, process.stdout)
        self._stderr_pipe = cast(BinaryIO, process.stderr)
        self._stderr = bytearray()
        with contextlib.suppress(OSError):  # a larger pipe lets git run ahead; not every system grants one
            fcntl.fcntl(self._stdout.fileno(), _F_SETPIPE_SZ, _PIPE_BYTES)
        self._drain = threading.Thread(target=self._drain_stderr, daemon=True)
        self._drain.start()

    def _drain_stderr(self) -> None:
        while chunk := self._stderr_pipe.read(4096):
            self._stderr += chunk
            del self._stderr[:-STDERR_BYTES]

    def chunks(self) -> Iterator[bytes]:
        """Standard output as it comes."""
        descriptor = self._stdout.fileno()
        while chunk := os.read(descriptor, BLOCK_BYTES):
            yield chunk

    def blocks(self) -> Iterator[list[str]]:
        """Standard output as blocks of whole lines without line ends.

        Bytes that are not UTF-8 become U+FFFD. A line over ``MAX_LINE_BYTES`` is cut, so that one endless
        line does not fill the memory.
        """
        tail = b""
        is_cut = False
        for chunk in self.chunks():
            if is_cut:
                _, found, chunk = chunk.partition(b"\n")
                if not found:
                    continue
                chunk, is_cut = b"\n" + chunk, False
            chunk = tail + chunk
            head, newline, tail = chunk.rpartition(b"\n")
            if newline:
                yield _decode(head)
            if len(tail) > MAX_LINE_BYTES:
                tail, is_cut = tail[:MAX_LINE_BYTES], True
        if tail:
            yield _decode(tail)

    def ask(self, question: bytes, n_fields: int) -> list[str]:
        """Write to a process started with ``stdin=PIPE`` and read its answer of NUL-ended fields."""
        stdin = cast(BinaryIO, self._popen.stdin)
        stdin.write(question)
        stdin.flush()
        answer = b""
        for chunk in self.chunks():
            answer += chunk
            if answer.count(b"\0") >= n_fields:
                return answer.decode("utf-8", "replace").split("\0")[:n_fields]
        self.finish()
        raise HistoryError(f"git {self._verb} ended before it answered")

    @contextlib.contextmanager
    def ended_after(self, seconds: float | None) -> Iterator[None]:
        """End git and its children when the block takes longer; ``finish`` then says so. None: no limit."""
        if seconds is None:
            yield
            return

        def end() -> None:
            self._limit_s = seconds
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._popen.pid, signal.SIGTERM)  # git takes its locks and temporary files with it

        timer = threading.Timer(seconds, end)
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def finish(self) -> None:
        """Wait for git to end. Raises HistoryError with git's message if it failed."""
        status = self._popen.wait()
        self._close()
        if self._limit_s is not None:
            raise HistoryError(f"git {self._verb} took longer than {self._limit_s:g} s and was ended")
        if status:
            raise HistoryError(f"git {self._verb} failed: {self._message() or f'exit status {status}'}")

    def _message(self) -> str:
        """What git said of its failure; its warnings, too, where it said nothing else."""
        lines = self._stderr.decode("utf-8", "replace").strip().splitlines()
        return "\n".join([line for line in lines if not line.startswith("warning: ")] or lines)

    def stop(self) -> None:
        """End git early, when nobody wants the rest."""
        if self._popen.poll() is None:
            self._popen.terminate()
            self._popen.wait()
        self._close()

    def _close(self) -> None:
        self._drain.join(timeout=5)
        self._stdout.close()
        self._stderr_pipe.close()
        if self._popen.stdin is not None:
            self._popen.stdin.close()


def _decode(block: bytes) -> list[str]:
    text = block.decode("utf-8", "replace")
    return text.replace("\r\n", "\n").split("\n") if "\r" in text else text.split("\n")
