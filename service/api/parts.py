"""What the endpoints work with; the entry point puts it together and passes it down."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from service.api.intake import Intake
from service.api.limits import Buckets
from service.api.scoring import ScoringProcess
from service.artifacts import ArtifactStore
from service.db.session import Database


@dataclass(frozen=True)
class Parts:
    """Everything behind the endpoints.

    Attributes:
        scoring: started by the caller; None where reviews are scored by workers alone.
        repositories: names that POST /v1/reviews may be asked for.
        intake: of GitHub's webhooks; None without an app, and then there is no such endpoint.
        cancel: calls a job off by its id, with the reason; None where this process asks for no work.
        needs_tokens: False lets everybody do everything, which only a loopback address may.
        store: of the artifacts that pages show; None: this process shows no pages.
        forget: deletes what is kept of an author (repository, key, on whose word); None where it cannot.
        public_url: where people reach this service, or None.
    """

    database: Database
    max_diff_bytes: int
    scoring: ScoringProcess | None = None
    repositories: Collection[str] = ()
    intake: Intake | None = None
    cancel: Callable[[str, str], object] | None = None
    needs_tokens: bool = True
    buckets: Buckets = field(default_factory=Buckets)
    store: ArtifactStore | None = None
    forget: Callable[[int, str, str], object] | None = None
    public_url: str | None = None
