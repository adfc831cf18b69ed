"""The app's identity: a signed assertion for itself, short-lived credentials for each installation."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote

import jwt
from github import Auth
from jwt.algorithms import RSAAlgorithm

from connectors.github import GitHubError
from connectors.github.client import Client, Dials, Pacer
from connectors.github.events import Account, RepositoryRef
from connectors.github.payload import Json, number, record, text
from connectors.github.webhooks import read_account, read_repository

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

# Nothing else is asked for: https://docs.github.com/rest/authentication/permissions-required-for-github-apps
PERMISSIONS = {"metadata": "read", "contents": "read", "pull_requests": "write", "checks": "write"}
READ_ONLY = {"metadata": "read", "contents": "read", "pull_requests": "read"}
EVENTS = (
    "check_run", "check_suite", "issue_comment", "member", "merge_group", "organization", "pull_request",
    "pull_request_review_comment", "pull_request_review_thread", "push", "repository",
)  # fmt: skip
RENEW_BEFORE_S = 120.0  # of the hour that a credential lives


@dataclass(frozen=True, slots=True)
class AppKey:
    """Who the app is. id: its number or client id; private_key: PEM, never shown."""

    id: int | str
    private_key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Installation:
    """Where the app is installed, and what it may do there."""

    id: int
    account: Account
    permissions: Mapping[str, str]
    events: tuple[str, ...]
    is_suspended: bool


@dataclass(frozen=True, slots=True)
class _Credential:
    text: str
    expires_at: float


class App:
    """Makes clients. Credentials live in memory only, and are minted again before they expire."""

    def __init__(
        self,
        key: AppKey,
        dials: Dials,
        *,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Make an app.

        Raises:
            GitHubError: the private key cannot be read.
        """
        self.key, self.dials = key, dials
        self._clock, self._sleep = clock, sleep
        self._pacer = Pacer(dials.write_pause_s, sleep=sleep)
        self._lock = threading.Lock()
        self._credentials: dict[tuple[object, ...], _Credential] = {}
        # assertions are valid for 5 minutes and dated back one, for clocks that differ
        auth = Auth.AppAuth(key.id, sign_func=_signer(key.private_key))
        self._client = self._make(lambda _: auth.create_jwt())

    def _make(self, credential: Callable[[bool], str]) -> Client:
        return Client(self.dials, credential, self._pacer, clock=self._clock, sleep=self._sleep)

    @property
    def client(self) -> Client:
        """The app itself: for /app and for finding installations."""
        return self._client

    def installation_client(
        self,
        installation: int,
        repositories: tuple[int, ...] = (),
        permissions: Mapping[str, str] = PERMISSIONS,
    ) -> Client:
        """A client that can do no more than it needs.

        Args:
            installation: its id.
            repositories: ids; () means all of the installation's. At most 500.
        """
        return self._make(
            lambda is_refused: self.credential(installation, repositories, permissions, is_refused=is_refused)
        )

    def credential(
        self,
        installation: int,
        repositories: tuple[int, ...] = (),
        permissions: Mapping[str, str] = READ_ONLY,
        *,
        is_refused: bool = False,
    ) -> str:
        """A token, as git needs one to fetch: held until shortly before it expires.

        Args:
            is_refused: GitHub did not take the last one; mint another.
        """
        key = (installation, tuple(sorted(repositories)), tuple(sorted(permissions.items())))
        with self._lock:
            held = self._credentials.get(key)
            if held is None or is_refused or held.expires_at - RENEW_BEFORE_S < self._clock():
                held = self._credentials[key] = self._mint(installation, repositories, permissions)
            return held.text

    # https://docs.github.com/rest/apps/apps#create-an-installation-access-token-for-an-app
    def _mint(
        self, installation: int, repositories: tuple[int, ...], permissions: Mapping[str, str]
    ) -> _Credential:
        body: dict[str, object] = {"permissions": dict(permissions)}
        body |= {"repository_ids": sorted(repositories)} if repositories else {}
        made = self._client.create(f"/app/installations/{installation}/access_tokens", body)
        expires_at = datetime.fromisoformat(text(made, "expires_at").replace("Z", "+00:00"))
        return _Credential(text(made, "token"), expires_at.timestamp())

    def forget(self, installation: int) -> None:
        """Drop an installation's credentials, when it was deleted or suspended."""
        with self._lock:
            self._credentials = {
                key: held for key, held in self._credentials.items() if key[0] != installation
            }

    def installations(self) -> tuple[Installation, ...]:
        """Where the app is installed."""
        return tuple(_installation(found) for found in self._client.pages("/app/installations"))

    def installation_of(self, full_name: str) -> Installation:
        """The installation that covers a repository. Raises GoneError if there is none."""
        return _installation(self._client.get(f"/repos/{full_name}/installation").json)

    def slug(self) -> str:
        """The app's name in addresses; its bot is ``SLUG[bot]``."""
        return text(self._client.get("/app").json, "slug")


@lru_cache(maxsize=4)
def _signer(private_key: str) -> Callable[[dict[str, Any]], str]:
    """Signs assertions. Reading a key costs many times what signing does, so it is read once.

    Raises:
        GitHubError: it is no private key.
    """
    try:
        key = cast("RSAPrivateKey", RSAAlgorithm(RSAAlgorithm.SHA256).prepare_key(private_key))
        jwt.encode({}, key, "RS256")
    except (ValueError, TypeError, jwt.PyJWTError) as error:
        raise GitHubError(f"expected the app's private key in PEM, saw something else: {error}") from error
    return lambda claims: jwt.encode(claims, key, "RS256")


def bot_account(client: Client, slug: str) -> Account:
    """The account that the app writes as. client: an installation's, for assertions may not read users."""
    return read_account(client.get(f"/users/{quote(slug + '[bot]', safe='')}").json)


def repositories(client: Client) -> tuple[RepositoryRef, ...]:
    """The repositories that an installation's client sees."""
    return tuple(
        read_repository(found) for found in client.pages("/installation/repositories", "repositories")
    )


def permission_of(client: Client, full_name: str, login: str) -> str:
    """admin, write, read or none. Raises GoneError: no such person."""
    # https://docs.github.com/rest/collaborators/collaborators#get-repository-permissions-for-a-user
    return text(
        client.get(f"/repos/{full_name}/collaborators/{quote(login, safe='')}/permission").json, "permission"
    )


def may_write(permission: str) -> bool:
    """Whether a permission is enough to give a command. GitHub reports maintain as write, triage as read."""
    return permission in {"admin", "write"}


def _installation(value: Json) -> Installation:
    permissions = {name: str(level) for name, level in record(value, "permissions").items()}
    events = tuple(str(event) for event in value.get("events", ()))
    suspended = bool(text(value, "suspended_at"))
    return Installation(
        number(value, "id"), read_account(record(value, "account")), permissions, events, suspended
    )
