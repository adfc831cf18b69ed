"""A planted toy: a tiny model fine-tuned on one synthetic style, and texts in that and another style."""

from __future__ import annotations

import random
from types import SimpleNamespace

import pytest

from fingerprint.config import DriftConfig
from fingerprint.passage import Corpus, Passage, passage_from_lines
from fingerprint.provenance import Provenance

NAMES = "index value first second point print add self".split()


def own_lines(rng: random.Random, n: int) -> list[str]:
    """The team's habit: assignments on self, a trailing call."""
    return [f"self.{rng.choice(NAMES)} = {rng.choice(NAMES)}({rng.choice(NAMES)})" for _ in range(n)]


def foreign_lines(rng: random.Random, n: int) -> list[str]:
    """Another habit with the same names."""
    return [f"var {rng.choice(NAMES)} := {rng.choice(NAMES)}[{rng.choice(NAMES)}];" for _ in range(n)]


def make_commits(kind, n_commits: int, seed: int, *, language: str = "python") -> list[Passage]:
    """Commits of one to three hunks of two to eight lines."""
    rng = random.Random(seed)
    return [
        passage_from_lines(
            [(False, "def add(first, second):"), *((True, line) for line in kind(rng, rng.randint(2, 8)))],
            path=f"{seed}/{commit}.py",
            language=language,
            section="class Point:",
            group=f"{seed}-{commit}",
            written_at=float(commit),
            first_line=10,
        )
        for commit in range(n_commits)
        for _ in range(rng.randint(1, 3))
    ]


def train_state(routed, passages: list[Passage], n_steps: int):
    """A state fine-tuned on passages with plain Adam."""
    import torch

    from fingerprint.lm.tokens import length_buckets, mean_loss, pad_batch, tokenize_passages

    rows = tokenize_passages(routed.base, passages, 256)
    routed.set_weights(routed.zero_weights())
    optimiser = torch.optim.Adam(list(routed.parameters.values()), lr=0.02)
    batches = length_buckets(rows, 2048)
    for step in range(n_steps):
        loss = mean_loss(routed.model, pad_batch(rows, batches[step % len(batches)]))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    state = routed.weights()
    for b in routed.parameters.values():
        b.grad = None
    routed.set_weights(routed.zero_weights())
    return state


@pytest.fixture(scope="session")
def toy(tiny_base) -> SimpleNamespace:
    """routed, team_weights, null_weights, foreign, slices, signature, config of the planted toy team."""
    from fingerprint.drift.reference import build_team_signature
    from fingerprint.lm.pair import RoutedModel
    from fingerprint.lm.routes import random_routes
    from fingerprint.routing.team import slice_team

    config = DriftConfig(
        slices=(0.3, 0.25, 0.35, 0.1), integration_points=2, power_draws=40, power_sizes=(60, 120)
    )
    routed = RoutedModel(tiny_base, random_routes(tiny_base, 4, seed=1))
    slices = slice_team(Corpus.of(make_commits(own_lines, 90, seed=1)), config)
    team_weights = train_state(routed, list(slices.train), 45)
    foreign = make_commits(foreign_lines, 30, seed=2)
    null_weights = train_state(routed, foreign, 15)
    signature = build_team_signature(
        slices,
        routed=routed,
        team_weights=team_weights,
        config=config,
        provenance=Provenance("tiny", "r", "a", "c", config.digest, 0),
        authors=("ann",),
        null_weights=null_weights,
        foreign=foreign,
    )
    return SimpleNamespace(
        routed=routed,
        team_weights=team_weights,
        null_weights=null_weights,
        foreign=foreign,
        slices=slices,
        signature=signature,
        config=config,
    )
