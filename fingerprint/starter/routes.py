"""Fit the embedded base's routes A: ``python -m fingerprint.starter.routes``.

Joint over the corpus' "routes" packages, which the base was not trained on: one A shared by all, a B for
each package, then the canonical form (routing.md section 1). Packages take turns, so that each weighs the
same whatever its size.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import Progress

from fingerprint import FingerprintError
from fingerprint.lm.fit import FitConfig, FitProgress, fit_routes
from fingerprint.lm.load import has_fast_bf16, load_base
from fingerprint.lm.routes import STARTER_ROUTES
from fingerprint.lm.tokens import Batch

ROW_TOKENS, ROWS = 256, 8


def package_batches(data: Path, seed: int = 0) -> Iterator[tuple[int, Batch]]:
    """Yield (package index, batch [ROWS, ROW_TOKENS]) for ever, packages taking turns in a fixed order.

    Args:
        data: directory of ``<package>.npy`` token arrays with ``<package>_offsets.npy`` document starts.
            Each row is one document's beginning, padded; every token but the first is scored.

    Raises:
        FingerprintError: no package there.
    """
    paths = sorted(path for path in data.glob("*.npy") if not path.stem.endswith("_offsets"))
    if not paths:
        raise FingerprintError(f"No packed packages in {data}: run fingerprint.starter.corpus pack first")
    packages = [(np.load(path), np.load(path.with_name(f"{path.stem}_offsets.npy"))) for path in paths]
    rng = np.random.default_rng(seed)
    while True:
        for index, (tokens, offsets) in enumerate(packages):
            chosen = rng.choice(len(offsets) - 1, ROWS)
            yield index, _batch([tokens[offsets[i] : offsets[i + 1]][:ROW_TOKENS] for i in chosen])


def _batch(rows: list[np.ndarray]) -> Batch:
    ids = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.long)
    mask = torch.zeros_like(ids, dtype=torch.bool)
    for index, row in enumerate(rows):
        ids[index, : len(row)] = torch.from_numpy(row.astype(np.int64))
        mask[index, : len(row)] = True
    scored = mask.clone()
    scored[:, 0] = False
    return Batch(ids, mask, scored)


def main() -> None:
    """Fit on the packed packages and write the routes beside the model."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, required=True, help="packed corpus; its routes/ folder is read")
    parser.add_argument("--steps", type=int, default=800, help="optimiser steps over all packages")
    parser.add_argument("--rank", type=int, default=FitConfig().rank, help="routes per site")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    base = load_base("starter")
    config = FitConfig(rank=arguments.rank, steps=arguments.steps)
    with Progress(console=Console(stderr=True)) as bar:
        task = bar.add_task("Fitting routes", total=config.steps)

        def show(at: FitProgress) -> None:
            bar.update(task, completed=at.step, description=f"Fitting routes, {at.loss:.3f} nats")

        batches = package_batches(arguments.data / "routes", config.seed)
        routes = fit_routes(base, batches, config, autocast=has_fast_bf16(base.device), progress=show)
    routes.save(STARTER_ROUTES)
    Console().print(f"routes {routes.digest[:12]}: {routes.rank} per site, {len(routes.sites)} sites")


if __name__ == "__main__":
    main()
