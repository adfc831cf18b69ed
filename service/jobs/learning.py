"""Reading a history and learning a signature, as workflows: read; then train; then write it down."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from service.db.columns import now
from service.db.queries.jobs import find_job
from service.db.queries.people import consenting_authors, forgotten_digests, wants_none
from service.db.queries.repositories import get_repository, get_team, note_ingested, note_waiting
from service.db.queries.signatures import (
    NewSignature,
    add_version,
    current_version,
    mark_forgotten,
    roll_version,
    scope_of_author,
    scope_of_team,
)
from service.db.session import Database
from service.flows.history_rows import keep_rows
from service.jobs.attempt import Attempt
from service.jobs.review import GITHUB_TRIES, guarded
from service.jobs.work import Learned, RepositoryTask, Rolled, TooEarlyError, Work


def ingest(job_id: str, database: Database, work: Work) -> dict[str, Any]:
    """The workflow's body for reading a history; returns the newest commit read."""
    attempt = Attempt.begin(database, job_id)
    if attempt is None:
        return {}
    task = _task_of(database, job_id)
    return guarded(attempt, lambda: {"head": _read(attempt, database, work, task)}, lambda _: None)


def profile(job_id: str, database: Database, work: Work) -> dict[str, Any]:
    """The workflow's body for learning a signature; returns its versions by scope.

    Each adapter and signature within "train" is an artifact of its own: what a killed attempt finished
    is found, and what it had begun goes on from its checkpoint.
    """
    attempt = Attempt.begin(database, job_id)
    if attempt is None:
        return {}
    task = _task_of(database, job_id)
    if task.is_refresh:
        return guarded(attempt, lambda: _refresh(attempt, database, work, task), lambda _: None)

    def run() -> dict[str, Any]:
        _read(attempt, database, work, task)
        learned = attempt.step("train", lambda: _train(attempt, work, task))
        return attempt.step("sign", lambda: _sign(attempt, database, task, learned))

    return guarded(attempt, run, lambda _: None)


def _train(attempt: Attempt, work: Work, task: RepositoryTask) -> dict[str, Any]:
    try:
        return {**asdict(work.train(task, attempt.tell)), "without": list(task.forgotten)}
    except TooEarlyError as error:
        return {"waiting": str(error)}


def _refresh(attempt: Attempt, database: Database, work: Work, task: RepositoryTask) -> dict[str, Any]:
    """Newer commits join the calibration of the version in use; returns its number, if it still is."""
    head = _read(attempt, database, work, task)
    with database.reading() as session:
        present = current_version(session, task.repository_id, scope_of_team(task.team))
    roll = work.refresh
    if present is None or present.is_pinned or roll is None:
        return {}
    before = present.profile
    rolled = attempt.step("calibrate", lambda: [before, asdict(roll(task, before, attempt.tell))])
    return attempt.step("sign", lambda: _sign_rolled(attempt, database, task, rolled, head))


def _sign_rolled(
    attempt: Attempt, database: Database, task: RepositoryTask, rolled: list[Any], head: str
) -> dict[str, Any]:
    attempt.require_current()
    before, found = rolled[0], Rolled(**rolled[1])
    scope = scope_of_team(task.team)
    with database.writing() as session:
        version = roll_version(
            session, task.repository_id, scope, before=before, profile=found.profile,
            artifact=found.signature, commit=head,
        )  # fmt: skip
        return {} if version is None else {scope: version.version, "n_commits": found.n_commits}


def _read(attempt: Attempt, database: Database, work: Work, task: RepositoryTask) -> str:
    def read() -> str:
        found = work.ingest(task, attempt.tell)
        with database.writing() as session:
            gone = forgotten_digests(session, task.repository_id)  # somebody may have asked meanwhile
            keep_rows(session, task.repository_id, found, gone)
            note_ingested(session, task.repository_id, found.head, now())
        return found.head

    return attempt.step("read history", read, n_tries=GITHUB_TRIES)


def _sign(
    attempt: Attempt, database: Database, task: RepositoryTask, result: dict[str, Any]
) -> dict[str, Any]:
    """Write down the new versions, or why there is none yet; done twice it finds its own."""
    attempt.require_current()
    with database.writing() as session:
        note_waiting(session, task.repository_id, task.team, result.get("waiting", ""))
    if "waiting" in result:
        return result
    without = set(result.get("without", ()))
    learned = Learned(**{name: value for name, value in result.items() if name != "without"})
    made = {scope_of_team(task.team): learned.signature}
    with database.writing() as session:
        made |= {
            scope_of_author(key): digest
            for key, digest in learned.authors.items()
            if not wants_none(session, task.repository_id, key)  # which they may have said meanwhile
        }
        versions = {
            scope: add_version(
                session,
                NewSignature(
                    task.repository_id, scope, learned.profile, artifact, learned.base_hash,
                    learned.config_hash, learned.commit, learned.n_commits, learned.provenance,
                ),
            ).version
            for scope, artifact in made.items()
        }  # fmt: skip
        if not without.issuperset(forgotten_digests(session, task.repository_id)):
            mark_forgotten(session, task.repository_id)  # somebody asked while it was learned
        return versions


def _task_of(database: Database, job_id: str) -> RepositoryTask:
    with database.reading() as session:
        payload = find_job(session, job_id).payload
        repository = get_repository(session, payload["repository"])
        team = get_team(session, payload["repository"], payload.get("team", ""))
        return RepositoryTask(
            job_id, payload["repository"], repository.full_name, Path(repository.path), team.name,
            tuple(team.paths), team.with_agents, consenting_authors(session, payload["repository"]),
            forgotten_digests(session, payload["repository"]), is_refresh=bool(payload.get("refresh")),
        )  # fmt: skip
