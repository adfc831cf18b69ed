"""Who asks, and what they may: a token's role, checked by every endpoint that is not public."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import HTTPException, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from service.api.parts import Parts
from service.db.columns import now
from service.db.failures import NOT_NOW
from service.db.queries.tokens import find_token, is_use_news, note_use, read_subject
from service.db.queries.visibility import Viewer
from service.db.states import Role
from service.db.tables import ApiToken

_BEARER = HTTPBearer(
    auto_error=False, scheme_name="token", description="A token of `routeprint tokens create`."
)
_CREDENTIALS = Annotated[HTTPAuthorizationCredentials | None, Security(_BEARER)]


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks.

    Attributes:
        name: for the audit log. own: whose data a "self" token speaks for, (repository's number, key).
    """

    name: str
    role: Role
    own: tuple[int, str] | None = None

    @property
    def viewer(self) -> Viewer:
        """Whose data they may see."""
        return Viewer(sees_everyone=self.role is Role.ADMIN, own=self.own)


LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
"""Hosts that only this machine can reach."""
EVERYBODY = Caller("everybody on this machine", Role.ADMIN)
"""Who asks a service without tokens."""


def parts_of(request: Request) -> Parts:
    """What the application was made with."""
    return request.app.state.parts


def allow(*roles: Role) -> Callable[..., Caller]:
    """A dependency that lets these roles in, and counts the request against the token's limit."""

    def check(request: Request, credentials: _CREDENTIALS) -> Caller:
        parts = parts_of(request)
        caller = _identify(request, parts, credentials) if parts.needs_tokens else everybody(request)
        wait_s = parts.buckets.take(caller.name)
        if wait_s > 0:
            headers = {"Retry-After": str(math.ceil(wait_s))}
            raise HTTPException(429, "too many requests with this token; wait and ask again", headers)
        if caller.role not in roles:
            known = " or ".join(role.value for role in roles)
            raise HTTPException(403, f"this needs a token of the role {known}, yours is {caller.role.value}")
        _refuse_unknown_parameters(request)
        return caller

    return check


def _refuse_unknown_parameters(request: Request) -> None:
    """Raises HTTPException (422): a filter with a slip in its name would quietly let everything through."""
    known = {str(field.alias) for field in request.scope["route"].dependant.query_params}
    unknown = sorted(set(request.query_params) - known)
    if unknown:
        there_are = f"there are {', '.join(sorted(known))}" if known else "there is none"
        raise HTTPException(422, f"query: no parameter {unknown[0]!r} here; {there_are}")


def everybody(request: Request) -> Caller:
    """Who asks a service without tokens.

    A web page can make its own host name point at a loopback address; the Host header still tells.

    Raises:
        HTTPException: 403, the caller did not ask for this machine.
    """
    if request.url.hostname not in LOOPBACK:
        raise HTTPException(
            403, f"without tokens this service answers to {', '.join(sorted(LOOPBACK))} alone"
        )
    return EVERYBODY


def _identify(request: Request, parts: Parts, credentials: HTTPAuthorizationCredentials | None) -> Caller:
    """Raises HTTPException (401): no token, or none of ours, or not any more: which, is not said."""
    token = None
    if credentials is not None:
        with parts.database.reading() as session:
            token = find_token(session, credentials.credentials, now())
    if token is None or token.id is None:
        detail = "expected `Authorization: Bearer rp_...`; make a token with `routeprint tokens create`"
        raise HTTPException(401, detail, {"WWW-Authenticate": "Bearer"})
    return caller_with(request, parts, token)


def caller_with(request: Request, parts: Parts, token: ApiToken) -> Caller:
    """Who a good token speaks for; its use is noted."""
    at = now()
    if is_use_news(token, at):
        with contextlib.suppress(*NOT_NOW), parts.database.writing() as session:
            note_use(session, token.id or 0, at)  # not worth refusing a request for
    request.state.token = token.id
    own = read_subject(token.subject) if token.role is Role.SELF else None
    return Caller(f"token {token.id} ({token.name})", token.role, own)


ADMINS = Annotated[Caller, Security(allow(Role.ADMIN))]
MEMBERS = Annotated[Caller, Security(allow(Role.ADMIN, Role.MEMBER))]
ANYONE = Annotated[Caller, Security(allow(Role.ADMIN, Role.MEMBER, Role.SELF))]
