"""A fake GitHub for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.contract.github.bench import Bench, connected


@pytest.fixture
def bench() -> Iterator[Bench]:
    with connected() as found:
        yield found
