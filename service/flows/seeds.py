"""Does what an author's adapter learned come back when their code is read in another order?

Everything but the order stays: code, reference, budget, stopping. Adapters of shuffled authors, which had the
same budget and reference, say how alike any two adapters are. The ones trained here are not kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fingerprint.report import SeedStability
from fingerprint.storage import write_json
from service.artifacts import read_json
from service.flows.bench import Stage
from service.flows.opened import OpenedProfile

if TYPE_CHECKING:
    from fingerprint.adapters.adapter import Adapter
    from fingerprint.adapters.train import TrainProgress

KIND = "seeds"


def read_seeds(opened: OpenedProfile, word: str, n_seeds: int = 2) -> SeedStability:
    """Train an author's adapter with other seeds and compare what each learned; stored.

    Args:
        n_seeds: adapters besides the profile's own.

    Raises:
        UnknownAuthorError, NotProfiledError: no such adapter.
    """
    key, bench = opened.author_of(word), opened.bench
    names = [key, "reference", *sorted(opened.nulls)]
    digest = bench.digest(
        KIND, author=key, adapters=[opened.digests[name] for name in names], n_seeds=n_seeds,
        train=opened.plan.slices.train.digest, config=bench.config.adapter.digest,
    )  # fmt: skip

    def write(directory: Path) -> None:
        own = [opened.adapter(key), *_train(opened, key, n_seeds)]
        found = compare_seeds([_flat(one) for one in own], [_flat(one) for one in opened.nulls.values()])
        write_json(directory / "seeds.json", found.model_dump(mode="json"))

    place = bench.make(KIND, digest, f"seeds of {key}", write)
    bench.remember(KIND, opened.digests[key], digest)
    return SeedStability.model_validate(read_json(place / "seeds.json"))


def compare_seeds(own: Sequence[np.ndarray], nulls: Sequence[np.ndarray]) -> SeedStability:
    """Cosines of every two of an author's own differences, and of each with every null's."""
    return SeedStability(
        n_seeds=len(own), cosines=tuple(_cosine(a, b) for a, b in combinations(own, 2)),
        null_cosines=tuple(_cosine(one, null) for one in own for null in nulls),
    )  # fmt: skip


def _cosine(first: np.ndarray, second: np.ndarray) -> float:
    size = float(np.linalg.norm(first) * np.linalg.norm(second))
    return float(first @ second) / size if size else 0.0


def _flat(adapter: Adapter) -> np.ndarray:
    """The learned difference to everybody's adapter, as one vector."""
    return np.concatenate(
        [adapter.weights[site].flatten().double().numpy() for site in sorted(adapter.weights)]
    )


def _train(opened: OpenedProfile, key: str, n_seeds: int) -> Iterator[Adapter]:
    from fingerprint.adapters.population import count_population, train_author

    bench, slices, config = opened.bench, opened.plan.slices, opened.bench.config.adapter
    budget = count_population(bench.routed, slices.train, config).budget
    for n in range(1, n_seeds + 1):

        def progress(state: TrainProgress, n: int = n) -> None:
            name, speed = f"{key}, seed {n} of {n_seeds}", state.tokens_per_second
            bench.report(Stage(name, state.step, state.steps, speed, state.seconds_left))

        yield train_author(
            bench.routed, opened.adapter("reference"), slices.train.where_author(key), slices.dev,
            config.model_copy(update={"seed": config.seed + n}), author=key, budget=budget, progress=progress,
        )  # fmt: skip
