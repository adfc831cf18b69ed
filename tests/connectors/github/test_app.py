"""Credentials, limits and repetition, against the fake over real HTTP."""

from __future__ import annotations

import logging
import threading
from dataclasses import replace

import pytest

from connectors.github import GitHubError, GoneError, RateLimitedError, RefusedError, UnavailableError
from connectors.github.app import App, AppKey, bot_account, may_write, permission_of, repositories
from connectors.github.client import Dials, Pacer
from connectors.github.limits import wait_for_limit
from connectors.github.redaction import redact
from tests.contract.github.world import APP_ID, BOT, SLUG, private_key

COMMENTS = "/repos/acme/rocket/issues/1/comments"
REPO = "/repos/acme/rocket"


def test_a_credential_is_narrow_and_is_kept(bench):
    repo, other = bench.repo(), bench.repo("acme/other")
    client = bench.client(repo)
    client.get(REPO)
    client.get(REPO)
    (token,) = bench.world.tokens.values()
    assert token.repositories == frozenset({repo.id})
    assert token.permissions["checks"] == "write"
    assert len(token.text) > 255
    assert bench.requests("POST", "access_tokens") == [201]
    with pytest.raises(GoneError):
        client.get(f"/repos/{other.full_name}")


def test_read_only_credentials_cannot_write(bench):
    repo = bench.repo()
    installation = next(iter(bench.world.installations))
    reader = bench.app.installation_client(installation, (repo.id,), {"pull_requests": "read"})
    with pytest.raises(RefusedError, match="lacks a permission"):
        reader.create(COMMENTS, {"body": "x"})
    assert bench.requests("POST", "comments") == [403]


def test_a_credential_is_minted_again_before_it_expires(bench):
    client = bench.client()
    client.get(REPO)
    bench.world.now += 3600 - 100
    client.get(REPO)
    assert bench.requests("POST", "access_tokens") == [201, 201]
    assert 401 not in [status for _, _, status in bench.world.log]


def test_a_revoked_credential_is_replaced_once(bench):
    client = bench.client()
    client.get(REPO)
    bench.world.tokens.clear()
    assert client.get(REPO).status == 200
    assert bench.requests("GET", "rocket") == [200, 401, 200]


def test_a_wrong_key_is_said_in_a_sentence(bench):
    with pytest.raises(GitHubError, match="private key in PEM"):
        App(AppKey(1, "not a key"), bench.app.dials)
    stranger = App(AppKey(APP_ID + 1, private_key()), bench.app.dials, sleep=bench.waits.append)
    with pytest.raises(RefusedError, match="this machine's clock"):
        stranger.slug()


def test_finding_installations_people_and_the_bot(bench):
    repo = bench.repo(people={"ada": "write", "eve": "read"})
    client = bench.client(repo)
    assert bench.app.installation_of("acme/rocket").account.login == "acme"
    assert [i.account.login for i in bench.app.installations()] == ["acme"]
    assert [r.full_name for r in repositories(client)] == ["acme/rocket"]
    assert bench.app.slug() == SLUG
    bot = bot_account(client, SLUG)
    assert (bot.login, bot.id, bot.is_bot) == (BOT, bench.world.users[BOT], True)
    assert may_write(permission_of(client, "acme/rocket", "ada"))
    assert not may_write(permission_of(client, "acme/rocket", "eve"))
    assert not may_write(permission_of(client, "acme/rocket", "stranger"))


def test_a_suspended_installation_gives_nothing(bench):
    client = bench.client()
    next(iter(bench.world.installations.values())).suspended_at = "2026-01-05T09:00:00Z"
    with pytest.raises(RefusedError, match="suspended"):
        client.get(REPO)


def test_lists_are_read_to_their_end(bench):
    repo = bench.repo()
    for n in range(230):
        bench.world.comment(repo, 1, "ada", f"comment {n}")
    found = list(bench.client(repo).pages(COMMENTS))
    assert [c["body"] for c in found] == [f"comment {n}" for n in range(230)]
    assert bench.requests("GET", "comments") == [200, 200, 200]


def test_an_unchanged_answer_costs_nothing(bench):
    client = bench.client()
    first = client.get(REPO)
    used = bench.world.rate_used
    again = client.get(REPO, etag=first.headers["etag"])
    assert (again.status, bench.world.rate_used) == (304, used)


# -------------------------------------------------------------------------------------------- faults


def test_retry_after_is_obeyed(bench):
    client = bench.client()
    bench.world.fail("GET", "rocket$", 429, headers={"Retry-After": "7"})
    assert client.get(REPO).status == 200
    assert bench.waits == [7.0]


