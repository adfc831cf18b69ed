"""Histories on GitHub: fetched into a mirror, squashes replaced by the commits that they hide."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from connectors.github.merges import squashes
from connectors.github.pulls import MAX_COMMITS, MAX_THREADS, MergedPull, all_merged_pulls, read_place
from service.db.queries.jobs import JobProgress
from service.flows.history_rows import HistoryRead
from service.flows.ingest import ingest
from service.jobs.hub import Hub
from service.jobs.work import RepositoryTask, Tell

LOG = logging.getLogger(__name__)
MOST_NAMED = 10


def read_through_mirror(hub: Hub, task: RepositoryTask, tell: Tell) -> HistoryRead:
    """Fetch, then read what is new on the default branch."""
    row = hub.repository(task.repository_id)
    client = hub.client(row)
    place, url = read_place(client, row.full_name)
    tell(JobProgress("fetch"))
    mirror = hub.fetched(row, url)
    tip = mirror.follow(place.default_branch or row.default_branch)
    tell(JobProgress("read pull requests"))
    merged = tuple(all_merged_pulls(client, place.full_name, since=row.ingested_at))
    _tell_of_rest(row.full_name, merged)
    found = squashes(mirror, merged, tip)

    def progress(done: int, total: int) -> None:
        tell(JobProgress("read history", done, total))

    ingested = ingest(mirror.path, hub.settings, progress, rev=tip, replacing=found, forgotten=task.forgotten)
    return HistoryRead.of(tip, ingested, merged)


def _tell_of_rest(name: str, merged: Sequence[MergedPull]) -> None:
    """Say what a page of pull requests lacks of the largest ones; only rows do, for git has the commits."""
    threads = [pull.number for pull in merged if pull.n_threads > len(pull.threads)]
    commits = [pull.number for pull in merged if pull.n_commits > len(pull.commits)]
    if threads:
        LOG.warning(
            "%s: only the first %d review threads are labels of %s", name, MAX_THREADS, _named(threads)
        )
    if commits:
        LOG.warning("%s: only the first %d commits are listed of %s", name, MAX_COMMITS, _named(commits))


def _named(numbers: Sequence[int]) -> str:
    more = len(numbers) - MOST_NAMED
    return ", ".join(f"#{number}" for number in numbers[:MOST_NAMED]) + (
        f" and {more} more" if more > 0 else ""
    )
