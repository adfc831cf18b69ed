"""Every page of the service with real data, the sample organisation's, in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from service.sample.organisation import build_sample
from service.settings import Settings
from tests.pages.conftest import serious
from tests.pages.sample import keep_everything, profile_sample, read_inside
from tests.pages.serving import SIZES, Guest, Served, serving

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def sample(chromium: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, list[str]]]:
    home = tmp_path_factory.mktemp("sample")
    settings, organisation = Settings(home=home, processes=1), build_sample(home / "organisation", 0)
    profile = profile_sample(organisation, settings)
    read_inside(organisation.path, settings)
    with serving(home) as served:
        yield served, keep_everything(organisation, settings, served.database, profile)


def test_every_page_with_real_data_fits_and_nothing_complains(chromium: Any, sample: Any) -> None:
    served, addresses = sample
    for width, scheme in SIZES:
        guest = Guest(chromium, served, width=width, scheme=scheme)
        for address in addresses:
            guest.look(address)
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
    page = guest.go(next(a for a in addresses if a.startswith("/authors/")))
    assert "latents" in page.inner_text("#reads ~ .reads").lower()
    guest.close()
