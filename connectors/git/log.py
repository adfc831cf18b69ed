"""Commits and their patches from one streaming ``git log -p -M`` process."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import IO

from connectors.contribution import FilePatch, FileStatus
from connectors.diff import DiffError, LineFeed, read_patch
from connectors.filters import MAX_COMMIT_FILES, MAX_COMMIT_LINES, CommitText
from connectors.git import HistoryError
from connectors.git.command import DIFF_OPTIONS, Repository, Run
from connectors.identity.author import Alias
from connectors.identity.notes import REF
from connectors.identity.resolve import CommitFacts
from connectors.languages import code_patterns
from connectors.ledger import DropReason, Ledger

MAX_STORED_LINES = 50_000  # lines of one commit held at once, deletions and context included

_TRAILERS = "%(trailers:only=true,unfold=true,separator=%x1e,key_value_separator=%x1f)"
# a line of a patch never starts with NUL, so the first field tells a commit from a patch line
_FORMAT = "--format=" + "".join(
    f"%x00{f}" for f in ("%H", "%P", "%aN", "%aE", "%ad", "%s", _TRAILERS, "%b", "%N", "")
)
_N_NULS = 10
LOG_OPTIONS = (
    "log",
    *DIFF_OPTIONS,
    _FORMAT,
    f"--notes={REF}",
    "--date=raw",
    "--encoding=UTF-8",
    "--no-diff-merges",
    "--reverse",
)


@dataclass(frozen=True, slots=True)
class LogEntry:
    """A commit's header. note: its line note (connectors.identity.notes), or ""."""

    commit: str
    parents: tuple[str, ...]
    author: Alias
    authored_at: datetime
    subject: str
    trailers: tuple[tuple[str, str], ...]
    body: str
    note: str = ""

    @property
    def facts(self) -> CommitFacts:
        """What identity rules look at."""
        return CommitFacts(self.author, self.trailers, self.body)

    @property
    def text(self) -> CommitText:
        """What commit rules look at."""
        return CommitText(len(self.parents), self.subject, self.body)


@dataclass(slots=True)
class LoggedCommit:
    """A commit's header, the patches that may hold somebody's code, and the account of the rest."""

    entry: LogEntry
    patches: list[FilePatch] = field(default_factory=list)
    ledger: Ledger = field(default_factory=Ledger)


@dataclass(frozen=True, slots=True)
class Choice:
    """Which commits and files to leave unread, and why."""

    commit_reason: Callable[[LogEntry], DropReason | None]
    file_reason: Callable[[FilePatch], DropReason | None]


@contextmanager
def code_only_attributes() -> Iterator[tuple[str, ...]]:
    """Git settings that make git call every file binary that is not code, so that it prints no diff of it.

    Costs a look per changed file, where pathspecs cost a look per file of every tree; and the files stay
    countable. A repository's own ``.gitattributes`` wins.
    """
    with tempfile.TemporaryDirectory(prefix="routeprint-") as folder:
        attributes = Path(folder) / "attributes"
        attributes.write_text("* -diff\n" + "".join(f"{pattern} !diff\n" for pattern in code_patterns()))
        yield (f"core.attributesFile={attributes}",)


def start_log(
    repository: Repository, settings: Iterable[str], *selection: str, stdin: IO[bytes] | None = None
) -> Run:
    """Start the log, oldest commit first.

    Args:
        settings: git settings, as from ``code_only_attributes``.
        selection: revisions, limits and pathspecs.
    """
    return repository.start(*LOG_OPTIONS, *selection, settings=tuple(settings), stdin=stdin)


def logged_commits(run: Run, choice: Choice) -> Iterator[LoggedCommit]:
    """The commits of a started log, each once it is complete.

    The last one is yielded only after git has ended well.

    Raises:
        HistoryError: git failed, or printed what nobody expected.
    """
    feed = LineFeed(run.blocks())
    while feed.peek() is not None:
        try:
            commit = _read_commit(feed, choice)
        except DiffError as error:
            run.finish()  # a process that died in mid-line has the better message
            raise HistoryError(f"git log printed a patch that cannot be read: {error}") from error
        if feed.peek() is None:
            run.finish()
        yield commit
    run.finish()


