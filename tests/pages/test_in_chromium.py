from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from service.reports.pages.page import write_single_file
from tests.pages.conftest import MAKERS, Visit, browser_page, serious

pytestmark = pytest.mark.browser
FIRST_VIEW = 300 * 1024
SIZES = [(360, "light"), (768, "dark"), (1440, "light"), (360, "dark"), (1440, "dark")]


@pytest.mark.parametrize("name", MAKERS)
def test_every_page_fits_and_nothing_complains(visit, name: str) -> None:
    for width, scheme in SIZES:
        seen = visit(name, width=width, scheme=scheme)
        for part in seen.page.query_selector_all("details > summary"):
            part.click()
        assert seen.overflow <= 0, (width, scheme)
        assert seen.problems == []
        seen.page.close()


@pytest.mark.parametrize("name", MAKERS)
def test_axe_finds_nothing_serious(visit, name: str) -> None:
    for scheme in ("light", "dark"):
        assert serious(visit(name, scheme=scheme).page) == [], scheme


@pytest.mark.parametrize("name", MAKERS)
def test_the_first_view_is_small(files: dict[str, Path], name: str) -> None:
    assert files[name].stat().st_size < FIRST_VIEW


def test_keys_go_from_hunk_to_hunk_and_marks_to_their_finding(visit) -> None:
    page = visit("review").page
    page.keyboard.press("j")
    assert page.evaluate("document.activeElement.id") == "hunk-1"
    page.keyboard.press("j")
    assert page.evaluate("document.activeElement.id") == "hunk-2"
    page.keyboard.press("k")
    assert page.evaluate("document.activeElement.id") == "hunk-1"
    page.click("mark a >> nth=0")
    assert page.url.endswith("#hunk-1-f2")
    page.click("[data-copy]")
    page.locator("[data-copy]", has_text=re.compile("Copied|Selected")).wait_for(timeout=5_000)


def test_the_graph_switches_filters_and_tells(visit, tmp_path: Path) -> None:
    seen = visit("graph")
    page = seen.page
    count = lambda: page.locator("#picture circle").count()  # noqa: E731 - read often
    adapted = count()
    assert adapted > 30
    before = page.inner_html("#picture")
    page.click("text=Difference")
    assert page.get_attribute("[data-mode=difference]", "aria-pressed") == "true"
    assert page.inner_html("#picture") != before
    page.click("[data-mode=lora]")
    assert page.inner_html("#picture") == before
    page.check("#sure")
    assert 0 < count() < adapted
    page.uncheck("#sure")
    page.check("#first")
    assert count() > adapted
    page.uncheck("#edges")
    assert page.locator("#picture .edge").count() == 0
    page.focus("#picture")
    page.keyboard.press("ArrowRight")
    first = page.inner_text("#card h3")
    page.keyboard.press("ArrowRight")
    assert first.startswith("Layer")
    assert page.inner_text("#card h3") != first
    assert page.locator("#picture .chosen").count() > 0
    for button, name in (("#save-json", "attribution.json"), ("#save-svg", "attribution.svg")):
        with page.expect_download() as download:
            page.click(button)
        download.value.save_as(tmp_path / name)
    assert '"lora"' in (tmp_path / "attribution.json").read_text()
    assert (tmp_path / "attribution.svg").read_text().startswith("<svg")
    page.select_option("#prompt", "1")
    page.click("[data-mode=base]")
    assert count() == 0
    assert seen.problems == []


def test_the_browser_searches_and_turns_pages(visit) -> None:
    page = visit("components").page
    assert page.locator(".cards article").count() == 24
    page.click("text=Next")
    assert page.inner_text("#place") == "page 2 of 3"
    page.fill("#search", "load3")
    assert 0 < page.locator(".cards article").count() < 24
    page.fill("#search", "")
    page.select_option("#state", "author")
    assert page.locator(".badge").count() == 0
    page.select_option("#order", "score")
    assert "components" in page.inner_text("#found")


def test_the_development_moves_tells_and_filters(visit) -> None:
    seen = visit("development")
    page = seen.page
    player = page.locator("[data-player='0']")
    dots = player.locator("circle")
    assert dots.count() == 300 and player.locator("[data-step]").inner_text() == "4,096"
    place = "c => [c.getAttribute('cx'), c.getAttribute('cy')].join()"
    last = dots.first.evaluate(place)
    player.locator("[data-slider]").fill("0")
    page.wait_for_timeout(900)
    assert player.locator("[data-step]").inner_text() == "0"
    assert dots.first.evaluate(place) != last
    dots.first.scroll_into_view_if_needed()
    box = dots.first.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    assert "for x in" in player.locator("[data-told]").inner_text()
    assert player.locator(".trail").get_attribute("d").count("L") == 3
    page.locator("[data-legend='0'] button").first.click()
    assert 0 < player.locator(".faint").count() < 300
    page.locator("[data-legend='0'] button").first.click()
    player.locator("[data-find]").fill("path")
    assert 0 < player.locator(".faint").count() < 300
    player.locator("[data-method]").select_option("1")
    player.locator("[data-play]").click()
    assert player.locator("[data-play]").inner_text() == "Pause"
    assert seen.problems == []


def test_five_thousand_components_do_not_lag(chromium, tmp_path: Path) -> None:
    """The search over all of them, and a turned page, each within a tenth of a second of script."""
    write_single_file(browser_page("x", 5_000), tmp_path / "many.html")
    seen = Visit(chromium, tmp_path / "many.html")
    timed = "(f) => { const t = performance.now(); f(); return performance.now() - t; }"
    turn = seen.page.evaluate(f"({timed})(() => document.getElementById('next').click())")
    search = seen.page.evaluate(
        f"({timed})(() => {{ const s = document.getElementById('search'); s.value = 'load3';"
        " s.dispatchEvent(new Event('input')); })"
    )
    assert (turn, search) < (500, 500)
    assert seen.page.locator(".cards article").count() == 24
    seen.page.close()


def test_without_script_everything_is_still_there(chromium, files: dict[str, Path]) -> None:
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    for name, words in (
        ("review", "Here the team's model expects"), ("graph", "The parts as a table"),
        ("components", "on load0"), ("development", "step 4,096"),
        ("author", "Words that come back"), ("team", "Does an alarm keep its promise?"),
    ):  # fmt: skip
        page.goto(files[name].as_uri())
        assert words in page.inner_text("main")
        assert page.locator("button:visible").count() == 0, name
    context.close()


def test_a_page_prints_with_its_details_open(visit) -> None:
    page = visit("review").page
    started = time.monotonic()
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert page.locator("details:not([open])").count() == 0
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(27, 29, 33)", "ink on paper"
    page.emulate_media(media="screen", color_scheme="light")
    page.evaluate("window.dispatchEvent(new Event('afterprint'))")
    assert page.locator("details:not([open])").count() > 0
    assert time.monotonic() - started < 30
