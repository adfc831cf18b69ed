"""Registering the app in one click: the manifest we hand over, and the code that GitHub hands back.

https://docs.github.com/apps/sharing-github-apps/registering-a-github-app-from-a-manifest
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from connectors.github import GitHubError
from connectors.github.app import EVENTS, PERMISSIONS
from connectors.github.client import Client, Dials, Pacer
from connectors.github.payload import number, text

WEBHOOK_PATH = "/webhooks/github"


@dataclass(frozen=True, slots=True)
class NewApp:
    """An app that GitHub has just made for us. Its secrets are shown once, here."""

    id: int
    slug: str
    client_id: str
    url: str
    private_key: str = field(repr=False)
    webhook_secret: str = field(repr=False)


def build_manifest(name: str, public_url: str, redirect_url: str) -> dict[str, Any]:
    """What the app is called, where it listens and what it may do: no more than it needs."""
    base = public_url.rstrip("/")
    return {
        "name": name,
        "url": base,
        "hook_attributes": {"url": base + WEBHOOK_PATH, "active": True},
        "redirect_url": redirect_url,
        "public": False,
        "default_permissions": dict(PERMISSIONS),
        "default_events": list(EVENTS),
        "description": "Compares a pull request with how this team writes code. It does not judge people.",
    }


def registration_url(api_url: str, organisation: str | None, state: str) -> str:
    """Where the manifest is posted to: of an organisation, or of whoever is signed in."""
    owner = f"organizations/{quote(organisation, safe='')}/" if organisation else ""
    return f"{web_url(api_url)}/{owner}settings/apps/new?{urlencode({'state': state})}"


def web_url(api_url: str) -> str:
    """The site that belongs to an API: github.com, a GHE.com subdomain, or a server's own host."""
    found = urlsplit(api_url)
    return f"{found.scheme}://{found.netloc.removeprefix('api.')}"


# https://docs.github.com/rest/apps/apps#create-a-github-app-from-a-manifest
def convert_code(dials: Dials, code: str, *, sleep: Callable[[float], None] = time.sleep) -> NewApp:
    """Exchange the code of the redirect for the app; it is valid for an hour, once.

    Raises:
        GitHubError: the code is unknown or used up, or GitHub gave no key.
    """
    client = Client(dials, lambda _: "", Pacer(0.0), sleep=sleep)
    made = client.create(f"/app-manifests/{quote(code, safe='')}/conversions", {})
    found = NewApp(
        number(made, "id"), text(made, "slug"), text(made, "client_id"), text(made, "html_url"),
        text(made, "pem"), text(made, "webhook_secret"),
    )  # fmt: skip
    if not (found.id and found.private_key and found.webhook_secret):
        raise GitHubError("expected an app with a key and a webhook secret, saw neither; register it again")
    return found
