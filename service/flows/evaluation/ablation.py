"""Do the cited routes carry the score (T5): the team's later hunks with and without them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from fingerprint.evaluation.faithfulness import Ablation, ablate
from fingerprint.evaluation.metrics import cluster_bootstrap
from fingerprint.evaluation.protocol import cap_spread
from fingerprint.evaluation.results import AblationRow
from fingerprint.evaluation.tables import figure
from fingerprint.lm.pair import ModelPair
from fingerprint.passage import Corpus
from service.flows.evaluation.setup import Setup

N_ROUTES = (5, 20)
"""Routes taken away at once."""


def ablate_routes(setup: Setup) -> list[AblationRow]:
    """One row a number of routes: the team's B over the base, on each test sample's longest hunk."""
    config = setup.config
    samples = cap_spread(setup.material.test, config.ablated_hunks, config.seed)
    if not samples:
        return []
    passages = [max(sample.passages, key=lambda passage: len(passage.marked)) for sample in samples]
    routed, team = setup.bench.routed, setup.trained.team.state
    pair, digest = ModelPair(routed, routed.zero_weights(), team), Corpus(tuple(passages)).digest
    rows = []
    for n_routes in N_ROUTES:
        name = f"ablation of {n_routes} routes"

        def compute(n_routes: int = n_routes, name: str = name) -> Mapping[str, np.ndarray]:
            found = ablate(
                pair, passages, n_routes=n_routes, max_tokens=setup.bench.config.drift.passage_tokens,
                seed=config.seed, progress=setup.bench.counter(name, len(passages)),
            )  # fmt: skip
            return {"cited": found.cited, "random": found.random, "claimed": found.claimed}

        with setup.clock.phase("ablation"):
            found = Ablation(**setup.arrays(name, compute, passages=digest))
        rows.append(_row(found, n_routes, [sample.group for sample in samples], config.n_draws))
    return rows


def _row(found: Ablation, n_routes: int, commits: list[str], n_draws: int) -> AblationRow:
    def ratio(at: np.ndarray) -> float:
        return Ablation(found.cited[at], found.random[at], found.claimed[at]).ratio

    return AblationRow(
        n_routes=n_routes, n=len(commits), agreement=found.agreement,
        ratio=figure(cluster_bootstrap(ratio, commits, n_draws=n_draws)),
    )  # fmt: skip
