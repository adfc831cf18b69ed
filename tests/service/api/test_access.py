"""Who may see what: every endpoint by every role, people's data, limits, and what is written down."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from datetime import timedelta

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient
from sqlmodel import col

from service.api.app import create_app, routed_app
from service.api.description import describe
from service.api.limits import Buckets
from service.api.parts import Parts
from service.db.columns import now
from service.db.queries.people import forget_author
from service.db.queries.tokens import create_token, digest_of, revoke_token
from service.db.session import Database
from service.db.states import Role
from service.db.tables import ApiToken, AuditEvent, Author
from tests.service.api.rows import Rows

Token = Callable[..., dict[str, str]]
PUBLIC = {"/healthz", "/readyz", "/webhooks/github"}
OPEN_TO_SELF = {
    "GET /v1/authors", "GET /v1/authors/{id}", "GET /v1/authors/{id}/report", "GET /v1/signatures",
    "GET /v1/signatures/{id}",
}  # fmt: skip
OPEN_TO_ADMIN_ALONE = {"POST /v1/jobs/{id}/cancel"}


def guarded() -> list[tuple[str, str]]:
    """Every operation that is not public, from the description, so that a new one is met by these tests."""
    paths = describe(routed_app(has_webhooks=True))["paths"]
    return [(verb.upper(), path) for path in paths if path not in PUBLIC for verb in paths[path]]


def ask(client: TestClient, verb: str, path: str, headers: dict[str, str]) -> int:
    address = path.replace("{id}", "rp-1.1" if "jobs" in path else "1")
    body = {"repository": "shop", "diff": ""} if (verb, path) == ("POST", "/v1/reviews") else None
    return client.request(verb, address, headers=headers, json=body).status_code


@pytest.mark.parametrize(("verb", "path"), guarded(), ids=lambda part: part)
def test_every_endpoint_knows_its_roles(
    client: TestClient, rows: Rows, token: Token, verb: str, path: str
) -> None:
    name = f"{verb} {path}"
    for headers in ({}, {"Authorization": "Bearer rp_" + "x" * 43}, {"Authorization": "Basic eDp5"}):
        assert ask(client, verb, path, headers) == 401
    if path.endswith("/events"):
        return  # a stream: tested with the jobs
    is_refused = {
        Role.ADMIN: False,
        Role.MEMBER: name in OPEN_TO_ADMIN_ALONE,
        Role.SELF: name not in OPEN_TO_SELF,
    }
    for role, refused in is_refused.items():
        headers = token(role, rows.ann if role is Role.SELF else None)
        status = ask(client, verb, path, headers)
        is_report_of_another = path.endswith("/report") and role is Role.MEMBER
        assert (status == 403) == (refused or is_report_of_another), (role, status)
        assert status < 500 and status != 401


def names(client: TestClient, headers: dict[str, str], query: str = "") -> list[tuple[str, str]]:
    found = client.get(f"/v1/authors{query}", headers=headers).json()["items"]
    return [(author["repository"], author["key"]) for author in found]


def test_people_are_seen_by_themselves_and_where_they_agreed(
    client: TestClient, rows: Rows, token: Token
) -> None:
    member, admin = token(Role.MEMBER), token(Role.ADMIN)
    assert names(client, member) == [("acme/shop", "human:ann"), ("acme/shop", "agent:claude")]
    assert len(names(client, admin)) == 6
    assert len(names(client, admin, f"?repository={rows.tools}")) == 2
    # one account in two repositories is one person; one name is not
    assert names(client, token(Role.SELF, rows.ann)) == [
        ("acme/shop", "human:ann"), ("acme/tools", "human:ann-lee"),
    ]  # fmt: skip
    assert names(client, token(Role.SELF, rows.eve)) == [("acme/shop", "human:eve")]
    for other in (rows.bob, rows.eve, 999):
        assert client.get(f"/v1/authors/{other}", headers=member).status_code == 404


def test_a_report_is_for_its_author_and_says_who_looked(client: TestClient, rows: Rows, token: Token) -> None:
    own = token(Role.SELF, rows.ann)
    assert client.get(f"/v1/authors/{rows.ann}", headers=token(Role.MEMBER)).status_code == 200
    report = client.get(f"/v1/authors/{rows.ann}/report", headers=own).json()
    assert report["aliases"][0]["email"] == "ann@example.com"
    assert [consent["state"] for consent in report["consents"]] == ["given"]
    assert [one["scope"] for one in report["signatures"]] == ["author:human:ann"]
    assert [(event["what"], event["who"]) for event in report["events"]] == [
        ("author.read", "token 2 (test member)"), ("consent given", "admin"),
    ]  # fmt: skip
    assert client.get(f"/v1/authors/{rows.bob}/report", headers=own).status_code == 404
    assert client.get(f"/v1/authors/{rows.ann}/report", headers=token(Role.MEMBER)).status_code == 403


def test_own_signatures_are_seen_with_their_author_only(client: TestClient, rows: Rows, token: Token) -> None:
    def scopes(headers: dict[str, str]) -> list[str]:
        return [one["scope"] for one in client.get("/v1/signatures", headers=headers).json()["items"]]

    assert scopes(token(Role.ADMIN)) == ["author:human:eve", "author:human:ann", "team:"]
    assert scopes(token(Role.MEMBER)) == ["author:human:ann", "team:"]
    assert scopes(token(Role.SELF, rows.eve)) == ["author:human:eve"]
    headers = token(Role.SELF, rows.eve)
    assert client.get(f"/v1/signatures/{rows.own_signature}", headers=headers).status_code == 404
    assert client.get(f"/v1/signatures/{rows.team_signature}", headers=headers).status_code == 404


def test_every_read_of_a_person_is_written_down(
    client: TestClient, database: Database, rows: Rows, token: Token
) -> None:
    headers = token(Role.MEMBER)
    client.get("/v1/authors", headers=headers)
    client.get(f"/v1/authors/{rows.agent}", headers=headers)  # no person
    client.get(f"/v1/signatures/{rows.own_signature}", headers=headers)
    client.get(f"/v1/signatures/{rows.team_signature}", headers=headers)
    client.get(f"/v1/authors/{rows.eve}", headers=headers)  # not seen, so not read
    wanted = sa.select(AuditEvent).where(col(AuditEvent.what) == "author.read").order_by(col(AuditEvent.id))
    with database.reading() as session:
        events = [(event.who, event.target) for event in session.scalars(wanted)]
    assert events == [("token 1 (test member)", f"author {rows.ann}")] * 2


def test_jobs_about_a_person_say_so_to_administrators_alone(
    client: TestClient, rows: Rows, token: Token
) -> None:
    def job(role: Role) -> str:
        return client.get("/v1/jobs/profile-1", headers=token(role)).text

    assert "human:eve" in job(Role.ADMIN) and "too little" in job(Role.ADMIN)
    assert "eve" not in job(Role.MEMBER).lower()
    listed = client.get("/v1/jobs", headers=token(Role.MEMBER)).text
    assert "profile-1" in listed and "eve" not in listed.lower() and "secret" not in listed


def test_revoked_and_expired_tokens_are_worth_nothing(client: TestClient, database: Database) -> None:
    def answer(secret: str) -> int:
        return client.get("/v1/jobs", headers={"Authorization": f"Bearer {secret}"}).status_code

    with database.writing() as session:
        good, secret = create_token(session, "good", Role.MEMBER)
        _, old = create_token(session, "old", Role.MEMBER, expires_at=now() - timedelta(seconds=1))
        row = session.scalars(sa.select(ApiToken).where(col(ApiToken.name) == "good")).one()
        assert secret not in str(row.model_dump()) and row.digest == digest_of(secret)
    assert (answer(secret), answer(old)) == (200, 401)
    with database.reading() as session:
        used = session.get_one(ApiToken, good.id).last_used_at
    assert used is not None and now() - used < timedelta(minutes=1)
    with database.writing() as session:
        revoke_token(session, good.id or 0, now())
    assert answer(secret) == 401


def test_a_persons_token_goes_with_them(
    client: TestClient, database: Database, rows: Rows, token: Token
) -> None:
    of_eve, of_namesake = token(Role.SELF, rows.eve), token(Role.SELF, rows.namesake)
    with database.writing() as session:
        forget_author(session, session.get_one(Author, rows.eve), "admin")
    assert client.get("/v1/authors", headers=of_eve).status_code == 401
    assert client.get("/v1/authors", headers=of_namesake).status_code == 200


def test_a_token_that_asks_too_often_waits(parts: Parts, database: Database, token: Token) -> None:
    time_s = [0.0]
    slow = dataclasses.replace(parts, buckets=Buckets(per_minute=6, burst=2, clock=lambda: time_s[0]))
    headers, other = token(Role.MEMBER), token(Role.MEMBER)
    with TestClient(create_app(slow)) as client:
        statuses = [client.get("/v1/jobs", headers=headers).status_code for _ in range(3)]
        assert statuses == [200, 200, 429]
        refused = client.get("/v1/jobs", headers=headers)
        assert refused.headers["retry-after"] == "10"
        assert refused.headers["content-type"] == "application/problem+json"
        assert client.get("/v1/jobs", headers=other).status_code == 200
        time_s[0] += 10
        assert client.get("/v1/jobs", headers=headers).status_code == 200


def test_secrets_have_256_bits_and_no_two_are_alike(database: Database) -> None:
    with database.writing() as session:
        secrets = {create_token(session, "x", Role.MEMBER)[1] for _ in range(50)}
    assert len(secrets) == 50
    assert all(re.fullmatch(r"rp_[\w-]{43}", secret) for secret in secrets)