def test_429_without_retry_after_waits_a_minute_then_two(bench):
    client = bench.client()
    bench.world.fail("GET", "rocket$", 429, times=2)
    assert client.get(REPO).status == 200
    assert bench.waits == [60.0, 120.0]


def test_the_primary_limit_waits_for_its_reset(bench):
    client = bench.client()
    reset = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int(bench.world.now) + 30)}
    bench.world.fail("GET", "rocket$", 403, headers=reset)
    client.get(REPO)
    assert bench.waits == [pytest.approx(31.0, abs=1.1)]


def test_a_secondary_limit_on_a_create_is_not_a_second_comment(bench):
    client = bench.client()
    limit = {"message": "You have exceeded a secondary rate limit. Please wait."}
    bench.world.fail("POST", "comments$", 403, body=limit, headers={"Retry-After": "3"})
    client.create(COMMENTS, {"body": "x"}, find=lambda: pytest.fail("nothing can have been created"))
    assert len(bench.world.comments) == 1
    assert bench.waits == [3.0]


def test_a_long_wait_is_the_callers(bench):
    client = bench.client()
    bench.world.fail("PATCH", "comments", 429, headers={"Retry-After": "1800"})
    with pytest.raises(RateLimitedError) as caught:
        client.patch("/repos/acme/rocket/issues/comments/5", {"body": "x"})
    assert caught.value.wait_s == 1800
    assert bench.waits == []


def test_graphql_reports_limits_with_status_200(bench):
    client = bench.client()
    body = {"errors": [{"type": "RATE_LIMITED", "message": "API rate limit exceeded"}]}
    bench.world.fail("POST", "graphql", 200, body=body, headers={"Retry-After": "4"})
    data = client.graphql("query { rateLimit { cost remaining resetAt } }", {})
    assert data["rateLimit"]["cost"] == 16
    assert bench.waits == [4.0]
    with pytest.raises(RefusedError, match="Cannot query field"):
        client.graphql("query { rateLimit { nonsense } }", {})


@pytest.mark.parametrize("status", [500, 502, 503])
def test_reading_and_changing_survive_server_errors(bench, status):
    repo = bench.repo()
    client = bench.client(repo)
    comment = bench.world.comment(repo, 1, BOT, "before")
    bench.world.fail("*", "comments", status, times=2)
    client.patch(f"/repos/acme/rocket/issues/comments/{comment['id']}", {"body": "after"})
    assert comment["body"] == "after"
    assert bench.waits == [0.01, 0.02]


def test_502_after_creating_makes_no_second(bench):
    client = bench.client()
    bench.world.fail("POST", "comments$", 502, acts=True)
    found = client.create(COMMENTS, {"body": "once"}, find=lambda: next(client.pages(COMMENTS), None))
    assert found["body"] == "once"
    assert len(bench.world.comments) == 1


def test_502_before_creating_is_repeated(bench):
    client = bench.client()
    bench.world.fail("POST", "comments$", 502)
    made = client.create(COMMENTS, {"body": "once"}, find=lambda: next(client.pages(COMMENTS), None))
    assert made["body"] == "once"
    assert bench.requests("POST", "comments") == [502, 201]


@pytest.mark.parametrize("acts", [True, False])
def test_a_cut_connection_makes_exactly_one(bench, acts):
    client = bench.client()
    client.get(REPO)
    bench.world.fail("POST", "comments$", cuts=True, acts=acts)
    client.create(COMMENTS, {"body": "once"}, find=lambda: next(client.pages(COMMENTS), None))
    assert [c["body"] for c in bench.world.comments.values()] == ["once"]


def test_a_slow_answer_is_given_up_and_found(bench):
    slow = App(
        AppKey(APP_ID, private_key()), Dials(url=bench.fake.url, timeout_s=1, write_pause_s=0, backoff_s=0.3)
    )
    bench.repo()
    client = slow.installation_client(next(iter(bench.world.installations)))
    client.get(REPO)
    bench.world.fail("POST", "comments$", delay_s=1.2)
    client.create(COMMENTS, {"body": "once"}, find=lambda: next(client.pages(COMMENTS), None))
    assert len(bench.world.comments) == 1


def test_giving_up_is_said(bench):
    client = bench.client()
    bench.world.fail("GET", "rocket$", 503, times=99)
    with pytest.raises(UnavailableError, match="after 5 attempts"):
        client.get(REPO)


