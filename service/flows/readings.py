"""What trained adapters say: losses on everybody's code, and each author's routing signature."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fingerprint.passage import Corpus
from fingerprint.storage import write_json
from service.artifacts import read_arrays, read_json, write_arrays
from service.flows.passages import spread_passages
from service.flows.signatures import save_signature
from service.flows.training import Bench, Slices, Trained

if TYPE_CHECKING:
    from fingerprint.lm.tokens import TokenizedPassage

MOST_LOSS_TOKENS = 6_000
"""Scored dev tokens read of each author for the losses, at most; a tenth of the budget below."""
MOST_SIGNATURE_TOKENS = 3_000
"""The same for the signature, which costs several times as much a token; a 25th of the budget below."""


@dataclass(frozen=True)
class Losses:
    """Dev losses, nats per scored token.

    Attributes:
        rows: "base", "team", "null team" and "reference" where there are any, authors, nulls
            ("author/set").
        columns: authors with dev code. matrix: [n_rows, n_columns].
    """

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    matrix: np.ndarray

    def of(self, row: str, column: str) -> float | None:
        """One entry, None when either is missing."""
        if row not in self.rows or column not in self.columns:
            return None
        return float(self.matrix[self.rows.index(row), self.columns.index(column)])


def measure_losses(bench: Bench, slices: Slices, trained: Trained) -> Losses:
    """The N x N matrix of the population protocol, with base, team and nulls as rows."""
    from fingerprint.adapters.population import loss_matrix

    shared = {"team": trained.team, "null team": trained.null_team, "reference": trained.reference}
    states = {name: adapter.state for name, adapter in shared.items() if adapter is not None}
    states |= {name: adapter.state for name, adapter in (trained.authors | trained.nulls).items()}
    n_tokens = min(MOST_LOSS_TOKENS, bench.config.adapter.author_tokens // 10)
    digest = bench.digest("losses", adapters=trained.digests, dev=slices.dev.digest, tokens=n_tokens)

    def write(directory: Path) -> None:
        dev = _dev_windows(bench, slices.dev, n_tokens)
        matrix = loss_matrix(bench.routed, states, dev) if dev else np.zeros((1 + len(states), 0))
        write_json(directory / "labels.json", {"rows": ["base", *states], "columns": list(dev)})
        write_arrays(directory / "losses.safetensors", {"matrix": matrix})

    place = bench.make("losses", digest, "losses on everybody's dev code", write)
    labels = read_json(place / "labels.json")
    matrix = read_arrays(place / "losses.safetensors")["matrix"]
    return Losses(tuple(labels["rows"]), tuple(labels["columns"]), matrix)


def _dev_windows(bench: Bench, dev: Corpus, n_tokens: int) -> dict[str, list[TokenizedPassage]]:
    from fingerprint.adapters.budget import count_scored, spread_windows, windows_by_author
    from fingerprint.lm.tokens import tokenize_passages

    windows = tokenize_passages(bench.routed.base, dev.passages, bench.config.adapter.max_passage_tokens)
    found = windows_by_author(dev.passages, windows)
    return {
        author: spread_windows(own, n_tokens) for author, own in sorted(found.items()) if count_scored(own)
    }


def make_author_signatures(bench: Bench, slices: Slices, trained: Trained) -> dict[str, str]:
    """Digest of every trained author's routing signature."""
    return {author: _make_author_signature(bench, slices, trained, author) for author in trained.authors}


def _make_author_signature(bench: Bench, slices: Slices, trained: Trained, author: str) -> str:
    from fingerprint.routing.extract import extract_signature

    adapter, reference = trained.authors[author], trained.reference
    assert reference is not None, "there is an author"
    n_tokens = min(MOST_SIGNATURE_TOKENS, bench.config.adapter.author_tokens // 25)
    nulls = {name: null.weights for name, null in trained.nulls.items()}
    digest = bench.digest(
        "author signature", author=author, adapter=trained.digests[author], dev=slices.dev.digest,
        nulls=[trained.digests[name] for name in nulls], config=bench.config.drift.digest,
        tokens=n_tokens,
    )  # fmt: skip

    def write(directory: Path) -> None:
        passages = spread_passages(slices.dev.where_author(author).passages, n_tokens)
        signature = extract_signature(
            author, routed=bench.routed, reference=reference.state, difference=adapter.weights,
            passages=passages, null_differences=list(nulls.values()), config=bench.config.drift,
            provenance=bench.provenance(slices.digest), facts=adapter.facts,
        )  # fmt: skip
        save_signature(signature, directory)

    bench.make("author-signature", digest, f"signature of {author}", write)
    return digest
