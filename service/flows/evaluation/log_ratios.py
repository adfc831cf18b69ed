"""Code read by the base and by one team's adapter: the log-ratio without its routes, two passes a text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from fingerprint.evaluation.novelty import BASE, TEAM, Side, read_log_probs
from fingerprint.lm.tokens import tokenize_passages
from fingerprint.passage import Corpus, Passage
from fingerprint.routing.extract import Measures
from service.flows.evaluation.setup import Setup

if TYPE_CHECKING:
    from fingerprint.adapters.adapter import Adapter


def read_log_ratios(setup: Setup, name: str, team: Adapter, passages: Sequence[Passage]) -> Side:
    """Passages under base and team; phi is zero and says nothing.

    Args:
        name: of the arrays in the store.
    """
    bench = setup.bench
    states = {BASE: bench.routed.zero_weights(), TEAM: team.state}

    def compute() -> Mapping[str, np.ndarray]:
        found = read_log_probs(passages, bench.routed, states, bench.config.drift)
        return found | {"n_scored": _sizes(setup, passages)}

    facts = {"team": team.digest, "passages": Corpus(tuple(passages)).digest}
    found = setup.arrays(name, compute, adapters=(), **facts)
    n = len(passages)
    measures = Measures(
        tuple(p.group for p in passages), tuple(p.language for p in passages), found.pop("n_scored"),
        found[TEAM] - found[BASE], np.zeros((n, 1)), np.zeros((n, 1)), np.zeros(n),
    )  # fmt: skip
    return Side(tuple(passages), measures, found)


def _sizes(setup: Setup, passages: Sequence[Passage]) -> np.ndarray:
    rows = tokenize_passages(setup.bench.routed.base, passages, setup.bench.config.drift.passage_tokens)
    owner = np.array([row.passage_index for row in rows], dtype=int)
    return np.bincount(owner, weights=[row.n_scored for row in rows], minlength=len(passages)).astype(float)
