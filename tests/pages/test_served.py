"""The service's pages in a real browser: under their policy, by plain forms, live and without script."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from service.db.queries.jobs import JobProgress, add_job, begin_attempt, end_job, tell_progress
from service.db.states import Flow, JobStatus
from service.db.tables import Repository
from service.flows import kept_pages
from tests.pages.conftest import serious
from tests.pages.serving import SIZES, Guest, Served, serving
from tests.service.api.rows import Rows, fill
from tests.service.reports.pages import insides, people, shapes

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, Rows]]:
    home = tmp_path_factory.mktemp("home")
    with serving(home) as found:
        with found.database.writing() as session:
            rows = fill(session)
            session.get_one(Repository, rows.shop).path = str(home / "shop")
        record = found.store.record(home / "shop")
        kept_pages.keep_review(found.store, record, "rp-3.1", shapes.hostile_review())
        kept_pages.keep_team(record, "", people.team_report())
        kept_pages.keep_author(record, people.author_report(), "")
        latents = insides.browsed(insides.cards(5_000))
        parts = insides.browsed(insides.component_cards(60))
        for who in ("team", "human:ann"):
            kept_pages.keep_graph(record, who, insides.bundle(shapes.HOSTILE))
            kept_pages.keep_components(record, who, latents)
            kept_pages.keep_components(record, who, parts, "decomposition")
        yield found, rows


@pytest.fixture
def addresses(served: tuple[Served, Rows]) -> list[str]:
    _, rows = served
    ann, shop = f"/authors/{rows.ann}", rows.shop
    return [
        "/", "/authors", f"/reviews/{rows.review}", f"/teams/{shop}", f"/graphs/{shop}", ann,
        f"/components/{shop}/team", f"/decomposition/{shop}/team", f"{ann}/graph", f"/authors/{rows.bob}",
        "/jobs/rp-1.1", "/nowhere",
    ]  # fmt: skip


def test_every_served_page_fits_and_nothing_complains(chromium: Any, served, addresses: list[str]) -> None:
    for width, scheme in SIZES:
        guest = Guest(chromium, served[0], width=width, scheme=scheme)
        for address in addresses:
            if address == "/nowhere":  # a browser's console tells of the 404 itself
                continue
            guest.look(address)
        guest.close()


def test_every_button_and_link_of_the_bar_can_be_clicked(chromium: Any, served) -> None:
    """Nothing lies over them: an element's middle is the element's own, at every width."""
    for width in (360, 768, 1440):
        guest = Guest(chromium, served[0], width=width)
        covered = guest.page.evaluate(
            "[...document.querySelectorAll('.places a, .places button')].filter(e => {"
            " const r = e.getBoundingClientRect();"
            " const top = document.elementFromPoint(r.x + r.width / 2, r.y + r.height / 2);"
            " return !e.contains(top); }).map(e => e.textContent)"
        )
        assert covered == [], width
        guest.close()


def test_axe_finds_nothing_serious_on_served_pages(chromium: Any, served, addresses: list[str]) -> None:
    for scheme in ("light", "dark"):
        guest = Guest(chromium, served[0], scheme=scheme)
        for address in ["/signin", *addresses]:
            assert serious(guest.go(address)) == [], (address, scheme)
        guest.close()


def test_without_script_one_signs_in_searches_and_deletes(chromium: Any, served) -> None:
    site, rows = served
    guest = Guest(chromium, site, script=False)
    page = guest.go(f"/components/{rows.shop}/team")
    page.fill("input[name=search]", "load3")
    page.click("main form button")
    assert re.search(r"of 5,000 components, page 1 of \d+", page.inner_text("main"))
    page.click("text=Next")
    assert "page 2 of" in page.inner_text("main")
    page = guest.go(f"/authors/{rows.eve}")
    page.check("input[name=sure]")
    page.click("text=Delete >> nth=-1")
    assert "Everything kept of this person is deleted" in page.inner_text("main")
    page.click("text=Sign out")
    page.goto(f"{site.url}/")
    assert "/signin" in page.url
    guest.close()


def test_an_inline_script_would_not_run(chromium: Any, served) -> None:
    """The policy that is sent, not our care in templates: an element put there by force is refused."""
    guest = Guest(chromium, served[0])
    guest.page.evaluate(
        "const s = document.createElement('script'); s.textContent = 'window.ran = true';"
        "document.body.append(s);"
        "document.body.setAttribute('style', 'color: red')"
    )
    assert guest.page.evaluate("window.ran") is None
    assert guest.page.evaluate("getComputedStyle(document.body).color") != "rgb(255, 0, 0)"
    assert any("Content Security Policy" in problem for problem in guest.problems)
    guest.close()


def test_the_graph_works_under_the_policy(chromium: Any, served) -> None:
    site, rows = served
    guest = Guest(chromium, site)
    page = guest.go(f"/graphs/{rows.shop}")
    assert page.locator("#picture circle").count() > 30
    page.click("text=Difference")
    with page.expect_download() as download:
        page.click("#save-svg")
    assert download.value.suggested_filename == "attribution.svg"
    page.click("nav[aria-label=Prompts] a >> nth=1")
    assert page.url.endswith("?prompt=2")
    assert guest.problems == []
    guest.close()


def test_a_circle_of_the_graph_leads_to_its_card(chromium: Any, served) -> None:
    site, rows = served
    guest = Guest(chromium, site)
    page = guest.go(f"/graphs/{rows.shop}")
    page.locator("[data-id='L1__mlp_down:1']").first.click(force=True)
    page.click("text=Its card in the components browser")
    assert page.url.startswith(f"{site.url}/decomposition/{rows.shop}/team?card=L1__mlp_down%3A1#")
    shown = page.locator("article[id='L1__mlp_down:1']")
    assert shown.count() == 1 and "in the base" in shown.inner_text()
    page.select_option("select[name=state]", "gained")
    page.select_option("select[name=group]", "layer 1 · mlp_down")
    page.click("main form button")
    assert re.search(r"\b8 of 60 components", page.inner_text("main"))
    assert guest.problems == []
    guest.close()


def test_five_thousand_served_components_are_there_within_a_second(chromium: Any, served) -> None:
    site, rows = served
    guest = Guest(chromium, site)
    address = f"/components/{rows.shop}/team"
    guest.go(address)  # parsed once
    took = []
    for query in ("?page=2", "?page=150&order=density", "?search=load5&state=author"):
        page = guest.go(address + query)
        took.append(page.evaluate("performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd"))
        sizes = page.evaluate(
            "performance.getEntries().map(e => e.transferSize || 0).reduce((a, b) => a + b, 0)"
        )
        assert sizes < 300 * 1024
    assert min(took) < 1_000, took
    guest.close()


def test_arrow_keys_turn_the_pages_of_components(chromium: Any, served) -> None:
    site, rows = served
    guest = Guest(chromium, site)
    page = guest.go(f"/components/{rows.shop}/team?page=2")
    page.keyboard.press("ArrowRight")
    page.wait_for_url("**page=3")
    page.keyboard.press("ArrowLeft")
    page.wait_for_url("**page=2")
    page.focus("input[name=search]")
    page.keyboard.press("ArrowRight")
    assert "page=2" in page.url
    guest.close()


def test_a_job_moves_under_the_eyes_of_who_looks(chromium: Any, served) -> None:
    site, rows = served
    with site.database.writing() as session:
        add_job(session, "live", flow=Flow.PROFILE, queue="train", payload={}, repository_id=rows.shop,
                subject="team:", priority=1)  # fmt: skip
    guest = Guest(chromium, site)
    page = guest.go("/jobs/live")
    assert "Place 1 of" in page.inner_text("#sentence")
    with site.database.writing() as session:
        begin_attempt(session, "live", "host-1")
        tell_progress(session, "live", 1, JobProgress("adapter of the team", 30, 120, 1500.0, 60.0))
    page.wait_for_selector("#step:has-text('adapter of the team')")
    assert "25% of this step" in page.inner_text("#sentence")
    assert page.inner_text("#status") == "running" and page.locator("#status.running").count() == 1
    assert page.evaluate("document.getElementById('bar').value") == 0.25
    assert "attempt 1 on host-1" in page.inner_text("#log")
    with site.database.writing() as session:
        end_job(session, "live", 1, JobStatus.DONE)
    page.wait_for_selector("#step:has-text('Done')")
    assert "The team's page" in page.inner_text("main")
    assert guest.problems == []
    guest.close()


def test_a_refused_stream_leaves_a_page_that_asks_again(chromium: Any, served) -> None:
    site, rows = served
    with site.database.writing() as session:
        add_job(session, "refused", flow=Flow.PROFILE, queue="train", payload={}, repository_id=rows.shop,
                subject="team:", priority=1)  # fmt: skip
    guest = Guest(chromium, site)
    guest.page.route("**/events", lambda route: route.fulfill(status=503))
    page = guest.go("/jobs/refused")
    with site.database.writing() as session:
        begin_attempt(session, "refused", "host-1")
        end_job(session, "refused", 1, JobStatus.DONE)
    page.wait_for_selector("#step:has-text('Done')", timeout=15_000)
    guest.close()
