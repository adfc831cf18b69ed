"""The streamed reading against git printing the same patches to nowhere, on a repository made for it."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from connectors.git.command import Repository
from connectors.git.history import read_history
from connectors.git.log import LOG_OPTIONS, code_only_attributes
from tests.connectors.conftest import Sandbox

TARGET = 1.5  # of git's own wall time
REPOSITORY = os.environ.get("INGEST_BENCHMARK_REPOSITORY", "")  # a real repository to measure instead


def _git_alone(path: Path) -> float:
    """Seconds git takes to print what ``read_history`` reads."""
    place = Repository.at(path)
    with code_only_attributes() as settings:
        words = [word for setting in settings for word in ("-c", setting)]
        command = ["git", f"--git-dir={place.git_dir}", "-c", "core.bare=true", *words, *LOG_OPTIONS, "HEAD"]
        start = time.perf_counter()
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
        return time.perf_counter() - start


def _reading(path: Path) -> float:
    start = time.perf_counter()
    for _ in read_history(path):
        pass
    return time.perf_counter() - start


@pytest.mark.slow
def test_reading_takes_at_most_half_as_long_again_as_git(
    sandbox: Sandbox, fast_import: Callable[[Sandbox, int], None]
):
    path = Path(REPOSITORY) if REPOSITORY else sandbox.root
    if not REPOSITORY:
        fast_import(sandbox, 2_000)
    pairs = [(_git_alone(path), _reading(path)) for _ in range(5)]
    ratio = statistics.median(reading / alone for alone, reading in pairs)
    assert ratio <= TARGET, f"git alone and reading, in seconds: {pairs}"
