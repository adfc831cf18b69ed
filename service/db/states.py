"""The states that rows pass through, as words: readable without SQLModel, stable on disk."""

from __future__ import annotations

from enum import StrEnum


class InstallationStatus(StrEnum):
    """Whether the App may act for an account."""

    ACTIVE = "active"
    SUSPENDED = "suspended"
    DELETED = "deleted"


class RepositoryStatus(StrEnum):
    """Whether a repository is read and reviewed."""

    ACTIVE = "active"
    PAUSED = "paused"
    REMOVED = "removed"  # taken out of the installation; rows stay until it is forgotten


class Stage(StrEnum):
    """How far a repository's roll-out has come: each stage does what those before it do."""

    OBSERVE = "observe"  # a neutral check run alone
    COMMENT = "comment"
    GATE = "gate"  # an unusual diff fails the check


class DeliveryStatus(StrEnum):
    """Where a webhook delivery stands. A redelivery is dropped unless the first one failed."""

    RECEIVED = "received"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


class PullState(StrEnum):
    """A pull request as GitHub last told it."""

    OPEN = "open"
    CLOSED = "closed"
    MERGED = "merged"


class ReviewStatus(StrEnum):
    """Where a review stands. ``done`` is about the work: the verdict may still be NOT SCORED."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    SUPERSEDED = "superseded"  # another head, base, signature or configuration took its place
    FAILED = "failed"

    @property
    def is_final(self) -> bool:
        """Whether nothing more will happen to it by itself."""
        return self not in {ReviewStatus.QUEUED, ReviewStatus.RUNNING}


class AcceptanceKind(StrEnum):
    """What a person let pass."""

    FINDING = "finding"  # one finding, by its fingerprint
    PATH = "path"  # everything below a path pattern


class ConsentState(StrEnum):
    """What a person said about a signature of their own. No record means: not given."""

    GIVEN = "given"
    WITHDRAWN = "withdrawn"


class Subject(StrEnum):
    """Whose signature it is."""

    TEAM = "team"
    AUTHOR = "author"


class Flow(StrEnum):
    """The durable flows."""

    INGEST = "ingest"
    PROFILE = "profile"
    REVIEW = "review"


class JobStatus(StrEnum):
    """Where a job stands, as the job engine last said."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Whether nothing more will happen to it by itself."""
        return self not in {JobStatus.QUEUED, JobStatus.RUNNING}


class ExecutorStatus(StrEnum):
    """A worker process's own word, or the supervisor's where it has gone silent."""

    LIVE = "live"
    DRAINING = "draining"
    STOPPED = "stopped"
    SILENT = "silent"


class Role(StrEnum):
    """What an API token may do."""

    ADMIN = "admin"
    MEMBER = "member"
    SELF = "self"  # its subject's own data alone
