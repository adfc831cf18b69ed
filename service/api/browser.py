"""Browsers: signing in with a token, a cookie from then on, and forms that no other site can send."""

from __future__ import annotations

import hashlib
import hmac
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import parse_qs, quote, urlsplit

from fastapi import Depends, HTTPException, Request
from fastapi.responses import Response

from service.api.access import Caller, caller_with, everybody, parts_of
from service.api.parts import Parts
from service.db.columns import now
from service.db.queries.sign_ins import LASTS, find_signed_in
from service.db.states import Role

MOST_FORM_BYTES = 10_000
_LOCAL = re.compile(r"/(?![/\\])[^\x00-\x20\x7f\\]*")


class SignInError(Exception):
    """Nobody is signed in; ``address``: what was asked for."""

    def __init__(self, address: str) -> None:
        super().__init__("sign in first")
        self.address = address


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who looks at a page.

    Attributes:
        form_key: what their forms carry: other sites cannot read it, and so cannot send a form in their name.
        is_signed_in: False where the service asks for no tokens.
    """

    caller: Caller
    form_key: str
    is_signed_in: bool


def visit(*roles: Role) -> Callable[..., Visitor]:
    """A dependency that lets browsers of these roles in, and counts the request against the token's limit."""

    def check(request: Request) -> Visitor:
        parts = parts_of(request)
        visitor = _recognise(request, parts)
        wait_s = parts.buckets.take(visitor.caller.name)
        if wait_s > 0:
            headers = {"Retry-After": str(math.ceil(wait_s))}
            raise HTTPException(429, "too many requests with this token; wait and ask again", headers)
        if visitor.caller.role not in roles:
            known = " or ".join(role.value for role in roles)
            raise HTTPException(
                403, f"this page is for the role {known}; your token's is {visitor.caller.role.value}"
            )
        return visitor

    return check


def _recognise(request: Request, parts: Parts) -> Visitor:
    """Raises SignInError: nobody is signed in, or not any more."""
    if not parts.needs_tokens:
        return Visitor(everybody(request), form_key_of(request.app.state.form_secret), is_signed_in=False)
    cookie = cookie_of(request)
    if cookie:
        with parts.database.reading() as session:
            token = find_signed_in(session, cookie, now())
        if token is not None:
            return Visitor(caller_with(request, parts, token), form_key_of(cookie), is_signed_in=True)
    query = f"?{request.url.query}" if request.url.query else ""
    raise SignInError(request.url.path + query)


def form_key_of(secret: str) -> str:
    """The key of the forms of one sign-in."""
    return hmac.new(secret.encode(), b"form", hashlib.sha256).hexdigest()


# ------------------------------------------------------------------------------------------ the cookie


def _is_encrypted(request: Request) -> bool:
    """Whether browsers reach this service by https, also through a proxy."""
    return request.url.scheme == "https" or (parts_of(request).public_url or "").startswith("https:")


def _cookie_name(request: Request) -> str:
    # https://developer.mozilla.org/docs/Web/HTTP/Cookies: __Host- ties it to this host, path and https
    return "__Host-routeprint" if _is_encrypted(request) else "routeprint"


def cookie_of(request: Request) -> str:
    """The cookie's value, or ""."""
    return request.cookies.get(_cookie_name(request), "")


def set_cookie(request: Request, response: Response, value: str) -> None:
    """Let a browser keep its sign-in: unseen by script, not sent by other sites' forms; "" takes it away.

    Lax, not Strict: the link on a check leads here from another site.
    """
    response.set_cookie(
        _cookie_name(request), value, max_age=int(LASTS.total_seconds()) if value else 0, path="/",
        secure=_is_encrypted(request), httponly=True, samesite="lax",
    )  # fmt: skip


def local_address(address: str) -> str:
    """An address of this service; "/" in place of one that leads elsewhere."""
    return address if _LOCAL.fullmatch(address) else "/"


def sign_in_address(address: str) -> str:
    """Where to sign in before going to an address."""
    return f"/signin?next={quote(local_address(address), safe='/')}"


# ----------------------------------------------------------------------------------------------- forms


async def read_form(request: Request) -> dict[str, str]:
    """A form's fields, each once.

    Raises:
        HTTPException: 415 no form; 413 too large; 403 sent by another site.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise HTTPException(415, "expected a form (application/x-www-form-urlencoded)")
    _refuse_other_sites(request)
    body = await request.body()
    if len(body) > MOST_FORM_BYTES:
        raise HTTPException(413, f"the form has {len(body):,} bytes, at most {MOST_FORM_BYTES:,} are read")
    try:
        fields = parse_qs(body.decode("ascii"), max_num_fields=20, errors="strict")
    except ValueError as error:
        raise HTTPException(422, "the form cannot be read; send it from its page") from error
    return {name: values[0] for name, values in fields.items()}


FORM = Annotated[dict[str, str], Depends(read_form)]


def _refuse_other_sites(request: Request) -> None:
    """Browsers say where a form comes from (Fetch Metadata, Origin before it); others need the key alone."""
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    own = {request.headers.get("host", "")} | ({urlsplit(parts_of(request).public_url or "").netloc} - {""})
    if site is not None:
        is_foreign = site not in {"same-origin", "none"}
    else:
        is_foreign = origin is not None and urlsplit(origin).netloc not in own
    if is_foreign:
        raise HTTPException(403, "this form was sent from another site; open the page here and send it again")


def check_form(visitor: Visitor, form: dict[str, str]) -> None:
    """Raises HTTPException (403): the form is not one that this sign-in was given."""
    if not hmac.compare_digest(form.get("form_key", "").encode(), visitor.form_key.encode()):
        raise HTTPException(403, "this form is of another sign-in; open the page again and send it there")


ADMIN_VISITS = Annotated[Visitor, Depends(visit(Role.ADMIN))]
MEMBER_VISITS = Annotated[Visitor, Depends(visit(Role.ADMIN, Role.MEMBER))]
OWN_VISITS = Annotated[Visitor, Depends(visit(Role.ADMIN, Role.SELF))]
ANY_VISITS = Annotated[Visitor, Depends(visit(Role.ADMIN, Role.MEMBER, Role.SELF))]
