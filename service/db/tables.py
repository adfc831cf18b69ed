"""Every table. Strings from outside have no length: GitHub's tokens, logins and ids outgrew limits before.

Credentials are not here: installation tokens live in memory, API tokens as digests. Neither is code: a
delivery keeps its body until it is done, a review points to its report's artifact.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlmodel import Field

from service.db import states
from service.db.columns import belongs_to, document, id_at_github, in_state, moment, own_id
from service.db.row import Row


def _unique(*columns: str) -> tuple[sa.UniqueConstraint]:
    return (sa.UniqueConstraint(*columns),)


# -------------------------------------------------------------------------------- GitHub as it was last told


class Installation(Row, table=True):
    """The App in one account; ``id`` is GitHub's."""

    id: int = Field(sa_column=sa.Column(sa.BigInteger(), primary_key=True, autoincrement=False))
    account_id: int = id_at_github(nullable=False, index=True)
    account_login: str
    account_type: str = "Organization"
    permissions: dict[str, Any] = document(dict)
    status: states.InstallationStatus = in_state(states.InstallationStatus.ACTIVE)
    created_at: datetime = moment()
    updated_at: datetime = moment()


class Repository(Row, table=True):
    """A repository that is read and reviewed; on GitHub, or a folder of this machine (``github_id`` None)."""

    id: int | None = own_id()
    github_id: int | None = id_at_github(unique=True)
    installation_id: int | None = belongs_to("installation", keeps=True)
    full_name: str = Field(index=True)
    path: str = ""  # the bare mirror or the folder; "" before the first fetch
    default_branch: str = "main"
    is_private: bool = True
    stage: states.Stage = in_state(states.Stage.OBSERVE)
    status: states.RepositoryStatus = in_state(states.RepositoryStatus.ACTIVE)
    ingested_head: str = ""
    ingested_at: datetime | None = moment(nullable=True)
    created_at: datetime = moment()
    updated_at: datetime = moment()


class RepositoryName(Row, table=True):
    """A name that a repository had: links and late deliveries still use it."""

    id: int | None = own_id()
    repository_id: int = belongs_to("repository")
    full_name: str = Field(index=True)
    since: datetime = moment()
    until: datetime | None = moment(nullable=True)


class Team(Row, table=True):
    """A team within a repository. The team named "" is the whole repository."""

    __table_args__ = _unique("repository_id", "name")
    id: int | None = own_id()
    repository_id: int = belongs_to("repository")
    name: str = ""
    paths: list[str] = document(list)
    with_agents: bool = False
    waiting: str = ""  # why there is no signature yet: "about 40 more commits until scoring"
    waiting_head: str = ""  # the commit at which that was found
    created_at: datetime = moment()


class Forgotten(Row, table=True):
    """Whose code is never learned from again, as a digest: the name itself has been forgotten."""

    __table_args__ = _unique("repository_id", "digest")
    id: int | None = own_id()
    repository_id: int = belongs_to("repository")
    digest: str
    at: datetime = moment()


class Delivery(Row, table=True):
    """One webhook. ``guid`` is ``X-GitHub-Delivery``: a redelivery carries the same."""

    __table_args__ = (
        sa.UniqueConstraint("guid", "event"),
        sa.Index("ix_delivery_status_received_at", "status", "received_at"),
    )
    id: int | None = own_id()
    guid: str
    event: str
    action: str = ""
    installation_id: int | None = id_at_github()
    repository_github_id: int | None = id_at_github(index=True)
    status: states.DeliveryStatus = in_state(states.DeliveryStatus.RECEIVED)
    attempts: int = 0
    payload_digest: str
    body: bytes | None = Field(default=None, sa_column=sa.Column(sa.LargeBinary(), nullable=True))
    error: str = ""
    received_at: datetime = moment()
    started_at: datetime | None = moment(nullable=True)
    finished_at: datetime | None = moment(nullable=True)


class PullRequest(Row, table=True):
    """A pull request. Checks of forks name no pull request: they are found by repository and head."""

    __table_args__ = (
        sa.UniqueConstraint("repository_id", "number"),
        sa.Index("ix_pull_request_repository_id_head_sha", "repository_id", "head_sha"),
    )
    id: int | None = own_id()
    repository_id: int = belongs_to("repository")
    number: int
    github_id: int | None = id_at_github()
    head_sha: str
    base_sha: str
    head_ref: str = ""
    base_ref: str = ""
    merge_commit_sha: str = ""
    state: states.PullState = in_state(states.PullState.OPEN)
    is_fork: bool = False
    is_draft: bool = False
    author_key: str = ""
    updated_at: datetime = moment()  # GitHub's own time: an older telling than this one is not news
    merged_at: datetime | None = moment(nullable=True)


