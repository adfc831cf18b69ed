"""What a fake GitHub knows: plain, mutable records that tests build and look at."""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.contract.github.contract import MOMENT

APP_ID = 1001
SLUG = "routeprint"
BOT = f"{SLUG}[bot]"
PERMISSIONS = {"metadata": "read", "contents": "read", "pull_requests": "write", "checks": "write"}
EVENTS = (
    "check_run", "check_suite", "issue_comment", "member", "merge_group", "organization", "pull_request",
    "pull_request_review_comment", "pull_request_review_thread", "push", "repository",
)  # fmt: skip


@cache
def private_key() -> str:
    """The app's key, made once a session."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    ).decode()


@cache
def public_key(private: str) -> str:
    """The half that GitHub holds."""
    key = serialization.load_pem_private_key(private.encode(), None).public_key()
    return key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    ).decode()


@dataclass
class Pull:
    """A pull request. ``head_repo`` None: the fork was deleted. ``diff`` None: too large for the API."""

    number: int
    head_sha: str
    base_sha: str
    head_ref: str = "topic"
    base_ref: str = "main"
    user: str = "ada"
    title: str = "A change"
    state: str = "open"
    draft: bool = False
    head_repo: str | None = ""
    merged_at: str | None = None
    merge_commit_sha: str | None = None
    diff: str | None = ""
    files: list[dict[str, Any]] = field(default_factory=list)
    commits: list[dict[str, Any]] = field(default_factory=list)
    threads: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class Repo:
    """A repository with its people: login -> permission (admin, write, read, none)."""

    id: int
    owner: str
    name: str
    private: bool = True
    default_branch: str = "main"
    files: dict[tuple[str, str], str] = field(default_factory=dict)
    people: dict[str, str] = field(default_factory=dict)
    pulls: dict[int, Pull] = field(default_factory=dict)

    @property
    def full_name(self) -> str:
        return f"{self.owner}/{self.name}"


@dataclass
class Installation:
    """Where the app is installed, and what it may do there."""

    id: int
    account: str
    permissions: dict[str, str] = field(default_factory=lambda: dict(PERMISSIONS))
    events: tuple[str, ...] = EVENTS
    suspended_at: str | None = None


@dataclass
class Token:
    """A credential given out. ``repositories`` None: all of the installation's."""

    text: str
    installation: Installation
    expires_at: float
    permissions: dict[str, str]
    repositories: frozenset[int] | None


@dataclass
class Fault:
    """What goes wrong with the next ``times`` requests that fit.

    acts: the request is carried out before the answer is lost or replaced. cuts: the connection closes
    without an answer.
    """

    method: str
    pattern: str
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: Any = None
    acts: bool = False
    cuts: bool = False
    delay_s: float = 0.0
    times: int = 1


@dataclass
class World:
    """Everything. ``now`` is for what expires, and tests may set it; ``skew_s``: GitHub's clock."""

    now: float = field(default_factory=time.time)
    app_permissions: dict[str, str] = field(default_factory=lambda: dict(PERMISSIONS))
    app_events: tuple[str, ...] = EVENTS
    webhook_url: str = "https://routeprint.example/webhooks/github"
    installations: dict[int, Installation] = field(default_factory=dict)
    repos: dict[str, Repo] = field(default_factory=dict)
    renamed: dict[str, str] = field(default_factory=dict)
    tokens: dict[str, Token] = field(default_factory=dict)
    check_runs: dict[int, dict[str, Any]] = field(default_factory=dict)
    annotations: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    comments: dict[int, dict[str, Any]] = field(default_factory=dict)
    deliveries: list[dict[str, Any]] = field(default_factory=list)
    attempts: list[int] = field(default_factory=list)
    users: dict[str, int] = field(default_factory=lambda: {BOT: 5001})
    faults: list[Fault] = field(default_factory=list)
    log: list[tuple[str, str, int]] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    rate_limit: int = 5000
    rate_used: int = 0
    token_life_s: float = 3600.0
    skew_s: float = 0.0
    ids: itertools.count[int] = field(default_factory=lambda: itertools.count(9001))

    def add_repo(self, name: str = "acme/rocket", **known: Any) -> Repo:
        """A repository, and an installation on its owner's account."""
        owner, _, short = name.partition("/")
        repo = Repo(next(self.ids), owner, short, **known)
        self.repos[name] = repo
        if not any(found.account == owner for found in self.installations.values()):
            identity = next(self.ids)
            self.installations[identity] = Installation(identity, owner)
        return repo

    def user_id(self, login: str) -> int:
        """An id for every login, always the same."""
        return self.users.setdefault(login, next(self.ids))

    def comment(self, repo: Repo, number: int, login: str, body: str) -> dict[str, Any]:
        """Store a comment and return its record."""
        identity = next(self.ids)
        record = {"id": identity, "repo": repo.id, "number": number, "user": login, "body": body}
        self.comments[identity] = record | {"created_at": MOMENT, "updated_at": MOMENT}
        return self.comments[identity]

    def fail(self, method: str, pattern: str, status: int = 0, **more: Any) -> None:
        """Queue a fault; the first queued that fits a request is used."""
        self.faults.append(Fault(method, pattern, status, **more))
