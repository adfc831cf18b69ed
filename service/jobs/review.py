"""A review as a workflow: read the pull request, read the diff, score it, publish the answer."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from connectors import ConnectorError
from fingerprint import FingerprintError
from fingerprint.report import DriftReport, Verdict
from service import ServiceError
from service.artifacts import ArtifactStore
from service.db.queries import reviews as rows
from service.db.queries.jobs import find_job
from service.db.queries.repositories import get_repository, get_team
from service.db.queries.signatures import find_version
from service.db.session import Database
from service.db.states import JobStatus, ReviewStatus
from service.flows.kept_pages import keep_report, keep_review, read_report, shown_name
from service.flows.review_page import reviewed
from service.jobs.attempt import Attempt
from service.jobs.work import NotWantedError, PullNow, ReviewPorts, ReviewTask

GITHUB_TRIES = 4
"""Tries of a step that talks to GitHub, over about seven seconds; its connector has a patience of its own."""
_DIFF = "diff"


@dataclass(frozen=True)
class _Reviewing:
    """One attempt at one review."""

    database: Database
    store: ArtifactStore
    ports: ReviewPorts
    attempt: Attempt
    task: ReviewTask

    def run(self) -> dict[str, Any]:
        """The steps in order. Results that are kept are small and hold no code: digests and numbers."""
        task, step = self.task, self.attempt.step
        now = PullNow(**step("read", lambda: asdict(self.ports.read_pull(task)), n_tries=GITHUB_TRIES))
        if _is_another(now, task):
            return self._withdraw(now)
        if now.reason:
            report = step("score", lambda: keep_report(self.store, _not_scored(now.reason)))
            return self._publish(report)
        diff = step("diff", self._read_diff, n_tries=GITHUB_TRIES)
        report = step("score", lambda: self._score(diff))
        published = self._publish(report)
        self.store.remove(_DIFF, diff)
        return published

    def _read_diff(self) -> str:
        """Digest of the diff, which lies in the store: the engine's tables are no place for code.

        Of the job too, since it is deleted with the job and another may have the same diff.
        """
        text = self.ports.read_diff(self.task)
        named = f"{self.task.job_id}\0{text}"
        digest = hashlib.sha256(named.encode("utf-8", "surrogateescape")).hexdigest()

        def write(directory: Path) -> None:
            (directory / "change.diff").write_text(text, encoding="utf-8", errors="surrogateescape")

        self.store.put(_DIFF, digest, write)
        return digest

    def _score(self, diff: str) -> str:
        """Digest of the report; a diff that cannot be scored has a report that says why."""
        if self.store.find(_DIFF, diff) is None:  # another host's store, or cleaned up
            diff = self._read_diff()
        path = self.store.require(_DIFF, diff) / "change.diff"
        text = path.read_text(encoding="utf-8", errors="surrogateescape")
        self.attempt.require_current()
        try:
            report = self.ports.score(self.task, text)
        except NotWantedError:
            raise
        except (ServiceError, ConnectorError, FingerprintError) as error:
            report = _not_scored(str(error))
        self._keep_page(report, text)
        return keep_report(self.store, report)

    def _keep_page(self, report: DriftReport, diff: str) -> None:
        """What the check's link shows; the diff is on it, until the page is deleted."""
        task, store = self.task, self.store
        page = reviewed(
            report, diff, store, task.profile, repository=shown_name(task.full_name), base=task.base_sha,
            head=task.head_sha, number=task.number,
        )  # fmt: skip
        keep_review(store, store.record(task.path), task.job_id, page)

    def _publish(self, report: str) -> dict[str, Any]:
        result = self.attempt.step("publish", lambda: self._publish_once(report), n_tries=GITHUB_TRIES)
        if result["conclusion"] == "superseded":
            return result
        answer = read_report(self.store, report)
        self._end(
            ReviewStatus.DONE, verdict=answer.verdict.value, reason=answer.reason, report=report,
            p_value=None if answer.evidence is None else answer.evidence.p_value,
            provenance=_provenance_of(answer, self.task),
        )  # fmt: skip
        return result

    def _publish_once(self, report: str) -> dict[str, Any]:
        """Publish while nobody else publishes for this pull request, unless it has been done."""
        task = self.task
        with self.database.exclusively(f"publish {task.repository_id}#{task.number}", timeout_s=120):
            with self.database.reading() as session:
                row = rows.get_review(session, task.review_id)
                done, published = row.published_at, (row.check_run_id, row.conclusion)
            if done is not None:
                return {"check_run_id": published[0], "conclusion": published[1]}
            self.attempt.require_current()
            now = self.ports.read_pull(task)
            if _is_another(now, task):
                return self._withdraw(now)
            answer = self.ports.publish(task, read_report(self.store, report))
            with self.database.writing() as session:
                rows.note_published(
                    session, task.review_id, check_run_id=answer.check_run_id, conclusion=answer.conclusion
                )
            return asdict(answer)

    def _withdraw(self, now: PullNow) -> dict[str, Any]:
        self.ports.withdraw(self.task, now.head_sha)
        self._end(ReviewStatus.SUPERSEDED, reason=f"the head is now {now.head_sha[:12]}")
        return {"check_run_id": self.task.check_run_id, "conclusion": "superseded"}

    def _end(self, status: ReviewStatus, **values: Any) -> None:
        with self.database.writing() as session:
            rows.end_review(session, self.task.review_id, status, **values)


