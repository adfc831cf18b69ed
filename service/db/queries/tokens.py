"""Tokens of the API: shown once, kept as a digest."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import update
from sqlmodel import Session, col, select

from service import ServiceError
from service.db.states import Role
from service.db.tables import ApiToken, Author

PREFIX = "rp_"
_SECRET = re.compile(r"rp_[\w\-]{43}")
_USE_IS_NOTED_EVERY = timedelta(minutes=1)


class UnknownTokenError(ServiceError):
    """No token has that number."""


def make_secret() -> str:
    """A new secret of 256 random bits."""
    return PREFIX + secrets.token_urlsafe(32)


def digest_of(secret: str) -> str:
    """What is kept of a secret.

    One round of SHA-256 without salt is enough: slow hashes and salts protect secrets that can be guessed,
    and nobody walks through 2^256 of them. It also makes the look-up one read of a unique index.
    """
    return hashlib.sha256(secret.encode()).hexdigest()


def subject_of(repository_id: int, key: str) -> str:
    """How a token names the author that it speaks for: keys are unique only within a repository."""
    return f"{repository_id}/{key}"


def read_subject(subject: str) -> tuple[int, str]:
    """The repository's number and the author's key."""
    number, _, key = subject.partition("/")
    return int(number), key


def create_token(
    session: Session,
    name: str,
    role: Role,
    *,
    author: Author | None = None,
    created_by: str = "",
    expires_at: datetime | None = None,
) -> tuple[ApiToken, str]:
    """Make a token; returns its row and the secret, which cannot be shown again.

    Args:
        author: whom a token of the role "self" speaks for; nobody for the others.

    Raises:
        ServiceError: an author without that role, or the role without an author.
    """
    if (role is Role.SELF) != (author is not None):
        raise ServiceError("a token of the role self needs one author, and the other roles need none")
    secret = make_secret()
    subject = "" if author is None else subject_of(author.repository_id, author.key)
    token = ApiToken(
        name=name, digest=digest_of(secret), role=role, subject=subject, created_by=created_by,
        expires_at=expires_at,
    )  # fmt: skip
    session.add(token)
    session.flush()
    return token, secret


def find_token(session: Session, secret: str, at: datetime) -> ApiToken | None:
    """The token with this secret, if it is still good."""
    if not _SECRET.fullmatch(secret):
        return None
    token = session.exec(select(ApiToken).where(ApiToken.digest == digest_of(secret))).one_or_none()
    if token is None or token.revoked_at is not None:
        return None
    return None if token.expires_at is not None and token.expires_at <= at else token


def is_use_news(token: ApiToken, at: datetime) -> bool:
    """Whether the use is worth writing down: once a minute is enough to find tokens that nobody uses."""
    return token.last_used_at is None or at - token.last_used_at > _USE_IS_NOTED_EVERY


def note_use(session: Session, token_id: int, at: datetime) -> None:
    """Write down that a token was used."""
    session.execute(update(ApiToken).where(col(ApiToken.id) == token_id).values(last_used_at=at))


def revoke_token(session: Session, token_id: int, at: datetime) -> ApiToken:
    """Make a token useless from now on; doing it again changes nothing.

    Raises:
        UnknownTokenError: there is none.
    """
    token = session.get(ApiToken, token_id)
    if token is None:
        raise UnknownTokenError(f"there is no token {token_id}; see `routeprint tokens list`")
    token.revoked_at = token.revoked_at or at
    return token


def list_tokens(session: Session) -> Sequence[ApiToken]:
    """Every token ever made, oldest first."""
    return session.exec(select(ApiToken).order_by(col(ApiToken.id))).all()