def test_a_renamed_repository_is_followed_with_its_query(bench):
    repo = bench.repo()
    client = bench.client(repo)
    for n in range(130):
        bench.world.comment(repo, 1, "ada", str(n))
    bench.world.repos["acme/moon"] = bench.world.repos.pop("acme/rocket")
    repo.name = "moon"
    bench.world.renamed["acme/rocket"] = "acme/moon"
    assert len(list(client.pages(COMMENTS))) == 130
    client.create(COMMENTS, {"body": "x"})
    assert len(bench.world.comments) == 131


def test_an_enterprise_server_has_its_api_under_a_path(bench):
    repo = bench.repo()
    for n in range(120):
        bench.world.comment(repo, 1, "ada", str(n))
    dials = replace(bench.app.dials, url=f"{bench.fake.url}/api/v3")
    there = App(bench.app.key, dials)
    client = there.installation_client(there.installation_of("acme/rocket").id)
    assert len(list(client.pages(COMMENTS))) == 120
    assert client.graphql("query { rateLimit { cost remaining resetAt } }", {})["rateLimit"]["cost"] == 16
    bench.world.fail("GET", "rocket$", 302, headers={"Location": f"{dials.url}/repositories/{repo.id}?a=b"})
    assert client.get(REPO).json["id"] == repo.id


def test_a_redirect_elsewhere_is_not_followed(bench):
    client = bench.client()
    bench.world.fail("GET", "rocket$", 302, headers={"Location": "https://evil.example/x"})
    with pytest.raises(GitHubError, match=r"evil\.example"):
        client.get(REPO)


def test_writes_keep_their_distance():
    waits: list[float] = []
    now = [10.0]
    pacer = Pacer(1.0, clock=lambda: now[0], sleep=waits.append)
    pacer.wait()
    pacer.wait()
    now[0] = 10.5
    pacer.wait()
    now[0] = 20.0
    pacer.wait()
    assert waits == [1.0, 1.5]


def test_threads_share_a_client(bench):
    client = bench.client()
    errors: list[BaseException] = []

    def read() -> None:
        try:
            for _ in range(5):
                assert client.get(REPO).json["full_name"] == "acme/rocket"
        except BaseException as error:  # noqa: BLE001 - shown by the assertion below
            errors.append(error)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert bench.requests("POST", "access_tokens") == [201]


# ------------------------------------------------------------------------------------------ pure parts


@pytest.mark.parametrize(
    ("status", "headers", "body", "expected"),
    [
        (200, {}, "{}", None),
        (404, {"retry-after": "3"}, "", None),
        (403, {}, "Resource not accessible by integration", None),
        (403, {"retry-after": "3", "x-ratelimit-remaining": "0", "x-ratelimit-reset": "1090"}, "", 3.0),
        (403, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1090"}, "", 91.0),
        (403, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "900"}, "", 1.0),
        (403, {"x-ratelimit-remaining": "5"}, "You have exceeded a secondary rate limit", 60.0),
        (429, {}, "", 60.0),
        (429, {"retry-after": "Thu, 01 Jan 1970 00:17:00 GMT"}, "", 20.0),
        (429, {"retry-after": "soon"}, "", 60.0),
        (200, {}, '{"errors": [{"type": "RATE_LIMITED"}]}', 60.0),
    ],
)
def test_the_order_of_obedience(status, headers, body, expected):
    assert wait_for_limit(status, headers, body, now=1000.0, n_before=0) == expected


@pytest.mark.parametrize(
    "secret",
    ["ghs_16C7e42F292c6912E7710c838347Ae178B4a", "ghs_1001_eyJhbGciOi.eyJpc3Mi-x.AbC_d-9", "ghu_abc",
    "ghp_x1",      "github_pat_11AAA_bb", "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOjF9.c2ln"],
)  # fmt: skip
def test_secrets_are_taken_out(secret):
    for shown in (f"x {secret} y", f"https://x-access-token:{secret}@host/a", f'{{"token":"{secret}"}}'):
        assert secret not in redact(shown)
    assert redact("-----BEGIN RSA PRIVATE KEY-----\nMII\n-----END RSA PRIVATE KEY----- z") == "*** z"


def test_nothing_secret_is_logged(bench, caplog):
    caplog.set_level(logging.DEBUG)
    client = bench.client()
    bench.world.fail("GET", "rocket$", 502)
    client.get(REPO)
    (token,) = bench.world.tokens
    assert "access_tokens" in caplog.text
    assert token not in caplog.text
    assert "eyJ" not in caplog.text
    assert private_key() not in repr(bench.app.key)
