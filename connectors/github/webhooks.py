"""Webhook deliveries: the digest is checked on the raw bytes, then the payload is read. No I/O."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from connectors.github import WebhookError
from connectors.github.events import (
    Account,
    CheckRef,
    CommentRef,
    Event,
    MergeGroupRef,
    PullRef,
    PushRef,
    RepositoryRef,
    ThreadRef,
)
from connectors.github.payload import Json, is_true, number, part, record, records, text

MAX_BYTES = 25 * 2**20  # https://docs.github.com/webhooks/webhook-events-and-payloads#payload-cap


class DigestError(WebhookError):
    """The digest is missing or not ours: answer 401."""


class TooLargeError(WebhookError):
    """The body is larger than GitHub sends: answer 413."""


class MalformedError(WebhookError):
    """The body is no JSON object, or a header is missing: answer 400."""


@dataclass(frozen=True, slots=True)
class Secrets:
    """The webhook secret, and while it is being changed the one before it.

    Raises:
        WebhookError: a secret is empty; deliveries could not be told from forgeries.
    """

    current: str
    previous: str | None = None

    def __post_init__(self) -> None:
        if not self.current or self.previous == "":
            raise WebhookError(
                "expected a webhook secret, saw none; set ROUTEPRINT_GITHUB_WEBHOOK_SECRET to the "
                "secret of the app's settings (`routeprint github setup` makes one)"
            )

    def __repr__(self) -> str:
        return "Secrets(***)"


def digest_of(body: bytes, secret: str) -> str:
    """The X-Hub-Signature-256 header of a body."""
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


# https://docs.github.com/webhooks/using-webhooks/validating-webhook-deliveries#validating-webhook-deliveries
def verify_digest(body: bytes, header: str, secrets: Secrets) -> None:
    """Compare in constant time, as bytes: `compare_digest` raises on text that is not ASCII.

    Raises:
        DigestError: the header fits none of the secrets.
    """
    seen = header.encode("utf-8", "surrogateescape")
    known = [secret for secret in (secrets.current, secrets.previous) if secret is not None]
    fits = [hmac.compare_digest(digest_of(body, secret).encode(), seen) for secret in known]
    if not any(fits):
        raise DigestError(
            "expected X-Hub-Signature-256 made with our secret, saw another or none; check the secret"
        )


# https://docs.github.com/webhooks/webhook-events-and-payloads#delivery-headers
def read_delivery(
    headers: Mapping[str, str], body: bytes, secrets: Secrets, *, max_bytes: int = MAX_BYTES
) -> Event:
    """Judge and read one delivery: size, digest, then JSON.

    Args:
        headers: by any case of name.

    Raises:
        TooLargeError, DigestError, MalformedError: see there.
    """
    if len(body) > max_bytes:
        raise TooLargeError(f"expected at most {max_bytes:,} bytes, saw {len(body):,}")
    lower = {name.lower(): value for name, value in headers.items()}
    verify_digest(body, lower.get("x-hub-signature-256", ""), secrets)
    name, delivery = lower.get("x-github-event", ""), lower.get("x-github-delivery", "")
    if not name or not delivery:
        raise MalformedError("expected the headers X-GitHub-Event and X-GitHub-Delivery; one is missing")
    return parse_event(name, delivery, body)


def parse_event(name: str, delivery: str, body: bytes) -> Event:
    """Read a payload.

    Raises:
        MalformedError: the body is no JSON object.
    """
    try:
        payload = json.loads(body)
    except (ValueError, RecursionError) as error:
        advice = "set the webhook's content type to application/json"
        raise MalformedError(f"expected a JSON body, saw {body[:20]!r}...; {advice}") from error
    if not isinstance(payload, dict):
        raise MalformedError(f"expected a JSON object, saw a {type(payload).__name__}")
    return read_event(name, delivery, payload)


def read_event(name: str, delivery: str, payload: Json) -> Event:
    """Read a parsed payload; parts that are missing stay empty."""
    repository = read_repository(record(payload, "repository")) if "repository" in payload else None
    return Event(
        name, text(payload, "action"), delivery, read_account(record(payload, "sender")),
        installation=number(payload, "installation", "id"),
        account=_account(payload), repository=repository,
        pull=read_pull(record(payload, "pull_request")) if "pull_request" in payload else None,
        check=_check(payload), comment=_comment(payload),
        push=_push(payload) if name == "push" else None,
        merge_group=_merge_group(record(payload, "merge_group")) if "merge_group" in payload else None,
        thread=_thread(record(payload, "thread")) if "thread" in payload else None,
        previous_name=_previous_name(payload, repository),
        is_base_changed="base" in record(payload, "changes"),
        added=_repositories(payload, "repositories", "repositories_added"),
        removed=_repositories(payload, "repositories_removed"),
        member=_member(payload),
    )  # fmt: skip


def read_account(value: Json) -> Account:
    """A user, bot or organisation."""
    return Account(number(value, "id"), text(value, "login"), text(value, "type") == "Bot")


def read_repository(value: Json) -> RepositoryRef:
    """A repository."""
    is_private = part(value, "private") is not False
    return RepositoryRef(
        number(value, "id"), text(value, "full_name"), text(value, "default_branch"), is_private
    )


def read_pull(value: Json) -> PullRef:
    """A pull request, from an event or from the API."""
    return PullRef(
        number(value, "number"), text(value, "head", "sha"), text(value, "base", "sha"),
        text(value, "base", "ref"),
        read_account(record(value, "user")),
        head_repository=number(value, "head", "repo", "id") or None,
        is_draft=is_true(value, "draft"),
        is_open=text(value, "state") != "closed",
        is_merged=is_true(value, "merged") or bool(text(value, "merged_at")),
        merge_commit_sha=text(value, "merge_commit_sha"),
    )  # fmt: skip


def _account(payload: Json) -> Account | None:
    found = record(payload, "installation", "account") or record(payload, "organization")
    return read_account(found) if found else None


def _check(payload: Json) -> CheckRef | None:
    run, suite = record(payload, "check_run"), record(payload, "check_suite")
    if not run and not suite:
        return None
    found = run or suite
    button = text(payload, "requested_action", "identifier")
    return CheckRef(
        number(run, "id"),
        number(found, "app", "id"),
        text(found, "head_sha"),
        text(run, "external_id"),
        button,
    )


def _comment(payload: Json) -> CommentRef | None:
    found, issue = record(payload, "comment"), record(payload, "issue")
    if not found or not issue:
        return None
    # https://docs.github.com/webhooks/webhook-events-and-payloads#issue_comment: pull requests are issues too
    is_on_pull = isinstance(part(issue, "pull_request"), Mapping)
    author = read_account(record(found, "user"))
    return CommentRef(
        number(found, "id"), number(issue, "number"), text(found, "body"), author, is_on_pull,
        _moment(found, "created_at"),
    )  # fmt: skip


def _moment(value: Json, key: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text(value, key).replace("Z", "+00:00"))
    except ValueError:
        return None
    return found if found.tzinfo else None


def _push(payload: Json) -> PushRef:
    forced, deleted = is_true(payload, "forced"), is_true(payload, "deleted")
    return PushRef(text(payload, "ref"), text(payload, "before"), text(payload, "after"), forced, deleted)


def _merge_group(value: Json) -> MergeGroupRef:
    return MergeGroupRef(text(value, "head_sha"), text(value, "base_sha"), text(value, "base_ref"))


def _thread(value: Json) -> ThreadRef:
    first = next(iter(records(value, "comments")), {})
    began = text(first, "original_commit_id") if number(first, "original_line") else ""
    line = 0 if text(first, "side") == "LEFT" else number(first, "original_line" if began else "line")
    return ThreadRef(
        text(value, "node_id"), text(first, "path"), line, text(first, "body"),
        read_account(record(first, "user")), _moment(first, "created_at"), began,
    )  # fmt: skip


def _previous_name(payload: Json, repository: RepositoryRef | None) -> str:
    if repository is None:
        return ""
    owner, _, name = repository.full_name.partition("/")
    old_name = text(payload, "changes", "repository", "name", "from")
    source = record(payload, "changes", "owner", "from")
    old_owner = text(source, "user", "login") or text(source, "organization", "login")
    return f"{old_owner or owner}/{old_name or name}" if old_name or old_owner else ""


def _repositories(payload: Json, *keys: str) -> tuple[RepositoryRef, ...]:
    return tuple(read_repository(found) for key in keys for found in records(payload, key))


def _member(payload: Json) -> Account | None:
    found = record(payload, "member") or record(payload, "membership", "user")
    return read_account(found) if found else None
