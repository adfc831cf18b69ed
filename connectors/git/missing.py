"""Reading on where objects are missing or damaged, with everything that was left out counted."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import IO

from connectors.git import HistoryError
from connectors.git.command import Repository
from connectors.git.log import Choice, LoggedCommit, logged_commits, start_log
from connectors.ledger import DropReason

MAX_SEARCHED = 50  # commits looked at for the one that git failed on
_OBJECT_ID = re.compile(r"\b[0-9a-f]{40}(?:[0-9a-f]{24})?\b")


def commits_around_missing(
    repository: Repository,
    commits: Iterator[LoggedCommit],
    choice: Choice,
    settings: Sequence[str],
    selection: Sequence[str],
) -> Iterator[LoggedCommit]:
    """Yield commits; where git fails over an object, read that commit without its files and go on.

    Args:
        commits: the log to start with.
        choice, settings, selection: as that log was started with.

    Raises:
        HistoryError: git fails for another reason, such as a missing commit or tree.
    """
    last = ""
    waiting: list[str] | None = None
    while True:
        try:
            for commit in commits:
                last = commit.entry.commit
                yield commit
            return
        except HistoryError as error:
            if waiting is None:
                waiting = repository.read("rev-list", "--reverse", *selection).decode().split()
            waiting = waiting[waiting.index(last) + 1 :] if last in waiting else waiting
            n_good, missing = _first_unreadable(repository, waiting, error)
            failed = waiting[n_good]
        if n_good:  # complete, but git died before it was known to be
            yield from _relog(repository, waiting[:n_good], choice, settings, ())
        excluded = [f":(exclude,top,literal){path}" for path in missing]
        for commit in _relog(repository, [failed], choice, settings, (":/", *excluded)):
            commit.ledger.drop(DropReason.UNREADABLE, files=len(missing))
            yield commit
        last, waiting = failed, waiting[n_good + 1 :]
        if not waiting:
            return
        commits = _relog(repository, waiting, choice, settings, ())


def _relog(
    repository: Repository,
    commits: Sequence[str],
    choice: Choice,
    settings: Sequence[str],
    pathspecs: Sequence[str],
) -> Iterator[LoggedCommit]:
    """The log of exactly these commits, in this order."""
    # --reverse turns the list round again; --sparse keeps a commit of which the pathspecs leave nothing
    words = ("--no-walk=unsorted", "--stdin", "--sparse", "--", *pathspecs)
    with _listing(commits[::-1]) as stdin:
        run = start_log(repository, settings, *words, stdin=stdin)
    try:
        yield from logged_commits(run, choice)
    finally:
        run.stop()


def _first_unreadable(
    repository: Repository, commits: Sequence[str], error: HistoryError
) -> tuple[int, list[str]]:
    """Which of the commits cannot be read, and the paths whose objects are missing or damaged.

    Git flushes whole commits before it dies, so it is one of the first few.
    """
    named = frozenset(_OBJECT_ID.findall(str(error)))
    for n_good, commit in enumerate(commits[:MAX_SEARCHED]):
        missing = _unreadable_paths(repository, commit, named)
        if missing:
            return n_good, missing
    raise error


def _unreadable_paths(repository: Repository, commit: str, named: frozenset[str]) -> list[str]:
    words = ("diff-tree", "-r", "-z", "--root", "--no-renames", "--no-commit-id", "--raw", "--no-abbrev")
    fields = repository.read(*words, commit).decode("utf-8", "surrogateescape").split("\0")
    changed = [(raw.split()[2:4], path) for raw, path in zip(fields[:-1:2], fields[1::2], strict=True)]
    objects = sorted({oid for oids, _ in changed for oid in oids if oid.strip("0")})
    with _listing(objects) as stdin:
        checked = repository.read("cat-file", "--batch-check", stdin=stdin).decode().splitlines()
    missing = {line.split()[0] for line in checked if line.endswith(" missing")} | named
    return [path for oids, path in changed if not missing.isdisjoint(oids)]


@contextmanager
def _listing(lines: Sequence[str]) -> Iterator[IO[bytes]]:
    """A file of lines for a process to read."""
    with tempfile.TemporaryFile(prefix="routeprint-") as listing:
        listing.write("".join(f"{line}\n" for line in lines).encode())
        listing.seek(0)
        yield listing
