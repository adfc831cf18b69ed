"""Transplants: a few routes of one author's adapter added to the base, read on two authors' code.

If an attribution finds what is the author's own, its routes must help that author's code more than the
other's, and the other's routes the reverse (a double dissociation), and more so than random routes of like
energy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from fingerprint import FingerprintError
from fingerprint.attribution.report import Estimate, Transplant
from fingerprint.evaluation.faithfulness import like_energy_peers, most_cited
from fingerprint.evaluation.metrics import bootstrap_draws, percentile_interval
from fingerprint.lm.pair import ModelPair, RoutedModel, RouteWeights, scored_log_probs
from fingerprint.lm.tokens import TokenizedPassage, tokenize_passages
from fingerprint.passage import Passage
from fingerprint.routing.contributions import measure_contributions


@dataclass(frozen=True, eq=False)
class _Code:
    """Held-out code of both authors. owner: 0 or 1 per window; commits: of each; sizes: scored tokens."""

    rows: list[TokenizedPassage]
    owner: Float[np.ndarray, " n"]
    commits: list[str]
    sizes: Float[np.ndarray, " n"]


def transplant(
    routed: RoutedModel,
    states: Mapping[str, RouteWeights],
    choosing: Mapping[str, Sequence[Passage]],
    held_out: Mapping[str, Sequence[Passage]],
    *,
    n_routes: int,
    n_draws: int = 4,
    n_points: int = 2,
    max_tokens: int = 512,
    n_bootstrap: int = 1000,
    seed: int = 0,
) -> Transplant:
    """Swap the most contributing routes of two authors.

    Args:
        states: each author's state over the base. choosing: code on which each author's routes are chosen,
            by their helpful contributions to it. held_out: other code of theirs, on which gains are read.

    Raises:
        FingerprintError: not two authors, no code of one of them, or too few alive routes.
    """
    authors = tuple(states)
    if len(authors) != 2 or not all(choosing.get(a) and held_out.get(a) for a in authors):
        raise FingerprintError(
            f"A transplant needs two authors with code to choose on and held-out code, got {list(authors)}."
        )
    code, rng = _read(routed, [held_out[a] for a in authors], max_tokens), np.random.default_rng(seed)
    parts = [_Donor.of(routed, states[a], choosing[a], n_routes, n_points, max_tokens) for a in authors]
    base = _log_probs(routed, routed.zero_weights(), code)

    def gains(chosen: Sequence[Bool[np.ndarray, "s r"]]) -> Float[np.ndarray, "2 n"]:
        states = [donor.only(which) for donor, which in zip(parts, chosen, strict=True)]
        return np.stack([_log_probs(routed, state, code) for state in states]) - base

    top = gains([donor.chosen for donor in parts])
    drawn = [gains([donor.peers(rng) for donor in parts]) for _ in range(n_draws)]
    whole = gains([donor.alive for donor in parts])
    sizes = [code.sizes[code.owner == side].sum() for side in (0, 1)]
    return Transplant(
        authors=authors,
        n_routes=n_routes,
        n_alive=min(int(donor.alive.sum()) for donor in parts),
        gains={
            f"{donor} on {host}": float(top[i][code.owner == j].sum() / sizes[j])
            for i, donor in enumerate(authors)
            for j, host in enumerate(authors)
        },
        contrast=_contrast(top, code, n_bootstrap, seed),
        random=_contrast(np.mean(drawn, axis=0), code, n_bootstrap, seed),
        whole=_contrast(whole, code, n_bootstrap, seed),
    )


@dataclass(frozen=True, eq=False)
class _Donor:
    """One author's routes. energy, alive, chosen: by site and route."""

    routed: RoutedModel
    state: RouteWeights
    energy: Float[np.ndarray, "s r"]
    alive: Bool[np.ndarray, "s r"]
    chosen: Bool[np.ndarray, "s r"]

    @classmethod
    def of(
        cls,
        routed: RoutedModel,
        state: RouteWeights,
        passages: Sequence[Passage],
        n_routes: int,
        n_points: int,
        max_tokens: int,
    ) -> _Donor:
        norms = [(routed.scale * state[site].float().norm(dim=0)).cpu().numpy() for site in routed.sites]
        energy = np.stack(norms)
        alive = energy > 0
        if alive.sum() < 2 * n_routes:
            raise FingerprintError(f"A transplant of {n_routes} routes needs twice as many alive ones.")
        pair = ModelPair(routed, routed.zero_weights(), state)
        rows = tokenize_passages(routed.base, passages, max_tokens)
        found = measure_contributions(pair, passages, rows, n_points=n_points)
        chosen = most_cited(np.maximum(found.by_route.sum(0), 0.0), alive, n_routes)  # those that help
        return cls(routed, state, energy, alive, chosen)

    def peers(self, rng: np.random.Generator) -> Bool[np.ndarray, "s r"]:
        """Random routes of like energy."""
        return like_energy_peers(self.chosen, self.energy, self.alive, rng)

    def only(self, which: Bool[np.ndarray, "s r"]) -> RouteWeights:
        """The base with these of the author's routes."""
        found = {}
        for m, site in enumerate(self.routed.sites):
            kept = self.state[site].clone()
            kept[:, (~which[m]).nonzero()[0]] = 0
            found[site] = kept
        return found


def _read(routed: RoutedModel, passages: Sequence[Sequence[Passage]], max_tokens: int) -> _Code:
    rows, owner, commits = [], [], []
    for side, own in enumerate(passages):
        windows = tokenize_passages(routed.base, own, max_tokens)
        rows += windows
        owner += [float(side)] * len(windows)
        commits += [f"{side}/{own[w.passage_index].group or own[w.passage_index].path}" for w in windows]
    return _Code(rows, np.array(owner), commits, np.array([float(row.n_scored) for row in rows]))


def _log_probs(routed: RoutedModel, state: RouteWeights, code: _Code) -> Float[np.ndarray, " n"]:
    """Summed log-probability of every window's scored tokens in a state."""
    with routed.at(state, state, 0.0):
        values = scored_log_probs(routed, code.rows)
    return np.array([float(value.sum(dtype=np.float64)) for value in values])


def _contrast(gains: Float[np.ndarray, "2 n"], code: _Code, n_draws: int, seed: int) -> Estimate:
    """(own - other) summed over both donors, nats per scored token, commits resampled."""

    def contrast(rows: np.ndarray) -> float:
        total = 0.0
        for donor in (0, 1):
            for side in (0, 1):
                mine = rows[code.owner[rows] == side]
                size = code.sizes[mine].sum()
                part = gains[donor][mine].sum() / size if size else float("nan")
                total += part if donor == side else -part
        return float(total)

    draws = bootstrap_draws(contrast, code.commits, n_draws=n_draws, seed=seed)
    found = percentile_interval(contrast(np.arange(len(code.rows))), draws, 0.95)
    return Estimate(value=found.value, low=found.low, high=found.high, n=len(set(code.commits)))
