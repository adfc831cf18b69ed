"""Evidence over one author's commits, one after another: how soon is it said that they are not the team's?

A *stream* is a run of consecutive commits of one author. After each of them ``sequential_evidence`` gives a
p-value that may be looked at every time; a stream is found when it has reached the level. The team's own
authors, held against the team in the same way, say how often that happens to those who belong. Torch-free.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from fingerprint.drift.calibrate import effective_interval
from fingerprint.drift.martingale import sequential_evidence
from fingerprint.evaluation.results import Figure, SequenceRow

LENGTH = 20
"""Commits of a stream; what an author has left over is not used."""
LEVEL = 0.05
LEAST_REFERENCE = 30
"""Fewer reference commits than this and a stream is left out: no p-value could be small."""


@dataclass(frozen=True, eq=False)
class Stream:
    """A run of one author's commits, oldest first: scores [t], larger for more foreign; when it begins."""

    scores: Float[np.ndarray, " t"]
    author: str
    begins: float


def streams_of(
    scores: Float[np.ndarray, " n"], authors: Sequence[str], written_at: Float[np.ndarray, " n"]
) -> Iterator[Stream]:
    """Runs of LENGTH consecutive commits of every author, without overlap.

    Args:
        authors, written_at: of each commit; seconds since the epoch.
    """
    names = np.array(authors)
    for author in np.unique(names):
        own = np.flatnonzero(names == author)
        own = own[np.argsort(written_at[own], kind="stable")]
        for start in range(0, len(own) - LENGTH + 1, LENGTH):
            run = own[start : start + LENGTH]
            yield Stream(scores[run], str(author), float(written_at[run[0]]))


def judge_streams(
    who: str, part: str, against: str, streams: Iterable[tuple[Stream, Float[np.ndarray, " r"]]]
) -> SequenceRow | None:
    """One row of streams; None when no stream has a reference of LEAST_REFERENCE commits.

    Args:
        streams: each with the team's scores that it is held against.
    """
    kept = [(stream, reference) for stream, reference in streams if len(reference) >= LEAST_REFERENCE]
    if not kept:
        return None
    found = [sequential_evidence(reference, stream.scores) for stream, reference in kept]
    is_found = np.array([p_values <= LEVEL for p_values in found])
    n_found, n = int(is_found[:, -1].sum()), len(found)
    low, high = effective_interval(float(n_found), float(n))
    delays = np.where(is_found.any(axis=1), is_found.argmax(axis=1) + 1, np.inf)
    median = float(np.median(delays))
    return SequenceRow(
        who=who, part=part, against=against, n_streams=n,
        n_authors=len({stream.author for stream, _ in kept}), length=LENGTH,
        found=Figure(value=n_found / n, low=low, high=high), found_by_5=float(is_found[:, 4].mean()),
        found_by_10=float(is_found[:, 9].mean()), median_delay=median if np.isfinite(median) else None,
    )  # fmt: skip