class PullCommit(Row, table=True):
    """A pull request's own commit: what a squash merge is learned from, credited commit by commit."""

    __table_args__ = _unique("pull_request_id", "sha")
    id: int | None = own_id()
    pull_request_id: int = belongs_to("pull_request")
    sha: str = Field(index=True)
    position: int
    author_key: str = ""
    label: str = ""
    tier: str = ""
    agents: list[str] = document(list)
    requester: str = ""
    evidence: list[dict[str, Any]] = document(list)
    authored_at: datetime | None = moment(nullable=True)


class ReviewThread(Row, table=True):
    """A person's remark on a line and whether it was settled: a label for the evaluation, nothing else.

    Attributes:
        commit_sha: the commit that was remarked on. line: in the file at that commit.
    """

    id: int | None = own_id()
    pull_request_id: int = belongs_to("pull_request")
    node_id: str = Field(unique=True)
    path: str
    line: int | None = None
    commit_sha: str = ""
    author_key: str = ""
    body_digest: str = ""
    body: str | None = None  # only where the settings say so
    is_resolved: bool = False
    resolved_by: str = ""
    resolved_at: datetime | None = moment(nullable=True)
    created_at: datetime = moment()


# ---------------------------------------------------------------------------------------------- reviews


class Review(Row, table=True):
    """One answer to one diff, asked for once: the unique columns are all that it depends on."""

    __table_args__ = (
        sa.UniqueConstraint(
            "repository_id", "number", "head_sha", "base_sha", "team", "signature_version", "config_hash",
            "run", name="uq_review_work",
        ),
        sa.Index("ix_review_repository_id_number_status", "repository_id", "number", "status"),
    )  # fmt: skip
    id: int | None = own_id()
    repository_id: int = belongs_to("repository")
    number: int  # of the pull request; a merge queue's group has 0
    head_sha: str
    base_sha: str
    team: str = ""
    signature_version: int = 0  # 0: there was no signature
    config_hash: str = ""
    run: int = 0  # counts "Re-score": a new answer to the same question gets a new check run
    external_id: str = Field(unique=True)
    asked: int = 0  # counts its jobs: one that was superseded or failed may be asked again
    job_id: str = Field(default="", index=True)
    status: states.ReviewStatus = in_state(states.ReviewStatus.QUEUED)
    verdict: str = ""
    reason: str = ""
    p_value: float | None = None
    report: str = ""
    check_run_id: int | None = id_at_github(index=True)
    conclusion: str = ""
    provenance: dict[str, Any] = document(dict)
    requested_by: str = ""
    created_at: datetime = moment()
    started_at: datetime | None = moment(nullable=True)
    finished_at: datetime | None = moment(nullable=True)
    published_at: datetime | None = moment(nullable=True)


class Comment(Row, table=True):
    """The one comment on a pull request and the state it last showed."""

    id: int | None = own_id()
    pull_request_id: int = Field(
        sa_column=sa.Column(sa.ForeignKey("pull_request.id", ondelete="CASCADE"), unique=True, nullable=False)
    )
    comment_id: int | None = id_at_github()
    state_digest: str = ""
    updated_at: datetime = moment()


class Acceptance(Row, table=True):
    """A finding that a person accepted as intended, or a path they muted."""

    id: int | None = own_id()
    repository_id: int = belongs_to("repository")
    kind: states.AcceptanceKind = in_state(states.AcceptanceKind.FINDING)
    fingerprint: str = Field(default="", index=True)
    path: str = ""
    number: int | None = None
    reason: str = ""
    by: str
    at: datetime = moment()
    until: datetime | None = moment(nullable=True)
    withdrawn_at: datetime | None = moment(nullable=True)


class Backtest(Row, table=True):
    """How often merged pull requests would have been flagged: without one there is no gate."""

    id: int | None = own_id()
    repository_id: int = belongs_to("repository")
    team: str = ""
    signature_version: int
    n_pulls: int
    n_scored: int
    n_flagged: int
    alarm_level: float
    figures: dict[str, Any] = document(dict)
    at: datetime = moment()


# ------------------------------------------------------------------------------------ people, signatures


class Author(Row, table=True):
    """Someone or something that writes code in a repository, as ``connectors.identity`` resolved them."""

    __table_args__ = _unique("repository_id", "key")
    id: int | None = own_id()
    repository_id: int = belongs_to("repository")
    key: str
    name: str
    kind: str
    tier: str
    github_id: int | None = id_at_github(index=True)
    evidence: list[dict[str, Any]] = document(list)
    left_at: datetime | None = moment(nullable=True)
    updated_at: datetime = moment()


class Alias(Row, table=True):
    """A name and e-mail pair credited to an author."""

    __table_args__ = _unique("author_id", "name", "email")
    id: int | None = own_id()
    author_id: int = belongs_to("author")
    name: str
    email: str = Field(index=True)
    added_by: str = "resolver"
    added_at: datetime = moment()


