"""What the benchmarks share: CPU time in turns, and a repository's code as the models read it."""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from rich.console import Console
from rich.table import Table

from fingerprint.passage import Corpus

Variants = Mapping[str, Callable[[], object]]


def cpu_seconds(variants: Variants, n_rounds: int) -> dict[str, float]:
    """Least CPU-seconds of each variant, all taken in turns, after one round that is not counted.

    In turns, so that what else runs on the machine slows every variant alike; read ratios.
    """
    for work in variants.values():
        work()
    found: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(n_rounds):
        for name, work in variants.items():
            start = time.process_time()
            work()
            found[name].append(time.process_time() - start)
    return {name: min(seconds) for name, seconds in found.items()}


def ask(what: str | None) -> argparse.Namespace:
    """The command line: a repository, and how many rounds."""
    parser = argparse.ArgumentParser(description=(what or "").partition("\n")[0])
    parser.add_argument("repository", type=Path)
    parser.add_argument("--rounds", type=int, default=4)
    return parser.parse_args()


def show(title: str, rows: list[tuple[str, ...]], *columns: str) -> None:
    """Print a table, with the load under which it was measured."""
    table = Table(*columns, title=f"{title}; {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    for row in rows:
        table.add_row(*row)
    Console().print(table)


def read_corpus(repository: Path) -> Corpus:
    """The repository's code, oldest first, by whoever wrote it."""
    from service.flows.ingest import ingest
    from service.flows.team import TeamChoice, enrol
    from service.settings import read_settings

    with tempfile.TemporaryDirectory() as home:
        ingested = ingest(repository.resolve(), read_settings(home=Path(home)))
        return enrol(ingested.store, ingested.authors, TeamChoice()).corpus