def _read_commit(feed: LineFeed, choice: Choice) -> LoggedCommit:
    entry = _read_entry(feed)
    commit = LoggedCommit(entry)
    reader = _PatchReader(commit, choice.commit_reason(entry), choice.file_reason)
    while (line := feed.peek()) is not None and not line.startswith("\0"):
        if line.startswith("diff --git "):
            reader.read(feed)
        elif line == "":
            feed.skip()
        else:
            raise DiffError(f"expected a file section, saw {line[:60]!r}", feed.line_number)
    reader.close()
    return commit


class _PatchReader:
    """Reads one commit's patches, holding a bounded number of lines however large the commit is."""

    def __init__(
        self,
        commit: LoggedCommit,
        reason: DropReason | None,
        file_reason: Callable[[FilePatch], DropReason | None],
    ) -> None:
        self._commit = commit
        self._reason = reason
        self._file_reason = file_reason
        self._found: DropReason | None = None
        self._n_stored = self._n_lines = self._n_files = 0

    def _wants(self, patch: FilePatch) -> bool:
        if self._reason is not None:
            return False
        self._found = self._file_reason(patch)
        is_room = patch.status is not FileStatus.DELETED or self._n_stored < MAX_STORED_LINES
        return self._found is None and is_room

    def read(self, feed: LineFeed) -> None:
        """Read the next patch: keep it, or count it."""
        result = read_patch(feed, self._wants)
        patch, n_added = result.patch, result.n_added
        if self._reason is not None:
            self._count(n_added)
        elif self._found is not None:
            if patch.status is not FileStatus.DELETED:
                self._commit.ledger.drop(self._found, n_added, files=1)
        elif n_added and not result.is_whole:
            self._commit.ledger.drop(DropReason.HUGE, n_added, files=1)
        else:
            self._keep(patch, n_added)

    def _keep(self, patch: FilePatch, n_added: int) -> None:
        self._count(n_added)
        if self._n_lines > MAX_COMMIT_LINES or self._n_files > MAX_COMMIT_FILES:
            self._reason = DropReason.BULK
            self._commit.patches.clear()
            return
        self._n_stored += sum(len(hunk.lines) for hunk in patch.hunks)
        if patch.hunks:
            self._commit.patches.append(patch)

    def _count(self, n_added: int) -> None:
        self._n_lines += n_added
        self._n_files += n_added > 0

    def close(self) -> None:
        """Enter a commit that went whole into its ledger."""
        if self._reason is not None:
            self._commit.ledger.drop(self._reason, self._n_lines, self._n_files, commits=1)


def _read_entry(feed: LineFeed) -> LogEntry:
    lines: list[str] = []
    n_nuls = 0
    while n_nuls < _N_NULS:
        line = feed.take(1)
        if not line:
            raise DiffError("the commit's header ends early", feed.line_number)
        lines += line
        n_nuls += line[0].count("\0")
    fields = "\n".join(lines).split("\0")
    if len(fields) != _N_NULS + 1 or fields[0]:
        raise DiffError(f"expected a commit's header, saw {lines[0][:60]!r}", feed.line_number)
    _, commit, parents, name, email, date, subject, trailers, body, note, _ = fields
    pairs = tuple(_trailer(item) for item in trailers.split("\x1e") if item)
    return LogEntry(
        commit, tuple(parents.split()), Alias(name.strip(), email.strip()), _time(date), subject, pairs, body,
        note.strip("\n"),
    )  # fmt: skip


def _trailer(item: str) -> tuple[str, str]:
    key, _, value = item.partition("\x1f")
    return key.strip(), value.strip()


def _time(date: str) -> datetime:
    """Read git's raw date, "1700000000 +0100"; absurd dates and offsets in damaged commits are tamed."""
    seconds, _, offset = date.partition(" ")
    try:
        minutes = int(offset[1:3]) * 60 + int(offset[3:5])
        zone = timezone(timedelta(minutes=-minutes if offset.startswith("-") else minutes))
        return datetime.fromtimestamp(int(seconds), zone)
    except (ValueError, OverflowError, OSError):
        try:
            return datetime.fromtimestamp(int(seconds), UTC)
        except (ValueError, OverflowError, OSError):
            return datetime.fromtimestamp(0, UTC)
