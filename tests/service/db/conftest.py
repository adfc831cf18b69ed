"""An empty and an upgraded database on each kind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from service.db.session import Database, connect
from service.settings import Settings
from tests.service.db.databases import KINDS, fresh_settings


@pytest.fixture(params=KINDS)
def empty_settings(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Settings]:
    with fresh_settings(request.param, tmp_path) as found:
        yield found


@pytest.fixture
def empty(empty_settings: Settings) -> Iterator[Database]:
    found = connect(empty_settings)
    yield found
    found.close()
