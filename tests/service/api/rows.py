"""A small organisation in the database: two repositories, three people and an agent."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from service.db.columns import now
from service.db.queries.jobs import add_job
from service.db.queries.people import keep_author, record_consent
from service.db.queries.repositories import keep_repository, number_of
from service.db.queries.signatures import NewSignature, add_version, scope_of_author, scope_of_team
from service.db.session import Session
from service.db.states import ConsentState, Flow, JobStatus, ReviewStatus
from service.db.tables import Alias, Job, JobLine, Review


@dataclass(frozen=True)
class Rows:
    """Numbers of the rows."""

    shop: int
    tools: int
    ann: int
    ann_in_tools: int
    bob: int
    eve: int
    namesake: int
    agent: int
    own_signature: int
    team_signature: int
    review: int


def fill(session: Session) -> Rows:
    """Ann agreed, Bob withdrew, Eve was never asked. Ann has one account in both repositories."""
    shop = number_of(keep_repository(session, "acme/shop", github_id=11))
    tools = number_of(keep_repository(session, "acme/tools", github_id=12))

    def person(repository: int, key: str, github_id: int | None = None) -> int:
        row = keep_author(
            session, repository, f"human:{key}", name=key.title(), kind="human", tier="B", github_id=github_id
        )
        return row.id or 0

    ann, bob, eve = person(shop, "ann", 1), person(shop, "bob", 2), person(shop, "eve")
    ann_in_tools, namesake = person(tools, "ann-lee", 1), person(tools, "eve")
    agent = keep_author(session, shop, "agent:claude", name="Claude", kind="agent", tier="A").id or 0
    _consent(session, ann, ConsentState.GIVEN)
    _consent(session, bob, ConsentState.GIVEN)
    _consent(session, bob, ConsentState.WITHDRAWN)
    session.add(Alias(author_id=ann, name="Ann", email="ann@example.com"))
    team = _sign(session, shop, scope_of_team(""))
    own = _sign(session, shop, scope_of_author("human:ann"))
    _sign(session, shop, scope_of_author("human:eve"))
    review = _add_review(session, shop)
    _add_jobs(session, shop)
    return Rows(shop, tools, ann, ann_in_tools, bob, eve, namesake, agent, own, team, review)


def _consent(session: Session, author_id: int, state: ConsentState) -> None:
    from service.db.tables import Author

    record_consent(session, session.get_one(Author, author_id), state, "admin", "by mail")


def _sign(session: Session, repository: int, scope: str) -> int:
    made = NewSignature(
        repository, scope, "profile", f"artifact {scope}", "base", "config", "c0ffee", 12, {"seed": 0}
    )
    return add_version(session, made).id or 0


def _add_review(session: Session, repository: int) -> int:
    for number in (1, 2, 3):
        row = Review(
            repository_id=repository, number=number, head_sha="a" * 40, base_sha="b" * 40,
            external_id=f"rp-{number}", job_id=f"rp-{number}.1", status=ReviewStatus.DONE,
            verdict=["typical", "unusual", "not-scored"][number - 1], p_value=0.4,
            provenance={"base": "starter"},
            requested_by="ann",
        )  # fmt: skip
        session.add(row)
    session.flush()
    assert row.id is not None
    return row.id


def _add_jobs(session: Session, repository: int) -> None:
    add_job(
        session,
        "rp-1.1",
        flow=Flow.REVIEW,
        queue="review",
        payload={},
        repository_id=repository,
        subject="#1",
    )
    add_job(
        session, "profile-1", flow=Flow.PROFILE, queue="train", payload={"secret": "x"},
        repository_id=repository, subject="author:human:eve",
    )  # fmt: skip
    done = session.get_one(Job, "profile-1")
    done.status, done.error, done.created_at = (
        JobStatus.FAILED,
        "Eve has too little",
        now() - timedelta(hours=1),
    )
    session.add(JobLine(job_id="profile-1", attempt=1, text="Eve has too little"))
    session.flush()
