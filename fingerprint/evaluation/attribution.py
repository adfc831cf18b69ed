"""Per-author perplexity (B7, ALM) and the routes' first-order scan, on the same samples.

ALM scores a sample by exact log-likelihood under every author's adapter; the scan gets all authors from one
forward and one backward pass at the team model and resolves the same number by site (routing.md section 2).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from fingerprint.evaluation.protocol import Sample
from fingerprint.lm.pair import RoutedModel, RouteWeights, scored_log_probs
from fingerprint.lm.tokens import TokenizedPassage, tokenize_passages
from fingerprint.routing.scan import Scan, StackedDifferences, scan

Progress = Callable[[int], None]
"""Called with the number of tokens just done."""


def _silent(_n_tokens: int) -> None:
    """No progress wanted."""


@dataclass(frozen=True, eq=False)
class SampleRows:
    """Samples as the model reads them.

    Attributes:
        rows: windows. owner: sample number of each window. n_scored: scored tokens of each sample [n].
    """

    rows: tuple[TokenizedPassage, ...]
    owner: Int[np.ndarray, " r"]
    n_scored: Int[np.ndarray, " n"]

    @property
    def token_owner(self) -> Int[np.ndarray, " t"]:
        """Sample number of every scored token, rows in order."""
        return np.repeat(self.owner, [row.n_scored for row in self.rows])

    @property
    def token_ids(self) -> Int[np.ndarray, " t"]:
        """Every scored token, rows in order."""
        return np.concatenate([*(row.ids[row.scored] for row in self.rows), np.zeros(0, int)]).astype(int)

    @property
    def n_tokens(self) -> int:
        """Tokens read in one pass, padding not counted."""
        return sum(len(row) for row in self.rows)


def tokenize_samples(
    routed: RoutedModel, samples: Sequence[Sample], *, max_tokens: int = 512, most_scored: int = 512
) -> SampleRows:
    """Tokenize every sample's passages, up to a cap.

    Windows after a sample's first ``most_scored`` scored tokens are left out: this bounds what one huge
    file costs. The last window taken is kept whole.
    """
    flat = [(index, passage) for index, sample in enumerate(samples) for passage in sample.passages]
    windows = tokenize_passages(routed.base, [passage for _, passage in flat], max_tokens)
    rows: list[TokenizedPassage] = []
    owner: list[int] = []
    n_scored = np.zeros(len(samples), dtype=int)
    for row in windows:
        index = flat[row.passage_index][0]
        if n_scored[index] >= most_scored:
            continue
        rows.append(row)
        owner.append(index)
        n_scored[index] += row.n_scored
    return SampleRows(tuple(rows), np.array(owner, dtype=int), n_scored)


def sample_log_probs(
    routed: RoutedModel, states: Mapping[str, RouteWeights], read: SampleRows, progress: Progress = _silent
) -> dict[str, Float[np.ndarray, " n"]]:
    """Summed log-probability, in nats, of every sample's scored tokens, by the state's name."""
    found = token_log_probs(routed, states, read, progress)
    n_texts = len(read.n_scored)
    return {
        name: np.bincount(read.token_owner, weights=values, minlength=n_texts)
        for name, values in found.items()
    }


def token_log_probs(
    routed: RoutedModel, states: Mapping[str, RouteWeights], read: SampleRows, progress: Progress = _silent
) -> dict[str, Float[np.ndarray, " t"]]:
    """Log-probability, in nats, of every scored token of the rows in order, by the state's name."""
    before = routed.weights()
    found: dict[str, np.ndarray] = {}
    try:
        for name, state in states.items():
            routed.set_weights(state)
            found[name] = np.concatenate([*scored_log_probs(routed, read.rows), np.zeros(0)])
            progress(read.n_tokens)
    finally:
        routed.set_weights(before)
    return found


def alm_scores(
    log_probs: Mapping[str, np.ndarray], authors: Sequence[str], reference: str, n_scored: np.ndarray
) -> Float[np.ndarray, "n k"]:
    """ALM: (log p_author - log p_reference) per scored token, one column per author.

    After centring rows over authors the reference cancels: against the team or against the base makes no
    difference to attribution, only to what the number means by itself.
    """
    own = np.stack([log_probs[author] - log_probs[reference] for author in authors], axis=1)
    return own / np.maximum(n_scored, 1)[:, None]


SAMPLES_AT_ONCE = 64
"""Samples scanned together: enough to batch their rows by length and to read every D once for all of them."""


def scan_samples(
    routed: RoutedModel,
    team: RouteWeights,
    differences: Sequence[RouteWeights],
    read: SampleRows,
    *,
    progress: Progress = _silent,
) -> Float[np.ndarray, "n k s"]:
    """First-order log-ratio of every difference by site, nats per scored token, from one backward pass.

    All source positions count, so that the sum over sites is the first-order log p_author - log p_team.
    """
    found = np.zeros((len(read.n_scored), len(differences), len(routed.sites)))
    if not differences:
        return found
    stacked = StackedDifferences.of({str(k): difference for k, difference in enumerate(differences)})
    for chosen, here in scanned(routed, team, read, progress=progress):
        found[chosen] = here.by_site(stacked) / here.n_scored[:, None, None]
    return found


def scanned(
    routed: RoutedModel, team: RouteWeights, read: SampleRows, *, progress: Progress = _silent
) -> Iterator[tuple[Int[np.ndarray, " m"], Scan]]:
    """(sample numbers, their K at a state), some at a time; samples without scored tokens never."""
    scored = np.flatnonzero(read.n_scored)
    for start in range(0, len(scored), SAMPLES_AT_ONCE):
        chosen = scored[start : start + SAMPLES_AT_ONCE]
        at = np.flatnonzero(np.isin(read.owner, chosen))
        rows = [read.rows[i] for i in at]
        yield chosen, scan(routed, team, rows, np.searchsorted(chosen, read.owner[at]))
        progress(sum(len(row) for row in rows))
