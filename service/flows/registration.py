"""Registering the GitHub app from this machine, and where its secrets lie afterwards."""

from __future__ import annotations

import html
import json
import os
import secrets
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from connectors.github.app import AppKey
from connectors.github.client import Dials
from connectors.github.manifest import NewApp, build_manifest, convert_code, registration_url
from connectors.github.webhooks import Secrets
from service import ServiceError
from service.settings import Settings

FOLDER, APP_FILE, KEY_FILE = "github", "app.json", "private-key.pem"
_PAGE = """<!doctype html><meta charset="utf-8"><title>Routeprint</title>
<h1>Register Routeprint with GitHub</h1>
<p>The app will be able to read code and pull requests, and to write checks and comments. You can look at
everything on the next page, before anything is made.</p>
<form method="post" action="{action}"><input type="hidden" name="manifest" value="{manifest}">
<button>Go to GitHub</button></form>
"""
_DONE = "<!doctype html><meta charset=utf-8><title>Routeprint</title><p>{sentence}</p>"


@dataclass(frozen=True, slots=True)
class StoredApp:
    """What the service needs to act as the app."""

    key: AppKey
    secrets: Secrets
    slug: str = ""


def dials_of(settings: Settings) -> Dials:
    """How requests to GitHub are made."""
    return Dials(
        url=settings.github_url.rstrip("/"),
        timeout_s=settings.github_timeout_s,
        write_pause_s=settings.github_write_pause_s,
        max_wait_s=settings.github_max_wait_s,
    )


def load_app(settings: Settings) -> StoredApp:
    """The app's key and secrets: from the settings, else from what was stored at registration.

    Raises:
        ServiceError: something is missing.
    """
    folder = settings.home / FOLDER
    stored = _read_json(folder / APP_FILE)
    identity = settings.github_app_id or str(stored.get("id", ""))
    place = settings.github_private_key_file or folder / KEY_FILE
    current = settings.github_webhook_secret
    secret = current.get_secret_value() if current else str(stored.get("webhook_secret", ""))
    if not identity or not place.is_file():
        seen = "no id of one" if not identity else f"no private key at {place}"
        raise ServiceError(
            f"expected a GitHub app, saw {seen}; register one with `routeprint github setup`, or set "
            "ROUTEPRINT_GITHUB_APP_ID, ROUTEPRINT_GITHUB_PRIVATE_KEY_FILE and "
            "ROUTEPRINT_GITHUB_WEBHOOK_SECRET"
        )
    before = settings.github_webhook_secret_previous
    both = Secrets(secret, before.get_secret_value() if before else None)
    key = AppKey(int(identity) if identity.isdigit() else identity, _read_text(place))
    return StoredApp(key, both, str(stored.get("slug", "")))


def find_app(settings: Settings) -> StoredApp | None:
    """The app that is configured, or None where none is; half an app is refused.

    Raises:
        ServiceError, WebhookError: part of the app is missing.
    """
    is_stored = (settings.home / FOLDER / APP_FILE).exists()
    if settings.github_app_id is None and settings.github_webhook_secret is None and not is_stored:
        return None
    return load_app(settings)


def _read_text(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ServiceError(
            f"the private key {path} cannot be read ({error}); check whose file it is"
        ) from error


def _read_json(path: Path) -> dict[str, object]:
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise ServiceError(f"{path} cannot be read as JSON: {error}; remove it and register again") from error


def store_app(app: NewApp, home: Path) -> Path:
    """Keep a new app's key and secrets where only this user can read them. Returns the folder.

    Raises:
        ServiceError: there is an app already.
    """
    folder = home / FOLDER
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    facts = {name: value for name, value in asdict(app).items() if name != "private_key"}
    for name, text in ((KEY_FILE, app.private_key), (APP_FILE, json.dumps(facts, indent=1) + "\n")):
        try:
            descriptor = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError as error:
            raise ServiceError(
                f"{folder / name} exists already; move it away to register another app"
            ) from error
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
    return folder


def check_unregistered(home: Path) -> None:
    """Raises ServiceError if an app is stored; GitHub shows a new one's key only once, so look before."""
    for name in (KEY_FILE, APP_FILE):
        if (home / FOLDER / name).exists():
            raise ServiceError(f"{home / FOLDER / name} exists already; move it away to register another app")


class _Registration(ThreadingHTTPServer):
    """Serves the page, and takes the code that GitHub's redirect brings."""

    daemon_threads = True

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.state = secrets.token_urlsafe(24)
        self.page = b""
        self.code = ""
        self.arrived = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: _Registration  # pyright: ignore[reportIncompatibleVariableOverride]

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name that http.server has
        """The address holds the code; it is not logged."""

    def do_GET(self) -> None:
        path, query = urlsplit(self.path).path, parse_qs(urlsplit(self.path).query)
        if path == "/":
            self._send(200, self.server.page)
        elif path == "/callback":
            self._take(query)
        else:
            self._send(404, b"")

    def _take(self, query: dict[str, list[str]]) -> None:
        state, code = query.get("state", [""])[0], query.get("code", [""])[0]
        if not code or not secrets.compare_digest(state.encode(), self.server.state.encode()):
            self._send(400, _DONE.format(sentence="This is not the answer to our question.").encode())
            return
        self._send(200, _DONE.format(sentence="Done. The terminal says how it goes on.").encode())
        self.server.code = code
        self.server.arrived.set()

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
        self.send_header("Referrer-Policy", "no-referrer")
        self.end_headers()
        self.wfile.write(body)


def register_app(
    settings: Settings,
    name: str,
    public_url: str,
    *,
    organisation: str | None = None,
    port: int = 0,
    wait_s: float = 3600.0,
    on_ready: Callable[[str], None],
) -> tuple[NewApp, Path]:
    """Show a local page that posts the manifest to GitHub, and wait for GitHub's answer.

    Args:
        on_ready: told the page's address.
        wait_s: a manifest's code is valid for an hour.

    Raises:
        ServiceError: an app exists already, or nobody came. ConnectorError: GitHub refused the code.
    """
    check_unregistered(settings.home)
    if urlsplit(public_url).scheme != "https":
        raise ServiceError(f"expected an https:// address that GitHub can reach, saw {public_url!r}")
    server = _Registration(port)
    manifest = build_manifest(name, public_url, f"{server.url}/callback")
    action = registration_url(settings.github_url, organisation, server.state)
    shown = _PAGE.format(action=html.escape(action), manifest=html.escape(json.dumps(manifest)))
    server.page = shown.encode()
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        on_ready(server.url)
        if not server.arrived.wait(wait_s):
            raise ServiceError("nobody finished the registration on GitHub; run the command again")
    finally:
        server.shutdown()
        server.server_close()
    app = convert_code(dials_of(settings), server.code)
    return app, store_app(app, settings.home)
