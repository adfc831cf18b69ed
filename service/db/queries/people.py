"""Authors, what they agreed to, and forgetting them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import delete, update
from sqlmodel import Session, col, select

from connectors.identity.author import forgotten_digest
from service import ServiceError
from service.db.queries.jobs import changed
from service.db.queries.signatures import scope_of_author
from service.db.queries.tokens import subject_of
from service.db.states import ConsentState, Flow
from service.db.tables import (
    Alias,
    ApiToken,
    AuditEvent,
    Author,
    Consent,
    Forgotten,
    Job,
    PullCommit,
    PullRequest,
    ReviewThread,
    Signature,
)


class UnknownPersonError(ServiceError):
    """No author of that key is kept."""


def find_author(session: Session, repository_id: int, key: str) -> Author:
    """An author by key.

    Raises:
        UnknownPersonError: none.
    """
    wanted = select(Author).where(Author.repository_id == repository_id, Author.key == key)
    found = session.exec(wanted).one_or_none()
    if found is None:
        raise UnknownPersonError(f"no author {key!r} is kept; see `routeprint authors`")
    return found


def find_account(session: Session, repository_id: int, github_id: int) -> Author | None:
    """The author with an account on GitHub, or None."""
    wanted = select(Author).where(Author.repository_id == repository_id, Author.github_id == github_id)
    return session.exec(wanted.order_by(col(Author.id)).limit(1)).first()


def keep_author(
    session: Session,
    repository_id: int,
    key: str,
    *,
    name: str,
    kind: str,
    tier: str,
    github_id: int | None = None,
) -> Author:
    """Find an author or add them."""
    wanted = select(Author).where(Author.repository_id == repository_id, Author.key == key)
    row = session.exec(wanted).one_or_none()
    row = row or Author(repository_id=repository_id, key=key, name=name, kind=kind, tier=tier)
    row.name, row.kind, row.tier, row.github_id = name, kind, tier, github_id or row.github_id
    session.add(row)
    session.flush()
    return row


def keep_aliases(session: Session, author: Author, aliases: Sequence[tuple[str, str]]) -> None:
    """Write down names and addresses credited to an author; those that an administrator added stay."""
    assert author.id is not None, "the row has been flushed"
    rows = session.exec(select(Alias).where(Alias.author_id == author.id)).all()
    known = {(row.name, row.email) for row in rows}
    for name, email in dict.fromkeys(aliases):
        if (name, email) not in known:
            session.add(Alias(author_id=author.id, name=name, email=email))


def record_consent(session: Session, author: Author, state: ConsentState, by: str, how: str = "") -> Consent:
    """Write down what a person said. Withdrawing ends the use of their own signature at once."""
    assert author.id is not None, "the row has been flushed"
    row = Consent(author_id=author.id, state=state, recorded_by=by, said_how=how)
    session.add(row)
    if state is ConsentState.WITHDRAWN:
        for signature in _own_signatures(session, author):
            signature.withdrawn_reason = "consent withdrawn"
    audit(session, by, f"consent {state}", f"author {author.id}", {"how": how})
    session.flush()
    return row


def consent_of(session: Session, author: Author) -> ConsentState | None:
    """What a person said last; None means never asked, which is not consent."""
    wanted = select(Consent).where(Consent.author_id == author.id).order_by(col(Consent.id).desc())
    last = session.exec(wanted).first()
    return None if last is None else last.state


def consenting_authors(session: Session, repository_id: int) -> tuple[str, ...]:
    """Keys of the people who may have a signature of their own."""
    people = session.exec(select(Author).where(Author.repository_id == repository_id)).all()
    given = (author.key for author in people if consent_of(session, author) is ConsentState.GIVEN)
    return tuple(sorted(given))


def ended_trainings(session: Session, repository_id: int) -> Sequence[Job]:
    """Trainings of a repository that have ended: what they left names the people who were learned."""
    return session.exec(
        select(Job).where(
            Job.repository_id == repository_id, Job.flow == Flow.PROFILE, col(Job.finished_at).is_not(None)
        )
    ).all()


def wants_none(session: Session, repository_id: int, key: str) -> bool:
    """Whether an author has asked for no signature of their own: forgotten, or with consent taken back."""
    if forgotten_digest(key) in forgotten_digests(session, repository_id):
        return True
    wanted = select(Author).where(Author.repository_id == repository_id, Author.key == key)
    found = session.exec(wanted).one_or_none()
    return found is not None and consent_of(session, found) is ConsentState.WITHDRAWN


def _own_signatures(session: Session, author: Author) -> Sequence[Signature]:
    return session.exec(
        select(Signature).where(
            Signature.repository_id == author.repository_id, Signature.scope == scope_of_author(author.key)
        )
    ).all()


def forgotten_digests(session: Session, repository_id: int) -> tuple[str, ...]:
    """Whose code a repository's teams must not be learned from."""
    wanted = select(Forgotten.digest).where(Forgotten.repository_id == repository_id)
    return tuple(sorted(session.exec(wanted)))


def note_forgotten(session: Session, repository_id: int, key: str) -> None:
    """From now on an author's code is neither read nor learned from; doing it again changes nothing."""
    if forgotten_digest(key) not in forgotten_digests(session, repository_id):
        session.add(Forgotten(repository_id=repository_id, digest=forgotten_digest(key)))
        session.flush()


def forget_author(session: Session, author: Author, by: str) -> tuple[str, ...]:
    """Delete a person's rows and their name elsewhere; returns the digests of their signatures' artifacts."""
    note_forgotten(session, author.repository_id, author.key)
    pulls = select(PullRequest.id).where(PullRequest.repository_id == author.repository_id)
    named: tuple[tuple[Any, str, Any], ...] = (
        (PullRequest, "author_key", PullRequest.id), (PullCommit, "author_key", PullCommit.pull_request_id),
        (PullCommit, "requester", PullCommit.pull_request_id),
        (ReviewThread, "author_key", ReviewThread.pull_request_id),
        (ReviewThread, "resolved_by", ReviewThread.pull_request_id),
    )  # fmt: skip
    for table, column, pull in named:
        place = col(getattr(table, column))
        session.execute(update(table).where(place == author.key, col(pull).in_(pulls)).values({column: ""}))
    said = update(AuditEvent).where(col(AuditEvent.target) == f"author {author.id}")
    session.execute(said.values(details={}))
    signatures = _own_signatures(session, author)
    artifacts = tuple(signature.artifact for signature in signatures)
    for signature in signatures:
        session.delete(signature)
    own = subject_of(author.repository_id, author.key)
    changed(session, delete(ApiToken).where(col(ApiToken.subject) == own))
    audit(session, by, "forgot a person", f"repository {author.repository_id}", {})  # without their name
    session.delete(author)
    session.flush()
    return artifacts


def audit(session: Session, who: str, what: str, target: str, details: dict[str, Any] | None = None) -> None:
    """Write down who did what to what."""
    session.add(AuditEvent(who=who, what=what, target=target, details=details or {}))