class Consent(Row, table=True):
    """What a person said about a signature of their own, and who wrote it down. The latest row counts."""

    id: int | None = own_id()
    author_id: int = belongs_to("author")
    state: states.ConsentState = in_state(states.ConsentState.GIVEN)
    recorded_by: str
    said_how: str = ""
    at: datetime = moment()


class Signature(Row, table=True):
    """One version of a team's or an author's signature. ``scope`` is "team:<name>" or "author:<key>"."""

    __table_args__ = _unique("repository_id", "scope", "version")
    id: int | None = own_id()
    repository_id: int = belongs_to("repository")
    subject: states.Subject = in_state(states.Subject.TEAM)
    scope: str
    version: int
    profile: str = Field(index=True)  # digest of the profile artifact that reviews load
    artifact: str = Field(index=True)  # digest of the signature's own artifact
    base_hash: str
    config_hash: str
    commit: str = ""  # newest commit learned from
    n_commits: int = 0
    provenance: dict[str, Any] = document(dict)
    made_at: datetime = moment()
    is_pinned: bool = False
    stale_reason: str = ""
    stale_at: datetime | None = moment(nullable=True)
    superseded_by: int | None = belongs_to("signature", keeps=True)
    withdrawn_reason: str = ""  # rolled back, or its person withdrew: never scored with again


# ------------------------------------------------------------------------------------------------- work


class Job(Row, table=True):
    """One durable workflow for people to look at. The engine's own tables decide; this one tells."""

    __table_args__ = (sa.Index("ix_job_status_created_at", "status", "created_at"),)
    id: str = Field(primary_key=True)  # the workflow's id
    flow: states.Flow = in_state(states.Flow.INGEST)
    queue: str
    repository_id: int | None = belongs_to("repository", nullable=True)
    subject: str = ""  # "#12", "team:backend", "author:human:ann"
    payload: dict[str, Any] = document(dict)
    priority: int = 0
    status: states.JobStatus = in_state(states.JobStatus.QUEUED)
    attempt: int = 0
    executor: str = ""
    step: str = ""
    done: float = 0.0
    total: float | None = None
    tokens_per_second: float | None = None
    seconds_left: float | None = None
    loss: float | None = None
    result: dict[str, Any] = document(dict)
    error: str = ""
    superseded_by: str = ""
    retry_of: str = ""
    created_at: datetime = moment()
    started_at: datetime | None = moment(nullable=True)
    updated_at: datetime = moment()
    finished_at: datetime | None = moment(nullable=True)


class JobLine(Row, table=True):
    """A line of a job's log: steps begun and ended, attempts, what went wrong. Never code."""

    id: int | None = own_id()
    job_id: str = Field(
        sa_column=sa.Column(sa.ForeignKey("job.id", ondelete="CASCADE"), nullable=False, index=True)
    )
    at: datetime = moment()
    attempt: int = 0
    text: str


class Executor(Row, table=True):
    """A worker process and the last time it was heard of."""

    id: str = Field(primary_key=True)
    host: str
    pid: int
    queues: list[str] = document(list)
    version: str  # the application version whose jobs it runs
    status: states.ExecutorStatus = in_state(states.ExecutorStatus.LIVE)
    started_at: datetime = moment()
    beat_at: datetime = moment(index=True)
    n_recovered: int = 0


class Lease(Row, table=True):
    """Whose turn it is: the supervisor's leader, one comment per pull request, one training per artifact.

    ``fence`` grows with every new holder, so that one who slept through its end can be told apart.
    """

    name: str = Field(primary_key=True)
    holder: str
    fence: int = 0
    expires_at: datetime = moment()


# ------------------------------------------------------------------------------------------------ access


class ApiToken(Row, table=True):
    """A credential of the API: its digest, never itself."""

    id: int | None = own_id()
    name: str
    digest: str = Field(unique=True)
    role: states.Role = in_state(states.Role.MEMBER)
    subject: str = ""  # whom a "self" token speaks for: repository's number and author's key
    created_by: str = ""
    created_at: datetime = moment()
    expires_at: datetime | None = moment(nullable=True)
    last_used_at: datetime | None = moment(nullable=True)
    revoked_at: datetime | None = moment(nullable=True)


class SignIn(Row, table=True):
    """A browser that showed a token: the digest of its cookie. What the token may not, it may not either."""

    id: int | None = own_id()
    token_id: int = belongs_to("api_token")
    digest: str = Field(unique=True)
    created_at: datetime = moment()
    expires_at: datetime = moment(index=True)


class AuditEvent(Row, table=True):
    """Who did what to what, when. It outlives what it is about, so it refers by name."""

    id: int | None = own_id()
    at: datetime = moment(index=True)
    who: str
    what: str
    target: str
    details: dict[str, Any] = document(dict)
