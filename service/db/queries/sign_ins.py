"""Browsers that are signed in: a cookie each, kept as a digest, worth what its token is worth now."""

from __future__ import annotations

import hashlib
import re
import secrets
from datetime import datetime, timedelta

from sqlmodel import Session, col, delete, select

from service.db.queries.tokens import find_token
from service.db.tables import ApiToken, SignIn

LASTS = timedelta(hours=12)
"""A working day: whoever leaves a browser open is signed out by the next."""
_COOKIE = re.compile(r"[\w\-]{43}")


def begin_sign_in(session: Session, secret: str, at: datetime) -> str | None:
    """Sign a browser in with a token's secret; returns its cookie, None for a token that is no good."""
    token = find_token(session, secret, at)
    if token is None or token.id is None:
        return None
    session.execute(delete(SignIn).where(col(SignIn.expires_at) <= at))
    cookie = secrets.token_urlsafe(32)
    session.add(SignIn(token_id=token.id, digest=_digest(cookie), created_at=at, expires_at=at + LASTS))
    return cookie


def find_signed_in(session: Session, cookie: str, at: datetime) -> ApiToken | None:
    """The token that a browser signed in with, if both are still good."""
    if not _COOKIE.fullmatch(cookie):
        return None
    wanted = select(ApiToken).join(SignIn, col(SignIn.token_id) == col(ApiToken.id))
    token = session.exec(wanted.where(SignIn.digest == _digest(cookie), SignIn.expires_at > at)).one_or_none()
    if token is None or token.revoked_at is not None:
        return None
    return None if token.expires_at is not None and token.expires_at <= at else token


def end_sign_in(session: Session, cookie: str) -> None:
    """Sign a browser out; doing it again changes nothing."""
    session.execute(delete(SignIn).where(col(SignIn.digest) == _digest(cookie)))


def _digest(cookie: str) -> str:
    """One round, as for tokens: these are as many random bits."""
    return hashlib.sha256(cookie.encode()).hexdigest()
