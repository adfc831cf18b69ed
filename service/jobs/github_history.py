"""Histories on GitHub: fetched into a mirror, squashes replaced by the commits that they hide."""

from __future__ import annotations

from connectors.github.merges import squashes
from connectors.github.pulls import all_merged_pulls, read_place
from service.db.queries.jobs import JobProgress
from service.flows.history_rows import HistoryRead
from service.flows.ingest import ingest
from service.jobs.hub import Hub
from service.jobs.work import RepositoryTask, Tell


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
    found = squashes(mirror, merged, tip)

    def progress(done: int, total: int) -> None:
        tell(JobProgress("read history", done, total))

    ingested = ingest(mirror.path, hub.settings, progress, rev=tip, replacing=found, forgotten=task.forgotten)
    return HistoryRead.of(tip, ingested, merged)
