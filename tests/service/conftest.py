"""A database of a test's own on each kind, copied from an upgraded one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from service.db.session import Database, connect
from service.settings import Settings
from tests.service.db.databases import KINDS, copied_settings, upgraded_template


@pytest.fixture(scope="session", params=KINDS)
def template(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, str]]:
    """Its kind and its name."""
    with upgraded_template(request.param, tmp_path_factory.mktemp("template")) as name:
        yield request.param, name


@pytest.fixture(scope="session", params=KINDS)
def engine_template(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, str]]:
    """The same with the job engine's tables, for those who ask for work."""
    with upgraded_template(request.param, tmp_path_factory.mktemp("template"), with_engine=True) as name:
        yield request.param, name


@pytest.fixture
def settings(template: tuple[str, str], tmp_path: Path) -> Iterator[Settings]:
    kind, name = template
    with copied_settings(kind, tmp_path, name) as found:
        yield found


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    found = connect(settings)
    yield found
    found.close()
