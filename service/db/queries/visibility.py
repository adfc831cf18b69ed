"""Authors, and whose data a caller may see. Nothing here orders people by a number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlmodel import Session, col, select

from connectors.identity.author import AuthorKind
from service.db.states import ConsentState
from service.db.tables import Alias, Author, Consent, Repository, Signature

AUTHOR_SCOPE = "author:"
"""How a signature's scope and a job's subject begin when they are about one author; the key follows."""


@dataclass(frozen=True, slots=True)
class Viewer:
    """Whose data a caller may see.

    Attributes:
        sees_everyone: an administrator.
        own: repository's number and author's key of the one person that a "self" caller is; None for
            members, who see agents and the people who agreed.
    """

    sees_everyone: bool = False
    own: tuple[int, str] | None = None


@dataclass(frozen=True, slots=True)
class KnownAuthor:
    """An author with what was last said about a signature of their own (None: nothing was said)."""

    author: Author
    repository: str
    consent: ConsentState | None


def _latest_consent() -> sa.ScalarSelect[str]:
    wanted = sa.select(col(Consent.state)).where(col(Consent.author_id) == col(Author.id))
    return wanted.order_by(col(Consent.id).desc()).limit(1).correlate(Author).scalar_subquery()


def _may_be_seen(viewer: Viewer) -> sa.ColumnElement[bool]:
    if viewer.sees_everyone:
        return sa.true()
    if viewer.own is None:
        return (col(Author.kind) == AuthorKind.AGENT.value) | (_latest_consent() == ConsentState.GIVEN)
    repository_id, key = viewer.own
    is_own = (col(Author.repository_id) == repository_id) & (col(Author.key) == key)
    # the same account in another repository is the same person; the same name need not be
    account = sa.select(col(Author.github_id)).where(is_own).scalar_subquery()
    return is_own | (col(Author.github_id) == account)


def list_authors(
    session: Session,
    viewer: Viewer,
    *,
    repository_id: int | None = None,
    after: int = 0,
    limit: int = 50,
) -> list[KnownAuthor]:
    """Authors that the viewer may see, in the order in which they became known."""
    wanted = (
        _known().where(_may_be_seen(viewer), col(Author.id) > after).order_by(col(Author.id)).limit(limit)
    )
    if repository_id is not None:
        wanted = wanted.where(col(Author.repository_id) == repository_id)
    return [_read(*row) for row in session.execute(wanted)]


def find_author(session: Session, viewer: Viewer, author_id: int) -> KnownAuthor | None:
    """One author; None when there is none or the viewer may not see them, which look the same."""
    row = session.execute(_known().where(_may_be_seen(viewer), col(Author.id) == author_id)).one_or_none()
    return None if row is None else _read(*row)


def _read(author: Author, repository: str, consent: str | None) -> KnownAuthor:
    return KnownAuthor(author, repository, None if consent is None else ConsentState(consent))


def _known() -> sa.Select[Author, str, str]:
    return sa.select(Author, col(Repository.full_name), _latest_consent()).join(
        Repository, col(Repository.id) == col(Author.repository_id)
    )


def authors_of(session: Session, signatures: Sequence[Signature]) -> list[Author]:
    """The authors whose own signatures are among these, each once."""
    keys = {(one.repository_id, one.scope.removeprefix(AUTHOR_SCOPE)) for one in signatures if _is_own(one)}
    if not keys:
        return []
    wanted = sa.tuple_(col(Author.repository_id), col(Author.key)).in_(sorted(keys))
    return list(session.exec(select(Author).where(wanted).order_by(col(Author.id))).all())


def _is_own(signature: Signature) -> bool:
    return signature.scope.startswith(AUTHOR_SCOPE)


def list_aliases(session: Session, author_id: int) -> Sequence[Alias]:
    """The names and addresses credited to an author."""
    return session.exec(select(Alias).where(Alias.author_id == author_id).order_by(col(Alias.id))).all()


def list_consents(session: Session, author_id: int) -> Sequence[Consent]:
    """What was said about a signature of their own, oldest first; the last counts."""
    return session.exec(select(Consent).where(Consent.author_id == author_id).order_by(col(Consent.id))).all()


def list_signatures(
    session: Session,
    viewer: Viewer,
    *,
    repository_id: int | None = None,
    scope: str | None = None,
    before: int | None = None,
    limit: int = 50,
) -> list[tuple[Signature, str]]:
    """Signatures that the viewer may see with their repositories' names, newest first."""
    wanted = _signatures(viewer).order_by(col(Signature.id).desc()).limit(limit)
    if before is not None:
        wanted = wanted.where(col(Signature.id) < before)
    if repository_id is not None:
        wanted = wanted.where(col(Signature.repository_id) == repository_id)
    if scope is not None:
        wanted = wanted.where(col(Signature.scope) == scope)
    return [(row[0], row[1]) for row in session.execute(wanted)]


def find_signature(session: Session, viewer: Viewer, signature_id: int) -> tuple[Signature, str] | None:
    """One signature and its repository's name; None when there is none or the viewer may not see it."""
    row = session.execute(_signatures(viewer).where(col(Signature.id) == signature_id)).one_or_none()
    return None if row is None else (row[0], row[1])


def _signatures(viewer: Viewer) -> sa.Select[Signature, str]:
    is_of = (col(Author.repository_id) == col(Signature.repository_id)) & (
        sa.literal(AUTHOR_SCOPE) + col(Author.key) == col(Signature.scope)
    )
    of_someone_seen = sa.exists().where(is_of, _may_be_seen(viewer)).correlate(Signature)
    wanted = sa.select(Signature, col(Repository.full_name)).join(
        Repository, col(Repository.id) == col(Signature.repository_id)
    )
    if viewer.sees_everyone:
        return wanted
    if viewer.own is not None:
        return wanted.where(of_someone_seen)
    return wanted.where(~col(Signature.scope).startswith(AUTHOR_SCOPE) | of_someone_seen)
