"""What trained adapters say: losses on everybody's code, and each author's routing signature."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fingerprint.passage import Corpus, Passage
from fingerprint.storage import write_json
from service.artifacts import read_arrays, read_json, write_arrays
from service.flows.bench import Bench, ForeignSlices, Slices
from service.flows.passages import spread_passages
from service.flows.signatures import save_signature
from service.flows.training import Trained, train_all

if TYPE_CHECKING:
    from fingerprint.adapters.adapter import Adapter
    from fingerprint.lm.tokens import TokenizedPassage
    from fingerprint.routing.extract import Measures

MOST_LOSS_TOKENS = 6_000
"""Scored dev tokens read of each author for the losses, at most; a tenth of the budget below."""
MOST_SIGNATURE_TOKENS = 3_000
"""The same for the signature, which costs several times as much a token; a 25th of the budget below."""
_KIND = "team-measures"
_SUMS = ("n_scored", "log_ratio", "phi", "magnitude", "gap")


@dataclass(frozen=True)
class Losses:
    """Dev losses, nats per scored token.

    Attributes:
        rows: "base", "team", "null team" and "reference" where there are any, authors, nulls
            ("author/set").
        columns: authors with dev code. matrix: [n_rows, n_columns].
        null_team: of the null team's adapter, on the dev code that the team's own was stopped on.
    """

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    matrix: np.ndarray
    null_team: float | None

    def of(self, row: str, column: str) -> float | None:
        """One entry, None when either is missing."""
        if row not in self.rows or column not in self.columns:
            return None
        return float(self.matrix[self.rows.index(row), self.columns.index(column)])


def measure_losses(bench: Bench, slices: Slices, trained: Trained) -> Losses:
    """The N x N matrix of the population protocol, with base, team and nulls as rows."""
    from fingerprint.adapters.population import loss_matrix, stopping_loss

    shared = {"team": trained.team, "null team": trained.null_team, "reference": trained.reference}
    states = {name: adapter.state for name, adapter in shared.items() if adapter is not None}
    states |= {name: adapter.state for name, adapter in (trained.authors | trained.nulls).items()}
    n_tokens = min(MOST_LOSS_TOKENS, bench.config.adapter.author_tokens // 10)
    digest = bench.digest(
        "losses", adapters=trained.digests, dev=slices.dev.digest, tokens=n_tokens, layout=2
    )

    def write(directory: Path) -> None:
        dev = _dev_windows(bench, slices.dev, n_tokens)
        matrix = loss_matrix(bench.routed, states, dev) if dev else np.zeros((1 + len(states), 0))
        null = trained.null_team
        null_team = null and stopping_loss(bench.routed, null.state, slices.dev, bench.config.adapter)
        labels = {"rows": ["base", *states], "columns": list(dev), "null_team": null_team}
        write_json(directory / "labels.json", labels)
        write_arrays(directory / "losses.safetensors", {"matrix": matrix})

    place = bench.make("losses", digest, "losses on everybody's dev code", write)
    labels = read_json(place / "labels.json")
    matrix = read_arrays(place / "losses.safetensors")["matrix"]
    return Losses(tuple(labels["rows"]), tuple(labels["columns"]), matrix, labels["null_team"])


def _dev_windows(bench: Bench, dev: Corpus, n_tokens: int) -> dict[str, list[TokenizedPassage]]:
    from fingerprint.adapters.budget import count_scored, spread_windows, windows_by_author
    from fingerprint.lm.tokens import tokenize_passages

    windows = tokenize_passages(bench.routed.base, dev.passages, bench.config.adapter.max_passage_tokens)
    found = windows_by_author(dev.passages, windows)
    return {
        author: spread_windows(own, n_tokens) for author, own in sorted(found.items()) if count_scored(own)
    }


@dataclass
class TeamReader:
    """What the team's routes say of passages, kept until the signature is made of it.

    A killed run, or a second process beside this one, has read for us.

    Attributes:
        count: told of scored tokens just read.
    """

    bench: Bench
    team: Adapter
    count: Callable[[int], None] | None = None
    _read: set[str] = field(default_factory=set)

    def read(self, passages: Sequence[Passage]) -> Measures:
        """Found, or measured and kept."""
        from fingerprint.drift.reference import read_team
        from fingerprint.routing.extract import Measures

        drift, texts = self.bench.config.drift, Corpus(tuple(passages))
        dials = [drift.integration_points, drift.passage_tokens, drift.batch_tokens]
        digest = self.bench.digest("team measures", team=self.team.digest, texts=texts.digest, dials=dials)

        def write(directory: Path) -> None:
            found = read_team(self.bench.routed, self.team.state, passages, drift, self.count)
            write_json(directory / "labels.json", [found.groups, found.languages])
            write_arrays(directory / "sums.safetensors", {name: getattr(found, name) for name in _SUMS})

        place = self.bench.make(_KIND, digest, "what the routes say of commits", write)
        self._read.add(digest)
        groups, languages = read_json(place / "labels.json")
        sums = read_arrays(place / "sums.safetensors")
        n_scored, log_ratio, phi, magnitude, gap = (sums[name] for name in _SUMS)
        return Measures(tuple(groups), tuple(languages), n_scored, log_ratio, phi, magnitude, gap)

    def drop(self) -> None:
        """Delete what was read: commit by commit it says more than a signature needs."""
        for digest in self._read:
            self.bench.store.remove(_KIND, digest)
            if self.bench.record is not None:
                self.bench.record.release(_KIND, digest)


def fill_readings(bench: Bench, slices: Slices, foreign: ForeignSlices) -> None:
    """What does not wait for the team's signature, for a second process: part of it, and the authors'."""
    from fingerprint.drift.reference import measured_code

    trained = train_all(bench, slices, foreign)
    TeamReader(bench, trained.team).read(measured_code((slices.calibration,), bench.config.drift))
    make_author_signatures(bench, slices, trained)
    measure_losses(bench, slices, trained)


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
