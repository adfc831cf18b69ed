"""What the API says of its rows. A field that is not here does not leave the service."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from service.db.queries.visibility import AUTHOR_SCOPE, KnownAuthor
from service.db.states import (
    ConsentState,
    Flow,
    JobStatus,
    RepositoryStatus,
    ReviewStatus,
    Stage,
    Subject,
)
from service.db.tables import Alias, AuditEvent, Consent, Job, JobLine, Repository, Review, Signature, Team

Number = Annotated[int, Field(description="Its number here.", examples=[7])]
RepositoryName = Annotated[str, Field(description="The repository's name now.", examples=["acme/shop"])]


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, from_attributes=True)


class TeamAnswer(_Answer):
    """A team within a repository."""

    name: str = Field(description='The whole repository is the team named "".', examples=["backend"])
    paths: list[str] = Field(description="Patterns of the paths that are theirs.", examples=[["src/api/**"]])
    with_agents: bool = Field(description="Whether agents' commits train the team's adapter.")


class RepositoryAnswer(_Answer):
    """A repository that is read and reviewed."""

    id: Number
    full_name: RepositoryName
    github_id: int | None = Field(
        description="GitHub's id; null for a folder of the server.", examples=[1296269]
    )
    default_branch: str = Field(examples=["main"])
    is_private: bool
    stage: Stage = Field(description="How far the roll-out has come.", examples=["observe"])
    status: RepositoryStatus = Field(examples=["active"])
    ingested_head: str = Field(description='Newest commit read; "" before the first.', examples=["9f2c1e"])
    ingested_at: datetime | None
    teams: list[TeamAnswer]
    updated_at: datetime

    @classmethod
    def of(cls, row: Repository, teams: list[Team]) -> RepositoryAnswer:
        """A repository with its teams."""
        return cls.model_validate(
            {**row.model_dump(), "teams": [TeamAnswer.model_validate(t) for t in teams]}
        )


class AuthorAnswer(_Answer):
    """Someone or something that writes code. No number here compares people, and none is planned."""

    id: Number
    repository_id: int = Field(examples=[1])
    repository: RepositoryName
    key: str = Field(description="Stable within the repository.", examples=["agent:claude"])
    name: str = Field(examples=["Claude"])
    kind: str = Field(description="human or agent, by declared evidence only.", examples=["agent"])
    tier: str = Field(description="How far that evidence can be trusted, A to D.", examples=["A"])
    consent: ConsentState | None = Field(
        description="What was last said about a signature of their own; null: nothing, so there is none."
    )
    left_at: datetime | None
    updated_at: datetime

    @classmethod
    def of(cls, known: KnownAuthor) -> AuthorAnswer:
        """An author with their repository's name."""
        extra = {"repository": known.repository, "consent": known.consent}
        return cls.model_validate({**known.author.model_dump(), **extra})


class AliasAnswer(_Answer):
    """A name and address credited to an author."""

    name: str = Field(examples=["Ann Lee"])
    email: str = Field(examples=["ann@example.com"])
    added_by: str = Field(examples=["resolver"])
    added_at: datetime


class ConsentAnswer(_Answer):
    """What was said about a signature of their own, and who wrote it down."""

    state: ConsentState
    recorded_by: str = Field(examples=["admin"])
    said_how: str = Field(examples=["by mail"])
    at: datetime


class ReadAnswer(_Answer):
    """Somebody read or changed what is kept of an author."""

    at: datetime
    who: str = Field(examples=["token 3 (dashboard)"])
    what: str = Field(examples=["author.read"])


class SignatureAnswer(_Answer):
    """One version of a signature."""

    id: Number
    repository_id: int = Field(examples=[1])
    repository: RepositoryName
    subject: Subject = Field(examples=["team"])
    scope: str = Field(description="team:<name> or author:<key>.", examples=["team:"])
    version: int = Field(description="Counts up from 1 within a scope.", examples=[3])
    profile: str = Field(description="Digest of the profile that reviews load.", examples=["5d41402a"])
    artifact: str = Field(description="Digest of the signature itself.", examples=["7d793037"])
    base_hash: str = Field(description="The base model it was learned over.", examples=["a3f5"])
    config_hash: str = Field(description="The dials it was learned with.", examples=["c0de"])
    commit: str = Field(description="Newest commit learned from.", examples=["9f2c1e"])
    n_commits: int = Field(examples=[812])
    provenance: dict[str, Any] = Field(description="What it was made from.")
    made_at: datetime
    is_pinned: bool = Field(description="Whether reviews stay with it though newer ones exist.")
    stale_reason: str = Field(description='Why it should be learned again; "" while it is fresh.')
    stale_at: datetime | None
    superseded_by: int | None
    withdrawn_reason: str = Field(description='Why it is never scored with again; "" while it may be.')

    @classmethod
    def of(cls, row: Signature, repository: str) -> SignatureAnswer:
        """A signature with its repository's name."""
        return cls.model_validate({**row.model_dump(), "repository": repository})


