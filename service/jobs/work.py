"""What the workflows do, as plain functions passed in: flows in production, stand-ins in tests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from connectors.github.events import Event
from fingerprint.report import DriftReport
from service import ServiceError
from service.db.queries.jobs import JobProgress
from service.enqueue import Enqueuer
from service.flows.history_rows import HistoryRead


class TooEarlyError(ServiceError):
    """There is too little history to learn from yet; the message says how many commits are missing."""


class NotWantedError(ServiceError):
    """The attempt that is running no longer counts: cancelled, or another worker has taken over."""


@dataclass(frozen=True, slots=True)
class ReviewTask:
    """One review, told to every step.

    Attributes:
        number: of the pull request, 0 for a merge queue's group. path: the repository's folder or mirror.
        external_id: names the answer on GitHub: the same in every attempt, another when asked again.
        profile: digest of the profile to score with, "" for none. waiting: then, why there is none yet.
    """

    review_id: int
    job_id: str
    repository_id: int
    full_name: str
    path: Path
    number: int
    head_sha: str
    base_sha: str
    team: str
    config_hash: str
    external_id: str
    check_run_id: int | None
    signature_version: int
    profile: str
    waiting: str = ""


@dataclass(frozen=True, slots=True)
class PullNow:
    """A pull request as it is at this moment.

    Attributes:
        reason: why there is nothing to score ("the pull request is closed"), or "".
    """

    head_sha: str
    base_sha: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Published:
    """What an answer became on GitHub. ``check_run_id`` is None where only a report was asked for."""

    check_run_id: int | None
    conclusion: str


@dataclass(frozen=True)
class ReviewPorts:
    """The outer ends of a review.

    Attributes:
        read_pull: the pull request now; called before the diff is read and again before publishing.
        read_diff: unified diff of the task's head against its base.
        score: the answer; a ServiceError, ConnectorError or FingerprintError becomes NOT SCORED in words.
        publish: completes the check run and edits the comment. A worker can die between GitHub's answer and
            our note of it, so it must look for ``external_id`` and for its own comment first and leave alone
            what is there already. Never called by two workers at once for one pull request.
        withdraw: ends the check run of a head that another has taken the place of.
    """

    read_pull: Callable[[ReviewTask], PullNow]
    read_diff: Callable[[ReviewTask], str]
    score: Callable[[ReviewTask, str], DriftReport]
    publish: Callable[[ReviewTask, DriftReport], Published]
    withdraw: Callable[[ReviewTask, str], None]


@dataclass(frozen=True, slots=True)
class RepositoryTask:
    """A repository whose history is to be read or learned from.

    Attributes:
        is_refresh: newer commits shall calibrate the version in use; nothing is learned.
    """

    job_id: str
    repository_id: int
    full_name: str
    path: Path
    team: str = ""
    paths: tuple[str, ...] = ()
    with_agents: bool = False
    consenting: tuple[str, ...] = ()
    forgotten: tuple[str, ...] = ()
    is_refresh: bool = False


@dataclass(frozen=True, slots=True)
class Learned:
    """A signature as the flows made it. ``authors``: digest of each author's own signature, by key."""

    profile: str
    signature: str
    base_hash: str
    config_hash: str
    commit: str
    n_commits: int
    provenance: dict[str, Any] = field(default_factory=dict)
    authors: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rolled:
    """A signature whose calibration has taken in newer commits. ``profile``, ``signature``: digests."""

    profile: str
    signature: str
    n_commits: int


Tell = Callable[[JobProgress], None]
"""Told of progress as often as one likes; raises NotWantedError when the attempt no longer counts."""


@dataclass(frozen=True)
class Chore:
    """Something the leading worker does from time to time, such as asking for what is due."""

    name: str
    every_s: float
    run: Callable[[Enqueuer], None]


@dataclass(frozen=True)
class Work:
    """All that a worker can do.

    Attributes:
        ingest: fetches, and reads what is new.
        train: learns a signature; called again after a kill, it goes on from its checkpoints. TooEarlyError
            is no failure: it is kept as the reason for NOT SCORED.
        chores: for the one worker that leads.
        close: lets go of what the functions hold, when the worker stops.
        refresh: lets a profile, by its digest, take in newer commits; None: nothing is taken in.
        act: asks for what follows from a webhook, also twice; None leaves webhooks to other workers.
    """

    review: ReviewPorts
    ingest: Callable[[RepositoryTask, Tell], HistoryRead]
    train: Callable[[RepositoryTask, Tell], Learned]
    chores: tuple[Chore, ...] = ()
    close: Callable[[], None] = lambda: None
    act: Callable[[Event], None] | None = None
    refresh: Callable[[RepositoryTask, str, Tell], Rolled] | None = None
