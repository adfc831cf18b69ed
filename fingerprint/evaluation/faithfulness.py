"""Faithfulness (T5): taking a text's most cited routes away must move its score more than taking others.

The cited routes of a text are those with the largest |contribution|. Their peers are drawn at random from the
alive routes of like energy, the size of a route's usual output, |s dB_m[:, i]| (E z^2 = 1): otherwise a few
strong routes would win merely by being strong. Ablating a route zeroes its column of dB.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Bool, Float, Int

from fingerprint import FingerprintError
from fingerprint.lm.pair import ModelPair, RouteWeights, scored_log_probs, subtract_weights
from fingerprint.lm.tokens import TokenizedPassage, tokenize_passages
from fingerprint.passage import Passage
from fingerprint.routing.contributions import measure_contributions

N_PEERS = 10
"""Alive routes nearest in energy from which one random peer of a cited route is drawn."""


@dataclass(frozen=True)
class Ablation:
    """What ablating routes does to the texts' log-ratio, in nats.

    Attributes:
        cited: [n] Lambda with all routes minus Lambda without the cited ones. random: [n, n_draws] the same
            without random peers. claimed: [n] sum of the cited routes' contributions, all positions counted.
    """

    cited: Float[np.ndarray, " n"]
    random: Float[np.ndarray, "n d"]
    claimed: Float[np.ndarray, " n"]

    @property
    def ratio(self) -> float:
        """Mean |change| by the cited routes over mean |change| by random ones; NaN when nothing moves."""
        moved = float(np.abs(self.random).mean())
        return float(np.abs(self.cited).mean()) / moved if moved > 0 else float("nan")

    @property
    def agreement(self) -> float:
        """Share of texts whose score moves in the direction that the contributions claim."""
        return float(np.mean(np.sign(self.cited) == np.sign(self.claimed)))


def ablate(
    pair: ModelPair,
    passages: Sequence[Passage],
    *,
    n_routes: int,
    n_draws: int = 4,
    n_points: int = 4,
    max_tokens: int = 512,
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
) -> Ablation:
    """Ablate every passage's n_routes most cited routes, and n_draws random sets as large.

    Args:
        pair: base -> team, or team -> author. n_points: Gauss-Legendre nodes of the contributions.
        progress: called with 1 after each passage.

    Raises:
        FingerprintError: fewer than 2 n_routes alive routes, so no peers are left.
    """
    routed, rng = pair.routed, np.random.default_rng(seed)
    change = subtract_weights(pair.end, pair.start)
    energy = np.stack(
        [(routed.scale * change[site].float().norm(dim=0)).cpu().numpy() for site in routed.sites]
    )
    alive = energy > 0
    if alive.sum() < 2 * n_routes:
        raise FingerprintError(
            f"Ablation needs {2 * n_routes} alive routes, the adapter has {int(alive.sum())}: ask for fewer."
        )
    cited, random, claimed = [], [], []
    for passage in passages:
        rows = tokenize_passages(routed.base, [passage], max_tokens)
        found = measure_contributions(pair, [passage], rows, n_points=n_points)
        chosen = most_cited(found.by_route[0], alive, n_routes)
        log_prob = partial(_log_prob, pair, change, rows)
        whole = log_prob(np.zeros_like(alive))
        cited.append(whole - log_prob(chosen))
        claimed.append(float(found.table[0].sum(axis=1)[chosen].sum()))
        random.append(
            [whole - log_prob(like_energy_peers(chosen, energy, alive, rng)) for _ in range(n_draws)]
        )
        if progress is not None:
            progress(1)
    return Ablation(np.array(cited), np.array(random).reshape(len(cited), n_draws), np.array(claimed))


def most_cited(
    contributions: Float[np.ndarray, "s r"], alive: Bool[np.ndarray, "s r"], n_routes: int
) -> Bool[np.ndarray, "s r"]:
    """The n alive routes (or other nodes) with the largest |contribution|."""
    size = np.where(alive, np.abs(contributions), -1.0).ravel()
    chosen = np.zeros(size.shape, dtype=bool)
    chosen[np.argsort(-size, kind="stable")[:n_routes]] = True
    return chosen.reshape(alive.shape)


def like_energy_peers(
    chosen: Bool[np.ndarray, "s r"],
    energy: Float[np.ndarray, "s r"],
    alive: Bool[np.ndarray, "s r"],
    rng: np.random.Generator,
) -> Bool[np.ndarray, "s r"]:
    """A random route of like energy for every chosen one; none chosen, none twice."""
    free: Int[np.ndarray, " f"] = np.flatnonzero((alive & ~chosen).ravel())
    size, picked = energy.ravel(), np.zeros(energy.size, dtype=bool)
    for route in rng.permutation(np.flatnonzero(chosen.ravel())):
        near = free[np.argsort(np.abs(size[free] - size[route]), kind="stable")[:N_PEERS]]
        peer = rng.choice(near)
        picked[peer] = True
        free = free[free != peer]
    return picked.reshape(energy.shape)


def _log_prob(
    pair: ModelPair,
    change: RouteWeights,
    rows: Sequence[TokenizedPassage],
    without: Bool[np.ndarray, "s r"],
) -> float:
    """Log-probability of the rows' scored tokens, nats, at the end state without some routes' columns."""
    state = {}
    for m, site in enumerate(pair.routed.sites):
        kept = change[site].clone()
        kept[:, without[m].nonzero()[0]] = 0
        state[site] = pair.start[site] + kept
    with pair.routed.at(state, state, 0.0):
        values = scored_log_probs(pair.routed, rows)
    return float(sum(value.sum(dtype=np.float64) for value in values))
