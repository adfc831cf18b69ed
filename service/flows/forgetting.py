"""Forgetting a person or a repository: on the disk and in the rows. No git and no torch."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from service.artifacts import READINGS, ArtifactStore, RepositoryRecord, read_json, reading_of
from service.db.queries.people import audit, find_author, forget_author, note_forgotten
from service.db.queries.repositories import drop_repository, get_repository
from service.db.queries.signatures import (
    list_versions,
    mark_forgotten,
    retire_forgotten,
    scope_of_author,
)
from service.db.states import Subject
from service.enqueue import Enqueuer
from service.flows.contributions import forget_contributions
from service.flows.kept_pages import REPORT, drop_cards, drop_people
from service.settings import MIRRORS, Settings


def forget_person(asking: Enqueuer, settings: Settings, repository_id: int, key: str, by: str) -> int:
    """Delete what is kept of a person: contributions, pages, rows, signatures, adapters and their readings.

    The rows go last: whatever breaks off before can be asked for again.

    Their commits are never learned from again, and the team's signatures are marked for learning anew, pinned
    or not; until that is done the present one, which a person's code is part of, is still scored with. Then
    `drop_forgotten` deletes it, with all before it.

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
        drop_cards(store.record(Path(path)))
    with asking.database.writing() as session:
        own = forget_author(session, find_author(session, repository_id, key), by)
        teams = [v for v in list_versions(session, repository_id) if v.subject is Subject.TEAM]
        mark_forgotten(session, repository_id)
    asking.drop_trainings(repository_id)
    n_quoting = _delete_quotations(store, path)
    return n_quoting + _delete_own(store, path, key, own, {version.profile for version in teams})


def _delete_quotations(store: ArtifactStore, path: str) -> int:
    """Delete what holds windows of everybody's code and is made again when asked for; returns how many."""
    listed = store.record(Path(path)).artifacts if path else ()
    parted = (item.partition("/") for item in listed)
    found = [(kind, digest) for kind, _, digest in parted if kind in {"harvest", "labels"}]
    there = [item for item in found if store.find(*item) is not None]
    for kind, digest in there:
        store.remove(kind, digest)
    return len(there)


def forget_repository(asking: Enqueuer, settings: Settings, repository_id: int, by: str) -> int:
    """Delete all that is kept of a repository: work, rows, artifacts, answers and its mirror.

    The rows go last: whatever breaks off before can be asked for again. Returns how many artifacts.

    Raises:
        UnknownRepositoryError: it is not kept any more.
    """
    store = ArtifactStore(settings.home)
    with asking.database.reading() as session:
        row = get_repository(session, repository_id)
        name, path, is_mirror = row.full_name, Path(row.path or "."), row.github_id is not None and row.path
    asking.drop_work(repository_id, f"{name} is forgotten")
    n_deleted = store.forget(path) if row.path else 0
    if is_mirror and path.parent == settings.home / MIRRORS:
        shutil.rmtree(path, ignore_errors=True)
    with asking.database.writing() as session:
        reports = drop_repository(session, repository_id)
        audit(session, by, "forgot a repository", f"repository {repository_id}", {"name": name})
    for digest in reports:
        store.remove(REPORT, digest)
    return n_deleted + len(reports)


def withdraw_person(asking: Enqueuer, settings: Settings, repository_id: int, key: str) -> int:
    """Delete what was learned of a person by themselves, when they no longer agree to it; the rest stays.

    Returns the number of artifacts deleted.
    """
    store = ArtifactStore(settings.home)
    with asking.database.reading() as session:
        path = get_repository(session, repository_id).path
        versions = list_versions(session, repository_id)
    if path:
        drop_people(store.record(Path(path)), key)
    own = tuple(version.artifact for version in versions if version.scope == scope_of_author(key))
    teams = {version.profile for version in versions if version.subject is Subject.TEAM}
    return _delete_own(store, path, key, own, teams)


def _delete_own(store: ArtifactStore, path: str, key: str, own: Sequence[str], profiles: set[str]) -> int:
    """Delete a person's signatures, adapters and what was read of these; returns how many there were.

    Args:
        own: digests of their signatures. profiles: in which their adapters are looked for.
    """
    doomed = {("author-signature", digest) for digest in own}
    for profile in profiles:
        if store.find("profile", profile) is not None:
            doomed |= _theirs(read_json(store.require("profile", profile) / "profile.json"), key)
    if path:
        record = store.record(Path(path))
        doomed |= _take_readings(record, {d for kind, d in doomed if kind == "adapter"})
        doomed |= _of_no_profile(record)
    found = {item for item in doomed if store.find(*item) is not None}
    for kind, digest in found:
        store.remove(kind, digest)
        store.drop_checkpoints(digest)
    return len(found)


def drop_forgotten(asking: Enqueuer, settings: Settings) -> int:
    """Delete the profiles, signatures and adapters of teams that were learned with code of the forgotten.

    Only of teams that have been learned again; verdicts keep the digests. Returns how many artifacts.
    """
    store = ArtifactStore(settings.home)
    with asking.database.writing() as session:
        retired = retire_forgotten(session)
        paths = {number: get_repository(session, number).path for number in retired.profiles}
    current = {facts.get("pointers", {}).get("profile") for facts in store.records()}
    gone = set[str]()
    for number, profiles in retired.profiles.items():
        listed = store.record(Path(paths[number])).artifacts if paths[number] else ()
        found = profiles | {item.removeprefix("profile/") for item in listed if item.startswith("profile/")}
        gone |= {one for one in found - retired.kept - current if store.find("profile", one) is not None}
    stays = {one for one in retired.kept | current if one and store.find("profile", one) is not None}
    doomed = _parts(store, gone) - _parts(store, stays)
    for kind, digest in sorted(doomed, key=lambda item: item[0] == "profile"):  # by it the rest is found
        store.remove(kind, digest)
        store.drop_checkpoints(digest)
    return len(doomed)


def _parts(store: ArtifactStore, profiles: set[str]) -> set[tuple[str, str]]:
    """Profiles and all that was made for them."""
    found = {("profile", profile) for profile in profiles}
    for profile in profiles:
        facts = read_json(store.require("profile", profile) / "profile.json")
        found |= {("adapter", digest) for digest in facts["adapters"].values()}
        found |= {("author-signature", digest) for digest in facts["author_signatures"].values()}
        found.add(("team-signature", facts["signature"]))
    return found


def _take_readings(record: RepositoryRecord, adapters: set[str]) -> set[tuple[str, str]]:
    """What was read of adapters, no longer pointed to."""
    names = {reading_of(kind, adapter): kind for kind in READINGS for adapter in adapters}
    found = {(kind, digest) for name, kind in names.items() if (digest := record.pointer(name)) is not None}
    for name in names:
        record.unpoint(name)
    return found | {run for kind, digest in found if kind == "edits" for run in _runs(record.store, digest)}


def _of_no_profile(record: RepositoryRecord) -> set[tuple[str, str]]:
    """Adapters that no profile lists, as of authors' halves, and what compares these: nobody's by name."""
    listed = {(kind, digest) for kind, _, digest in (item.partition("/") for item in record.artifacts)}
    profiles = {d for kind, d in listed if kind == "profile" and record.store.find(kind, d) is not None}
    beside = {item for item in listed if item[0] in {"adapter", "halves"}}
    return beside - _parts(record.store, profiles)


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
