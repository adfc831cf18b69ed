"""Pages: who sees which, signing in, forms of other sites, what every answer carries, errors, deletion."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from sqlmodel import select

from connectors.diff import parse_diff
from service.api.app import create_app
from service.api.limits import Buckets
from service.api.parts import Parts
from service.artifacts import ArtifactStore, RepositoryRecord
from service.db.columns import now
from service.db.queries.jobs import JobProgress, add_job, begin_attempt, end_job, tell_progress
from service.db.queries.people import find_author, forget_author
from service.db.queries.sign_ins import LASTS
from service.db.queries.tokens import create_token, revoke_token
from service.db.session import Database
from service.db.states import Flow, JobStatus, ReviewStatus, Role
from service.db.tables import ApiToken, AuditEvent, Author, Repository, Review, SignIn
from service.flows import kept_pages
from service.reports.pages.page import SERVED_POLICY
from tests.service.api.rows import Rows
from tests.service.reports.pages import insides, people, shapes
from tests.service.reports.pages.markup import Elements

HTML = {"Accept": "text/html"}
FIRST_VIEW = 300 * 1024


@dataclass
class Site:
    """The service with one of every page kept."""

    client: TestClient
    database: Database
    record: RepositoryRecord
    rows: Rows
    forgotten: list[tuple[int, str, str]]

    def token(self, role: Role, author_id: int | None = None) -> tuple[int, str]:
        with self.database.writing() as session:
            author = None if author_id is None else session.get_one(Author, author_id)
            token, secret = create_token(session, f"browser of {role}", role, author=author)
            return token.id or 0, secret

    def sign_in(self, role: Role, author_id: int | None = None, address: str = "/") -> int:
        self.client.cookies.clear()
        number, secret = self.token(role, author_id)
        answer = self.client.post("/signin", data={"token": secret, "next": address}, follow_redirects=False)
        assert (answer.status_code, answer.headers["location"]) == (303, address)
        return number

    def get(self, address: str, status: int = 200) -> Elements:
        answer = self.client.get(address, headers=HTML, follow_redirects=False)
        assert answer.status_code == status, answer.text[:500]
        return Elements(answer.text)

    @property
    def pages(self) -> dict[str, tuple[Role, ...]]:
        """Every page and who may see it."""
        team, own = (Role.ADMIN, Role.MEMBER), (Role.ADMIN, Role.SELF)
        shop, ann = self.rows.shop, f"/authors/{self.rows.ann}"
        return {
            "/": (*team, Role.SELF), f"/reviews/{self.rows.review}": team, f"/teams/{shop}": team,
            f"/teams/{shop}/web%2Fapi": team, f"/graphs/{shop}": team, f"/components/{shop}/base": team,
            f"/components/{shop}/team?page=2&order=score": team, "/jobs/rp-1.1": team, "/authors": own,
            ann: own, f"{ann}/export": own, f"{ann}/graph?prompt=2": own, f"{ann}/components": own,
            f"/decomposition/{shop}/base": team, f"/decomposition/{shop}/team?state=gained": team,
            f"{ann}/decomposition?state=lost": own,
        }  # fmt: skip


def keep_everything(store: ArtifactStore, record: RepositoryRecord) -> None:
    kept_pages.keep_review(store, record, "rp-3.1", shapes.review())
    for team in ("", "web/api"):
        kept_pages.keep_team(record, team, people.team_report())
    kept_pages.keep_author(record, people.author_report(), "")
    latents, parts = (
        insides.browsed(insides.cards(60)),
        insides.browsed(insides.component_cards(60), "the base"),
    )
    for who in ("team", "human:ann"):
        kept_pages.keep_graph(record, who, insides.bundle())
    for who in ("team", "human:ann", "base"):
        kept_pages.keep_components(record, who, latents)
        kept_pages.keep_components(record, who, parts, "decomposition")


@pytest.fixture
def site(parts: Parts, database: Database, rows: Rows, tmp_path: Path) -> Iterator[Site]:
    store, forgotten = ArtifactStore(tmp_path / "home"), []
    record = store.record(tmp_path / "shop")
    keep_everything(store, record)
    with database.writing() as session:
        session.get_one(Repository, rows.shop).path = str(tmp_path / "shop")

    def forget(repository: int, key: str, by: str) -> None:
        forgotten.append((repository, key, by))
        kept_pages.drop_people(record, key)
        with database.writing() as session:
            forget_author(session, find_author(session, repository, key), by)

    whole = replace(parts, store=store, forget=forget, buckets=Buckets(60_000, 10_000))
    with TestClient(create_app(whole)) as client:
        yield Site(client, database, record, rows, forgotten)


def test_every_page_is_for_its_roles_alone(site: Site) -> None:
    """A person has their own pages; another person and a member get as far as over the API."""
    for address in site.pages:
        answer = site.client.get(address, headers=HTML, follow_redirects=False)
        assert answer.status_code == 303
        assert answer.headers["location"].startswith("/signin?next=/")
    for role in Role:
        site.sign_in(role, site.rows.ann if role is Role.SELF else None)
        for address, roles in site.pages.items():
            assert site.client.get(address, headers=HTML).status_code == (200 if role in roles else 403), (
                role,
                address,
            )
    site.sign_in(Role.SELF, site.rows.eve)
    site.get(f"/authors/{site.rows.ann}", 404)
    site.get(f"/authors/{site.rows.ann}/components", 404)
    site.get(f"/authors/{site.rows.ann}/decomposition", 404)
    assert "Ann" not in site.get("/authors").text


def test_everything_about_a_page_is_strict_and_small(site: Site) -> None:
    site.sign_in(Role.ADMIN)
    for address in site.pages:
        answer = site.client.get(address, headers=HTML)
        if address.endswith("export"):
            continue
        headers, page = answer.headers, Elements(answer.text)
        assert headers["content-security-policy"] == SERVED_POLICY
        assert "unsafe" not in SERVED_POLICY
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "private, no-store"
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "same-origin"
        assert [kind for _, kind, _ in page.inline] == ["application/json"] * len(page.inline), address
        assert all(not name.startswith("on") and name != "style" for _, a in page.found for name in a)
        files = [link["href"] for link in page.named("link") if link["rel"] == "stylesheet"]
        files += [script["src"] for script in page.named("script") if "src" in script]
        size = len(answer.content)
        for file in files:
            assert re.fullmatch(r"/assets/\w+\.[0-9a-f]{12}\.(css|js)", str(file))
            asset = site.client.get(str(file))
            assert asset.status_code == 200
            assert "immutable" in asset.headers["cache-control"]
            size += len(asset.content)
        assert size < FIRST_VIEW, address
    site.get("/assets/base.000000000000.css", 404)


def test_the_cookie_ends_with_its_token_and_with_the_day(site: Site) -> None:
    number = site.sign_in(Role.MEMBER)
    site.get("/")
    cookie = site.client.cookies.jar
    assert [(c.name, c.has_nonstandard_attr("HttpOnly")) for c in cookie] == [("routeprint", True)]
    with site.database.writing() as session:
        assert all(
            c.value not in one.digest for one in session.exec(select(SignIn)) for c in cookie if c.value
        )
        revoke_token(session, number, now())
    site.get("/", 303)
    site.sign_in(Role.MEMBER)
    with site.database.writing() as session:
        for one in session.exec(select(SignIn)):
            one.expires_at = now()
    site.get("/", 303)
    number = site.sign_in(Role.MEMBER)
    with site.database.writing() as session:
        assert len(session.exec(select(SignIn)).all()) == 1  # the others have ended, and are gone
        session.get_one(ApiToken, number).expires_at = now()
    site.get("/", 303)
    assert LASTS.total_seconds() <= 24 * 3600


def test_what_is_no_token_signs_nobody_in(site: Site) -> None:
    for token in ("", "rp_" + "x" * 43, "x" * 5_000):
        answer = site.client.post("/signin", data={"token": token, "next": "//evil.example/"})
        assert answer.status_code == 401
        assert "evil" not in answer.text
        assert not site.client.cookies
    for address in ("https://evil.example", "//evil.example", "/\\evil.example", "/a\nb"):
        shown = site.client.get("/signin", params={"next": address})
        assert 'name="next" value="/"' in shown.text


def test_behind_https_the_cookie_is_tied_to_the_host(parts: Parts, rows: Rows, site: Site) -> None:
    whole = replace(parts, store=site.record.store, public_url="https://routeprint.example")
    with TestClient(create_app(whole), base_url="https://routeprint.example") as client:
        _, secret = site.token(Role.MEMBER)
        answer = client.post("/signin", data={"token": secret}, follow_redirects=False)
        (cookie,) = answer.headers.get_list("set-cookie")
        assert cookie.startswith("__Host-routeprint=")
        assert {"Secure", "HttpOnly", "Path=/", "SameSite=lax"} <= set(cookie.split("; "))
        assert client.get("/").status_code == 200


def test_a_form_of_another_site_or_sign_in_does_nothing(site: Site) -> None:
    site.sign_in(Role.SELF, site.rows.ann)
    address = f"/authors/{site.rows.ann}"
    key = next(a["value"] for a in site.get(address).named("input") if a["name"] == "form_key")
    good = {"form_key": key, "sure": "yes"}
    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "null"}):
        assert site.client.post(f"{address}/delete", data=good, headers=headers).status_code == 403
    for bad in ({**good, "form_key": "0" * 64}, {"sure": "yes"}):
        assert site.client.post(f"{address}/delete", data=bad).status_code == 403
    assert site.client.post(f"{address}/delete", data={"form_key": key}).status_code == 422
    assert site.client.post(f"{address}/delete", json=good).status_code == 415
    assert site.client.post(f"{address}/delete", data={**good, "x": "y" * 20_000}).status_code in {413, 422}
    assert site.forgotten == []
    site.sign_in(Role.SELF, site.rows.eve)
    assert site.client.post(f"{address}/delete", data=good).status_code == 403


def test_a_person_exports_and_deletes_what_is_theirs(site: Site) -> None:
    site.sign_in(Role.SELF, site.rows.ann)
    address = f"/authors/{site.rows.ann}"
    site.get(address)
    page = site.get(address)  # the look before is on it
    assert "ann@example.com" in page.text and "author.read by token" in page.text
    assert "What the own adapter adds" in page.text and "/home" not in page.text
    exported = site.client.get(f"{address}/export")
    assert exported.headers["content-disposition"].startswith("attachment")
    assert exported.json()["kept"]["aliases"][0]["email"] == "ann@example.com"
    assert exported.json()["learned"]["row"]["key"] == "human:ann"
    key = next(a["value"] for a in page.named("input") if a["name"] == "form_key")
    done = site.client.post(f"{address}/delete", data={"form_key": key, "sure": "yes"})
    assert done.status_code == 200
    assert [(r, k) for r, k, _ in site.forgotten] == [(site.rows.shop, "human:ann")]
    assert kept_pages.find_author(site.record, "human:ann") is None
    assert kept_pages.find_team(site.record, "") is None  # it may have named them
    site.get("/", 303)  # the token spoke for somebody who is not known any more
    site.sign_in(Role.ADMIN)
    site.get(address, 404)
    site.get(f"/graphs/{site.rows.shop}")


def test_an_author_without_a_signature_sees_what_is_kept(site: Site) -> None:
    site.sign_in(Role.SELF, site.rows.bob)
    page = site.get(f"/authors/{site.rows.bob}")
    assert "needs a recorded consent" in page.text
    assert "withdrawn" in page.text
    with site.database.reading() as session:
        looked = [e.who for e in session.exec(select(AuditEvent)) if e.target == f"author {site.rows.bob}"]
    assert sum("browser of self" in who for who in looked) == 1  # the others recorded consent


def test_errors_are_pages_for_browsers_and_problems_for_programs(site: Site) -> None:
    site.sign_in(Role.MEMBER)
    for address in (
        "/reviews/999",
        "/nothing",
        f"/teams/{site.rows.tools}",
        "/teams/1/unknown",
        "/jobs/none",
    ):
        assert "To the beginning" in site.get(address, 404).text
        assert site.client.get(address).headers["content-type"] == "application/problem+json"
    assert "valid integer" in site.get("/reviews/x", 422).text
    assert site.client.get("/v1/nothing", headers=HTML).headers["content-type"] == "application/problem+json"
    hostile = site.get("/reviews/%3Cscript%3Ealert(1)%3C", 422)
    assert not hostile.inline and "<script" not in hostile.text


def test_a_review_is_shown_while_it_is_made_and_without_its_diff(site: Site) -> None:
    site.sign_in(Role.MEMBER)
    address = f"/reviews/{site.rows.review}"
    assert "Here the team's model expects" in site.get(address).text
    with site.database.writing() as session:
        row = session.get_one(Review, site.rows.review)
        row.report = kept_pages.keep_report(site.record.store, shapes.review().report)
    assert any(hunk.findings for hunk in kept_pages.read_report(site.record.store, row.report).hunks)
    assert kept_pages.drop_old_reviews(site.record.store, -1) == 1
    assert not [item for item in site.record.artifacts if item.startswith("review-page/")]
    assert "not kept any more" in site.get(address).text
    assert "Here the team's model expects" not in site.get(address).text
    report = kept_pages.read_report(site.record.store, row.report)
    assert report.hunks and not any(hunk.findings or hunk.header for hunk in report.hunks), (
        "no code is quoted any more"
    )
    with site.database.writing() as session:
        row = session.get_one(Review, site.rows.review)
        row.status, row.job_id = ReviewStatus.RUNNING, "rp-1.1"
    page = site.get(address)
    assert "Review of #1" in page.text and "Place 1 of 1" in page.text
    assert [m["content"] for m in page.named("meta") if m.get("http-equiv") == "refresh"] == ["5"]
    with site.database.writing() as session:
        session.get_one(Review, site.rows.review).status = ReviewStatus.FAILED
    site.get(address, 404)


def test_work_tells_its_place_step_speed_and_log(site: Site) -> None:
    site.sign_in(Role.ADMIN)
    with site.database.writing() as session:
        for job, priority in (("later", 100), ("sooner", 5), ("same", 100)):
            add_job(session, job, flow=Flow.PROFILE, queue="train", payload={"team": "web/api"},
                    repository_id=site.rows.shop, subject="team:web/api", priority=priority)  # fmt: skip
    assert "Place 2 of 3" in site.get("/jobs/later").text
    with site.database.writing() as session:
        assert begin_attempt(session, "later", "host-1") == 1
        tell_progress(session, "later", 1, JobProgress("team", 120, 400, 2100.0, 95.0, 1.25))
    page = site.get("/jobs/later")
    assert "30% of this step · 2,100 tokens/s · about 1 min 35 s left · loss 1.250" in page.text
    assert "attempt 1 on host-1" in page.text
    assert [p.get("value") for p in page.named("progress")] == ["0.3000"]
    site.sign_in(Role.MEMBER)
    assert "attempt 1 on host-1" not in site.get("/jobs/later").text
    with site.database.writing() as session:
        end_job(session, "later", 1, JobStatus.DONE)
    done = site.get("/jobs/later")
    assert f"/teams/{site.rows.shop}/web%2Fapi" in [a.get("href") for a in done.named("a")]
    assert not done.named("noscript")
    events = site.client.get("/jobs/later/events").text
    told = json.loads(events.partition("data: ")[2])
    assert events.startswith("event: progress\n") and told["is_over"]


def test_without_tokens_this_machine_alone_sees_pages_and_forms_have_a_key(parts: Parts, site: Site) -> None:
    whole = replace(parts, store=site.record.store, needs_tokens=False)
    with TestClient(create_app(whole), base_url="http://localhost") as client:
        page = Elements(client.get(f"/authors/{site.rows.ann}", headers=HTML).text)
        assert "Sign out" not in page.text
        assert client.post(f"/authors/{site.rows.ann}/delete", data={"sure": "yes"}).status_code == 403
    with TestClient(create_app(whole), base_url="http://elsewhere.example") as client:
        assert client.get("/", headers=HTML).status_code == 403


def test_a_part_of_a_graph_leads_to_its_card_where_the_cards_are_of_the_same_dictionary(site: Site) -> None:
    def cards_of(address: str) -> object:
        page = site.get(address)
        return json.loads(next(text for _, kind, text in page.inline if kind == "application/json"))["cards"]

    shop, ann = site.rows.shop, f"/authors/{site.rows.ann}"
    site.sign_in(Role.ADMIN)
    both = {"base": f"/decomposition/{shop}/base", "lora": f"/decomposition/{shop}/team"}
    assert cards_of(f"/graphs/{shop}") == both
    page = site.get(f"{both['lora']}?card=L1__mlp_down:20")
    assert "page 2 of 3" in page.text and "L1__mlp_down:20" in {a.get("id") for a in page.named("article")}
    elsewhere = {a["href"] for a in page.named("a")}
    assert f"/components/{shop}/base" in elsewhere
    assert cards_of(f"{ann}/graph") == {"lora": f"{ann}/decomposition"}, "the base is for members"
    other = replace(insides.browsed(insides.component_cards(6)), dictionary="another")
    kept_pages.keep_components(site.record, "team", other, "decomposition")
    assert cards_of(f"/graphs/{shop}") == {"base": both["base"]}


def test_a_first_view_of_five_thousand_components_is_small_and_soon(site: Site) -> None:
    cards = insides.cards(5_000)
    site.sign_in(Role.MEMBER)
    first: list[float] = []
    later: list[float] = []
    # Kept anew, a state is read anew: the least of three is the request's own cost, the rest is what the
    # process does besides (a collection of everything that the tests before left).
    for n in range(3):
        kept_pages.keep_components(site.record, "team", insides.browsed(cards, f"dictionary {n}"))
        for query in ("", "?page=100", "?search=load3&order=density", "?state=author&group=block+1"):
            started = time.process_time()
            answer = site.client.get(f"/components/{site.rows.shop}/team{query}")
            (later if query else first).append(time.process_time() - started)
            assert len(answer.content) < FIRST_VIEW
            assert f"dictionary {n}" in answer.text
    assert min(first) < 0.5, first
    assert min(later) < 0.1, later


def test_a_review_of_bytes_that_are_no_text_is_kept(site: Site) -> None:
    text = "diff --git a/x.py b/x.py\n--- a/x.py\n+++ b/x.py\n@@ -1 +1,2 @@\n import os\n+x = '\udce9'\n"
    kept = replace(shapes.not_scored(), patches=parse_diff(text))
    kept_pages.keep_review(site.record.store, site.record, "odd", kept)
    found = kept_pages.find_review(site.record.store, "odd")
    assert found is not None
    assert found.patches == kept.patches


def test_what_is_kept_comes_back_as_it_was(site: Site) -> None:
    found = kept_pages.find_review(site.record.store, "rp-3.1")
    assert found == shapes.review()
    assert kept_pages.find_team(site.record, "") == people.team_report()
    author = kept_pages.find_author(site.record, "human:ann")
    assert author == replace(people.author_report(), signature=None, commands=(), missing={})
    assert kept_pages.find_graph(site.record, "team") == insides.bundle()
