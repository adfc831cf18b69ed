"""Every page of the service with real data in a real browser: the sample organisation's, and a repository's.

``PAGES_REPOSITORY`` names the repository. ``PAGES_SCREENSHOTS``, a folder: every page is kept there.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.sample.organisation import build_sample
from service.settings import Settings
from tests.pages.conftest import serious
from tests.pages.sample import Shown, keep_everything, profile_small, read_inside
from tests.pages.serving import SIZES, Guest, Served, serving

pytestmark = [pytest.mark.browser, pytest.mark.slow]


REPOSITORY, SCREENSHOTS = (os.environ.get(f"PAGES_{name}", "") for name in ("REPOSITORY", "SCREENSHOTS"))


@pytest.fixture(scope="module", params=["sample", "repository"])
def sample(
    request: pytest.FixtureRequest, chromium: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Served, list[str]]]:
    home = tmp_path_factory.mktemp("sample")
    settings = Settings(home=home, processes=1)
    if request.param == "sample":
        shown = Shown.of_sample(build_sample(home / "organisation", 0))
    elif REPOSITORY:
        shown = Shown.of_repository(Path(REPOSITORY))
    else:
        pytest.skip("PAGES_REPOSITORY names no repository")
    profile = profile_small(shown.path, settings)
    author = read_inside(shown.path, settings)
    with serving(home) as served:
        yield served, keep_everything(shown, settings, served.database, profile, author)


def test_every_page_with_real_data_fits_and_nothing_complains(chromium: Any, sample: Any) -> None:
    served, addresses = sample
    for width, scheme in SIZES:
        guest = Guest(chromium, served, width=width, scheme=scheme)
        for address in addresses:
            guest.look(address)
            if SCREENSHOTS:
                name = f"{re.sub('[^a-z0-9]+', '-', 'page' + address)}-{width}-{scheme}.png"
                guest.page.screenshot(path=Path(SCREENSHOTS) / name, full_page=True)
        guest.close()


def test_axe_finds_nothing_serious_in_real_data(chromium: Any, sample: Any) -> None:
    served, addresses = sample
    for scheme in ("light", "dark"):
        guest = Guest(chromium, served, scheme=scheme)
        assert [(a, found) for a in addresses if (found := serious(guest.go(a)))] == []
        guest.close()


def test_every_first_view_is_small_and_says_something(chromium: Any, sample: Any) -> None:
    served, addresses = sample
    guest = Guest(chromium, served)
    for address in addresses:
        page = guest.go(address)
        size = page.evaluate("performance.getEntries().reduce((sum, e) => sum + (e.encodedBodySize || 0), 0)")
        assert 0 < size < 300 * 1024, (address, size)
        assert page.inner_text("h1")
        assert "nan to" not in page.inner_text("body"), address
    page = guest.go(next(a for a in addresses if a.startswith("/authors/")))
    assert "latents" in page.inner_text("#reads ~ .reads").lower()
    for address in (a for a in addresses if "decomposition" in a):
        assert guest.go(address).locator("article.card").count() > 10, address
    guest.close()
