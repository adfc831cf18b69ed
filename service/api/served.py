"""How a page leaves the service: as files under hashed names, under one strict policy, errors too."""

from __future__ import annotations

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import RedirectResponse, Response

from service.api.browser import SignInError, Visitor, sign_in_address
from service.api.problems import title_of
from service.db.states import Role
from service.reports.pages.page import (
    SERVED_POLICY,
    Bar,
    WebPage,
    asset_name,
    asset_type,
    read_asset,
    render_served,
    served_assets,
)
from service.reports.pages.service import message_page

router = APIRouter(include_in_schema=False)
ASSETS = "/assets/"
_MACHINES = ("/v1/", "/webhooks/", "/metrics", "/healthz", "/readyz", "/openapi.json")
COMMON = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
HEADERS = {
    **COMMON,
    "Content-Security-Policy": SERVED_POLICY,
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cache-Control": "private, no-store",
}
"""With every page. No-store: nothing stays in a browser that somebody has signed out of."""


def show(page: WebPage, visitor: Visitor | None = None, status: int = 200) -> Response:
    """A page as it is sent."""
    text = render_served(page, lambda name: ASSETS + asset_name(name), _bar(visitor))
    return Response(text, status, HEADERS, media_type="text/html; charset=utf-8")


def _bar(visitor: Visitor | None) -> Bar:
    if visitor is None:
        return Bar((("Beginning", "/"),))
    links = [("Beginning", "/")]
    links += [("Authors", "/authors")] if visitor.caller.role is Role.ADMIN else []
    return Bar(tuple(links), visitor.caller.name, visitor.form_key if visitor.is_signed_in else "")


@router.get(ASSETS + "{name}")
def asset(name: str) -> Response:
    """A style or script; its name changes with its content, so a browser may keep it for ever."""
    known = served_assets().get(name)
    if known is None:
        raise HTTPException(404, "there is no such file; reload the page that named it")
    headers = {**COMMON, "Cache-Control": "public, max-age=31536000, immutable"}
    return Response(read_asset(known), headers=headers, media_type=asset_type(known))


def wants_page(request: Request) -> bool:
    """Whether an error is for a person: a browser asked, and for nothing that programs use."""
    is_page = not request.url.path.startswith(_MACHINES)
    return is_page and "text/html" in request.headers.get("accept", "")


def show_error(status: int, detail: str) -> Response:
    """An error as a page."""
    title = title_of(status)
    told = "There is no such page here." if detail == title else detail
    return show(message_page(status, title, told), status=status)


def ask_to_sign_in(error: SignInError) -> Response:
    """On to the form, and from there back to what was asked for."""
    return RedirectResponse(sign_in_address(error.address), 303, HEADERS)
