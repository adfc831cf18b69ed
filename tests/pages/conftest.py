"""Pages in a real browser, Debian's Chromium driven by Playwright; skipped, with the reason, without them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from service.reports.pages.author import author_page
from service.reports.pages.components import components_page
from service.reports.pages.development import development_page
from service.reports.pages.graph import graph_page
from service.reports.pages.page import WebPage, write_single_file
from service.reports.pages.review import review_page
from service.reports.pages.team import team_page
from tests.service.reports.pages import developing, insides, people, shapes

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
COMMAND = "routeprint attribute --format html"


def browser_page(name: str, n: int) -> WebPage:
    return components_page(insides.browsed(insides.cards(n)), model="team", command=name)


MAKERS: dict[str, Callable[[], WebPage]] = {
    "review": lambda: review_page(shapes.review()),
    "review-not-scored": lambda: review_page(shapes.not_scored()),
    "review-hostile": lambda: review_page(shapes.hostile_review()),
    "author": lambda: author_page(people.author_report()),
    "author-insufficient": lambda: author_page(people.insufficient()),
    "author-hostile": lambda: author_page(people.hostile_author()),
    "team": lambda: team_page(people.team_report()),
    "team-bare": lambda: team_page(people.TeamReport(people.summary())),
    "team-hostile": lambda: team_page(people.hostile_team()),
    "graph": lambda: graph_page(insides.bundle(), repository="sample", command=COMMAND),
    "graph-hostile": lambda: graph_page(
        insides.bundle(shapes.HOSTILE), repository=shapes.HOSTILE, command=COMMAND
    ),
    "graph-checked": lambda: graph_page(insides.checked(), repository="sample", command=COMMAND),
    "components": lambda: browser_page("routeprint sae labels", 60),
    "components-hostile": lambda: components_page(
        insides.browsed(insides.hostile_cards(), shapes.HOSTILE), model=shapes.HOSTILE, command="x"
    ),
    "development": lambda: development_page(developing.development(), command="routeprint develop view"),
    "development-hostile": lambda: development_page(
        developing.development(shapes.HOSTILE, 40), command=shapes.HOSTILE
    ),
}


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """A running browser. Not for the whole session: its driver's event loop would run beside other tests'."""
    sync_api = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed: pip install playwright"
    )
    if CHROMIUM is None:
        pytest.skip("no Chromium: apt-get install chromium")
    with sync_api.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Every page as a single file."""
    place = tmp_path_factory.mktemp("pages")
    for name, make in MAKERS.items():
        write_single_file(make(), place / f"{name}.html")
    return {name: place / f"{name}.html" for name in MAKERS}


def serious(page: Any) -> list[str]:
    """What axe-core finds on a page and calls serious or worse."""
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="pip install axe-playwright-python"
    )
    return [
        f"{rule['id']}: {node['html'][:120]} {node['failureSummary'][:160]}"
        for rule in axe.Axe().run(page).response["violations"]
        if rule["impact"] in {"serious", "critical"}
        for node in rule["nodes"][:3]
    ]


class Visit:
    """One page open in the browser.

    Attributes:
        page: Playwright's. problems: everything the console or a script complained of, and every request
            beyond the file itself.
    """

    def __init__(self, browser: Any, path: Path, width: int = 1440, scheme: str = "light") -> None:
        self.page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        self.problems: list[str] = []
        self.page.on("console", lambda message: self.problems.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.problems.append(f"script: {error}"))
        self.page.on("dialog", lambda dialog: (self.problems.append("a dialog"), dialog.dismiss()))
        self.page.on("request", self._note)
        self.page.goto(path.as_uri())

    def _note(self, request: Any) -> None:
        if not request.url.startswith(("file:", "data:", "blob:")):
            self.problems.append(f"request: {request.url}")

    @property
    def overflow(self) -> int:
        """Pixels by which the page is wider than the window."""
        return self.page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )


@pytest.fixture
def visit(chromium: Any, files: dict[str, Path]) -> Iterator[Callable[..., Visit]]:
    """Open a page by name; closed after the test."""
    opened: list[Visit] = []

    def open_page(name: str, **options: Any) -> Visit:
        opened.append(Visit(chromium, files[name], **options))
        return opened[-1]

    yield open_page
    for one in opened:
        one.page.close()
