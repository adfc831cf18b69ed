"""Python's own standard library as text: train, held-out, and what one package and three mixtures give."""

from __future__ import annotations

import sysconfig
from collections.abc import Sequence
from pathlib import Path

from fingerprint.adapters.train import train_adapter
from fingerprint.config import AdapterConfig
from fingerprint.lm.pair import RoutedModel, RouteWeights
from fingerprint.passage import Passage, passage_from_lines

LIBRARY = Path(sysconfig.get_path("stdlib"))
PACKAGE = "asyncio"
LINES = 60


def module_files() -> list[Path]:
    """Modules and packages of the standard library without its tests and what is generated."""
    skipped = {
        "test",
        "tests",
        "idlelib",
        "lib2to3",
        "pydoc_data",
        "encodings",
        "site-packages",
        "turtledemo",
    }
    found = [*LIBRARY.glob("*.py"), *LIBRARY.glob("*/*.py")]
    return sorted(path for path in found if not skipped & set(path.relative_to(LIBRARY).parts))


def passages_of(paths: Sequence[Path]) -> list[Passage]:
    """Files in pieces of sixty lines, every line marked; a file is a cluster."""
    found = []
    for path in paths:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        name = path.relative_to(LIBRARY).as_posix()
        for start in range(0, len(lines), LINES):
            piece = [(True, line) for line in lines[start : start + LINES]]
            found.append(passage_from_lines(piece, path=name, language="python", first_line=start + 1))
    return found


def split_files() -> tuple[list[Path], list[Path], list[Path], list[Path]]:
    """(train, held-out, the package's train, the package's held-out) files."""
    files = module_files()
    own = [path for path in files if path.parent.name == PACKAGE]
    other = [path for path in files if path.parent.name != PACKAGE]
    held_out = other[::10]
    return [path for path in other if path not in set(held_out)], held_out, own[1::2], own[::2]


def train_state(routed: RoutedModel, passages: list[Passage], tokens: int, seed: int) -> RouteWeights:
    """An adapter of a fixed number of steps on passages."""
    config = AdapterConfig(dev_points=1, dev_tokens=1_000, seed=seed)
    return train_adapter(
        routed,
        passages[len(passages) // 10 :],
        passages[: len(passages) // 10],
        start=routed.zero_weights(),
        config=config,
        budget_tokens=tokens,
        may_keep_start=False,
        precision="fp32",
    ).weights