class AuthorReport(_Answer):
    """All that is kept of one author, for themselves."""

    author: AuthorAnswer
    evidence: list[dict[str, Any]] = Field(description="Why they are taken for who they are.")
    aliases: list[AliasAnswer]
    consents: list[ConsentAnswer] = Field(description="Oldest first; the last one counts.")
    signatures: list[SignatureAnswer]
    events: list[ReadAnswer] = Field(description="Who read or changed this, newest first, at most 50.")

    @classmethod
    def of(
        cls,
        known: KnownAuthor,
        aliases: list[Alias],
        consents: list[Consent],
        signatures: list[tuple[Signature, str]],
        events: list[AuditEvent],
    ) -> AuthorReport:
        """A report out of an author's rows."""
        return cls(
            author=AuthorAnswer.of(known),
            evidence=known.author.evidence,
            aliases=[AliasAnswer.model_validate(row) for row in aliases],
            consents=[ConsentAnswer.model_validate(row) for row in consents],
            signatures=[SignatureAnswer.of(*row) for row in signatures],
            events=[ReadAnswer.model_validate(row) for row in events],
        )


class ReviewAnswer(_Answer):
    """A stored review of one head of a pull request, and all that its answer depends on."""

    id: Number
    repository_id: int = Field(examples=[1])
    repository: RepositoryName
    number: int = Field(description="The pull request; 0 for a group of a merge queue.", examples=[42])
    head_sha: str = Field(examples=["6dcb09b5"])
    base_sha: str = Field(examples=["9f2c1e00"])
    team: str = Field(examples=[""])
    signature_version: int = Field(description="0: there was no signature.", examples=[3])
    config_hash: str = Field(examples=["c0de"])
    run: int = Field(description="Counts repetitions on request.", examples=[0])
    status: ReviewStatus = Field(
        description="About the work: a review that is done may still be NOT SCORED.", examples=["done"]
    )
    verdict: str = Field(
        description='typical, unusual or not-scored; "" until it is done.', examples=["typical"]
    )
    reason: str = Field(description="Why it was not scored.", examples=[""])
    p_value: float | None = Field(examples=[0.41])
    conclusion: str = Field(description="What the check run said.", examples=["neutral"])
    report: str = Field(description="Digest of the stored report.", examples=["5d41402a"])
    provenance: dict[str, Any] = Field(description="Base, signature, dials and code that made the answer.")
    job_id: str = Field(description="The job that did the work.", examples=["rp-0a1b.1"])
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    published_at: datetime | None

    @classmethod
    def of(cls, row: Review, repository: str) -> ReviewAnswer:
        """A review with its repository's name."""
        return cls.model_validate({**row.model_dump(), "repository": repository})


class LineAnswer(_Answer):
    """A line of a job's log."""

    at: datetime
    attempt: int
    text: str = Field(examples=["score: done in 4.1 s"])


class JobAnswer(_Answer):
    """A durable piece of work and where it stands."""

    id: str = Field(examples=["rp-0a1b.1"])
    flow: Flow = Field(examples=["review"])
    queue: str = Field(examples=["review"])
    repository_id: int | None = Field(examples=[1])
    repository: str | None = Field(examples=["acme/shop"])
    subject: str = Field(
        description='What it is about; "author" stands for one person, whom administrators see.',
        examples=["#42"],
    )
    priority: int = Field(description="The lower the sooner.", examples=[10])
    status: JobStatus = Field(examples=["running"])
    attempt: int = Field(examples=[1])
    step: str = Field(examples=["train"])
    done: float = Field(examples=[120])
    total: float | None = Field(examples=[400])
    tokens_per_second: float | None = Field(examples=[2100.0])
    seconds_left: float | None = Field(examples=[95.0])
    loss: float | None = Field(examples=[1.31])
    error: str = Field(examples=[""])
    superseded_by: str = Field(examples=[""])
    retry_of: str = Field(examples=[""])
    created_at: datetime
    started_at: datetime | None
    updated_at: datetime
    finished_at: datetime | None

    @classmethod
    def of(cls, row: Job, repository: str | None, *, with_people: bool) -> JobAnswer:
        """A job; without ``with_people`` it does not say whom it is about, nor what went wrong with them."""
        values = {**row.model_dump(), "repository": repository}
        if row.subject.startswith(AUTHOR_SCOPE) and not with_people:
            values |= {"subject": "author", "error": "it failed; administrators see why" if row.error else ""}
        return cls.model_validate(values)


class JobDetails(_Answer):
    """A job with the end of its log."""

    job: JobAnswer
    log: list[LineAnswer] = Field(description="The last 100 lines, for administrators; empty for others.")

    @classmethod
    def of(cls, job: JobAnswer, lines: list[JobLine]) -> JobDetails:
        """A job and the lines that the caller may see."""
        return cls(job=job, log=[LineAnswer.model_validate(line) for line in lines])