def _is_another(now: PullNow, task: ReviewTask) -> bool:
    return now.head_sha != task.head_sha


def _not_scored(reason: str) -> DriftReport:
    return DriftReport(verdict=Verdict.NOT_SCORED, reason=reason)


def _provenance_of(report: DriftReport, task: ReviewTask) -> dict[str, Any]:
    """What the verdict was made with; it stays with the verdict whatever is upgraded later."""
    facts = report.model_dump(mode="json").get("provenance") or {}
    return {**facts, "profile": task.profile, "signature_version": task.signature_version}


def review(job_id: str, database: Database, store: ArtifactStore, ports: ReviewPorts) -> dict[str, Any]:
    """The workflow's body; returns what was published, {} when it is no longer wanted."""
    attempt = Attempt.begin(database, job_id)
    if attempt is None:
        return {}
    with database.writing() as session:
        review_id = find_job(session, job_id).payload["review"]
        is_open = rows.begin_review(session, review_id)
        task = _task_of(session, review_id, job_id)
    if not is_open:
        attempt.end(JobStatus.CANCELLED, error="superseded")
        return {}
    reviewing = _Reviewing(database, store, ports, attempt, task)
    return guarded(attempt, reviewing.run, lambda error: _fail(database, review_id, error))


def guarded(
    attempt: Attempt, run: Callable[[], dict[str, Any]], fail: Callable[[str], None]
) -> dict[str, Any]:
    """Run an attempt and write its end down, whatever it is."""
    try:
        result = run()
    except NotWantedError:
        return {}
    except Exception as error:
        if attempt.end(JobStatus.FAILED, error=f"{type(error).__name__}: {error}"):
            fail(str(error))
        raise
    attempt.end(JobStatus.DONE, result=result)
    return result


def _fail(database: Database, review_id: int, error: str) -> None:
    with database.writing() as session:
        rows.end_review(session, review_id, ReviewStatus.FAILED, reason=error)


def _task_of(session: Any, review_id: int, job_id: str) -> ReviewTask:
    row = rows.get_review(session, review_id)
    repository = get_repository(session, row.repository_id)
    version = find_version(session, row.repository_id, f"team:{row.team}", row.signature_version)
    return ReviewTask(
        review_id, job_id, row.repository_id, repository.full_name, Path(repository.path), row.number,
        row.head_sha, row.base_sha, row.team, row.config_hash, job_id, row.check_run_id,
        row.signature_version, "" if version is None else version.profile,
        get_team(session, row.repository_id, row.team).waiting,
    )  # fmt: skip
