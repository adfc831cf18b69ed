"""Is the service set up well for GitHub? What lies here first, then what GitHub says."""

from __future__ import annotations

import stat
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from connectors import ConnectorError
from connectors.github.app import App
from connectors.github.doctor import Finding, State, examine
from connectors.github.manifest import WEBHOOK_PATH
from service import ServiceError
from service.flows.registration import FOLDER, KEY_FILE, StoredApp, dials_of, load_app
from service.settings import Settings

SHORTEST_SECRET = 20
_REACH_TIMEOUT_S = 10


def diagnose(settings: Settings) -> tuple[Finding, ...]:
    """Every check, in the order in which things depend on each other."""
    return tuple(_checks(settings))


def is_well(findings: tuple[Finding, ...]) -> bool:
    """Whether nothing failed; warnings are no failures."""
    return all(found.state is not State.FAILED for found in findings)


def _checks(settings: Settings) -> Iterator[Finding]:
    try:
        stored = load_app(settings)
    except (ServiceError, ConnectorError) as error:
        yield Finding("app", State.FAILED, str(error), "run `routeprint github setup`")
        return
    yield _secret(stored)
    try:
        app = App(stored.key, dials_of(settings))
    except ConnectorError as error:
        yield Finding("private key", State.FAILED, str(error), "make a new key on the app's settings page")
        return
    yield _key_file(settings.github_private_key_file or settings.home / FOLDER / KEY_FILE)
    base = settings.public_url.rstrip("/") if settings.public_url else None
    yield from examine(app, None if base is None else base + WEBHOOK_PATH)
    yield _reach(base)


def _secret(stored: StoredApp) -> Finding:
    if len(stored.secrets.current) < SHORTEST_SECRET:
        seen = f"the webhook secret has {len(stored.secrets.current)} characters"
        return Finding("secret", State.WARNING, seen, f"use {SHORTEST_SECRET} or more, made at random")
    more = ", and the one before it" if stored.secrets.previous else ""
    return Finding("secret", State.OK, f"set{more}")


def _key_file(place: Path) -> Finding:
    mode = stat.S_IMODE(place.stat().st_mode)
    if mode & 0o077:
        seen = f"{place} can be read by others (mode {mode:04o})"
        return Finding("private key", State.WARNING, seen, f"chmod 600 {place}")
    return Finding("private key", State.OK, "it signs")


def _reach(base: str | None) -> Finding:
    """Any answer will do: what matters is that something of ours listens there."""
    if base is None:
        return Finding("reachability", State.UNKNOWN, "no public address is set", "set ROUTEPRINT_PUBLIC_URL")
    try:
        request = urllib.request.Request(f"{base}/healthz", headers={"User-Agent": "routeprint"})  # noqa: S310 - the operator's own address
        with urllib.request.urlopen(request, timeout=_REACH_TIMEOUT_S) as answer:  # noqa: S310 - as above
            return Finding(
                "reachability", State.OK, f"{base} answers with {answer.status}, from this machine"
            )
    except urllib.error.HTTPError as error:
        advice = "a proxy answers, or the service is old; look at its log"
        return Finding("reachability", State.WARNING, f"{base} answers with {error.code}", advice)
    except (OSError, ValueError) as error:
        advice = "start the service, or open the way to it"
        return Finding("reachability", State.FAILED, f"{base} does not answer: {error}", advice)
