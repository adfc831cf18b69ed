from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from service.db.migrate import upgrade
from service.db.session import connect
from service.enqueue import Enqueuer, prepare_engine
from service.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, stale_commits=10, stale_days=30)


@pytest.fixture
def asking(settings: Settings) -> Iterator[Enqueuer]:
    database = connect(settings)
    upgrade(database)
    prepare_engine(database)
    found = Enqueuer.of(database)
    yield found
    found.close()
    database.close()
