"""Forgetting a person: from the disk, from the rows, and for the time to come. No git and no torch."""

from __future__ import annotations

from pathlib import Path

from service.artifacts import READINGS, ArtifactStore, RepositoryRecord, read_json, reading_of
from service.db.queries.people import find_author, forget_author, note_forgotten
from service.db.queries.repositories import get_repository
from service.db.queries.signatures import list_versions, mark_stale
from service.db.states import Subject
from service.enqueue import Enqueuer
from service.flows.contributions import forget_contributions
from service.flows.kept_pages import drop_people
from service.settings import Settings


def forget_person(asking: Enqueuer, settings: Settings, repository_id: int, key: str, by: str) -> int:
    """Delete what is kept of a person: contributions, pages, rows, signatures, adapters and their readings.

    The rows go last: whatever breaks off before can be asked for again.

    Their commits are never learned from again, and the team's signatures are marked for learning anew; until
    that is done the present ones, which a person's code is part of, are still scored with.

    Returns the number of artifacts deleted.

    Raises:
        UnknownPersonError: nobody of that key is kept.
    """
    store = ArtifactStore(settings.home)
    with asking.database.writing() as session:  # first of all nothing more is read or learned of them
        find_author(session, repository_id, key)
        note_forgotten(session, repository_id, key)
        path = get_repository(session, repository_id).path
    if path:
        forget_contributions(Path(path), settings, key)
        drop_people(store.record(Path(path)), key)
    with asking.database.writing() as session:
        own = forget_author(session, find_author(session, repository_id, key), by)
        teams = [v for v in list_versions(session, repository_id) if v.subject is Subject.TEAM]
        for scope in sorted({version.scope for version in teams}):
            mark_stale(session, repository_id, scope, "a person in it asked to be forgotten")
    doomed = {("author-signature", digest) for digest in own}
    for profile in {version.profile for version in teams}:
        if store.find("profile", profile) is not None:
            doomed |= _theirs(read_json(store.require("profile", profile) / "profile.json"), key)
    if path:
        doomed |= _take_readings(store.record(Path(path)), {d for kind, d in doomed if kind == "adapter"})
    found = {item for item in doomed if store.find(*item) is not None}
    for kind, digest in found:
        store.remove(kind, digest)
        store.drop_checkpoints(digest)
    return len(found)


def _take_readings(record: RepositoryRecord, adapters: set[str]) -> set[tuple[str, str]]:
    """What was read of adapters, no longer pointed to."""
    names = {reading_of(kind, adapter): kind for kind in READINGS for adapter in adapters}
    found = {(kind, digest) for name, kind in names.items() if (digest := record.pointer(name)) is not None}
    for name in names:
        record.unpoint(name)
    return found | {run for kind, digest in found if kind == "edits" for run in _runs(record.store, digest)}


def _runs(store: ArtifactStore, edits: str) -> set[tuple[str, str]]:
    """The decompositions behind a report of edits."""
    place = store.find("edits", edits)
    if place is None or not (place / "runs.json").exists():
        return set()
    return {("edit", run) for _, run in read_json(place / "runs.json")}


def _theirs(facts: dict[str, dict[str, str]], key: str) -> set[tuple[str, str]]:
    """A person's adapters (and the nulls under their name) and signature in a profile."""
    adapters = {
        ("adapter", digest)
        for name, digest in facts["adapters"].items()
        if name == key or name.startswith(f"{key}/")
    }
    own = facts["author_signatures"].get(key)
    return adapters | ({("author-signature", own)} if own else set())
