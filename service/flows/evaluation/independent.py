"""Perplexity under an ordinary LoRA of every author, for the comparison with routes that all share."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np

from fingerprint.adapters.independent import IndependentAdapter, train_independent
from fingerprint.adapters.population import author_windows
from fingerprint.evaluation.attribution import SampleRows
from fingerprint.evaluation.config import EvaluationConfig
from fingerprint.evaluation.results import BaseRow
from fingerprint.evaluation.systems import ALM, B6, INDEPENDENT, UNDER_FIRST
from fingerprint.lm.pair import scored_log_probs
from service.flows.bench import Progress
from service.flows.evaluation.all import choice_of
from service.flows.evaluation.backend import Donation
from service.flows.evaluation.baselines import tokenize
from service.flows.evaluation.manifest import RepositoryEntry, find_clone
from service.flows.evaluation.setup import Setup, open_bench, set_up
from service.flows.evaluation.text import choose_material, read_history_of
from service.settings import Settings

LEARNING_RATES = (1e-3, 3e-3)
"""AdamW's, tried on every author; the one of the lowest mean dev loss is kept."""


def open_setup(
    entry: RepositoryEntry, folder: Path, settings: Settings, config: EvaluationConfig, report: Progress
) -> Setup:
    """What ``evaluate`` works with on this repository, without foreign code; adapters are found if stored."""
    clone, choice = find_clone(entry, folder), choice_of(entry)
    history = read_history_of(clone, settings, config, choice)
    material = choose_material(history, config, choice.authors)
    return set_up(open_bench(clone, settings, config, report), history, None, material, config)


def independent_row(setup: Setup, first: BaseRow, donated: Donation) -> BaseRow:
    """The hunks of ``donated`` by adapters that share nothing, at the same tokens, order and stopping.

    Args:
        first: the row of the same base over shared routes.
    """
    read = tokenize(setup, setup.material.test)
    by_rate = {rate: _read_at(setup, read, rate) for rate in LEARNING_RATES}
    chosen = min(by_rate, key=lambda rate: float(np.mean([one["dev_loss"] for one in by_rate[rate]])))
    found = by_rate[chosen]
    own = np.stack([np.bincount(read.token_owner, one["log_probs"], len(read.n_scored)) for one in found], 1)
    scores = {INDEPENDENT: own / np.maximum(read.n_scored, 1)[:, None]}
    closed = donated.closed
    against = {f"{ALM}{UNDER_FIRST}": donated.peers[ALM], B6: donated.peers[B6]}
    return first.model_copy(update={
        "base": f"{first.base}, independent adapters (AdamW at {chosen:g})",
        "n_improved": sum(bool(one["dev_loss"] < one["start_dev_loss"]) for one in found),
        "systems": tuple(closed.judge(INDEPENDENT, scores[INDEPENDENT])),
        "contrasts": tuple(
            row for other in against for row in closed.contrast(scores | against, INDEPENDENT, other)
        ),
    })  # fmt: skip


def _read_at(setup: Setup, read: SampleRows, rate: float) -> list[dict[str, np.ndarray]]:
    """Log-probabilities of the test tokens and dev losses, author by author."""
    return [
        setup.arrays(
            f"independent adapter of {author}, rate {rate:g}",
            partial(_read_author, setup, read, author, rate),
            adapters=(),
        )
        for author in setup.material.authors
    ]


def _read_author(setup: Setup, read: SampleRows, author: str, rate: float) -> Mapping[str, np.ndarray]:
    adapter = _train(setup, author, rate)
    config = setup.bench.config.adapter
    routed = adapter.on(setup.bench.routed.base, config.scale)
    found = np.concatenate([*scored_log_probs(routed, read.rows), np.zeros(0)])
    return {
        "log_probs": found.astype(np.float32),
        "start_dev_loss": np.array(adapter.start_dev_loss),
        "dev_loss": np.array(adapter.dev_loss),
    }


def _train(setup: Setup, author: str, rate: float) -> IndependentAdapter:
    bench, slices = setup.bench, setup.slices
    config, budget = bench.config.adapter, setup.trained.budget
    train = slices.train.where_author(author)
    windows, dev = author_windows(bench.routed, train, slices.dev, author, config)
    return train_independent(
        bench.routed.base, windows, dev, config, rank=bench.routed.routes.rank, budget_tokens=budget,
        learning_rate=rate, progress=bench.counter(f"own A of {author} at {rate:g}", budget),
    )  # fmt: skip
