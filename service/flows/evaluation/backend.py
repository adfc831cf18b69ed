"""The trained back-end: weights learnt on the other repositories, tried on the one left out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fingerprint.evaluation.results import TransferRow
from fingerprint.evaluation.tables import ClosedSet
from fingerprint.evaluation.transfer import Labelled, fit_transferred

ROUTES, KINDS = "routes", "perplexity by kind of token"
BOTH = "routes + perplexity by kind of token"


@dataclass(frozen=True, eq=False)
class Donation:
    """What one repository gives to the others' back-end, and what it is itself tried on.

    Attributes:
        past, test: features [n, K, F] of either slice, by ROUTES and KINDS. past_labels: author columns.
        closed: the test texts. peers: test scores [n, K] that the back-end is compared with, by system.
    """

    name: str
    past: Mapping[str, np.ndarray]
    test: Mapping[str, np.ndarray]
    past_labels: np.ndarray
    closed: ClosedSet
    peers: Mapping[str, np.ndarray]

    def features(self, system: str) -> tuple[np.ndarray, np.ndarray]:
        """Features of the past and the test slice."""
        names = (ROUTES, KINDS) if system == BOTH else (system,)
        past, test = (np.concatenate([part[n] for n in names], axis=2) for part in (self.past, self.test))
        return past, test

    def labelled(self, system: str) -> Labelled:
        """Every text, for training others' weights."""
        labels = np.concatenate([self.past_labels, self.closed.labels])
        return Labelled(np.concatenate(self.features(system)), labels)


def leave_one_out(donations: Sequence[Donation]) -> list[TransferRow]:
    """Every repository by the weights of all others; empty with fewer than two."""
    if len(donations) < 2:
        return []
    return [row for one in donations for row in _rows(one, [d for d in donations if d is not one])]


def _rows(one: Donation, others: Sequence[Donation]) -> Iterator[TransferRow]:
    for system in (ROUTES, KINDS, BOTH):
        found = fit_transferred({other.name: other.labelled(system) for other in others})
        past, test = one.features(system)
        name = f"{system}, weights of {len(others)} other repositories"
        scores = {name: found.score(test, past), **one.peers}
        judged = {row.unit: row for row in one.closed.judge(name, scores[name])}
        contrasts = [row for peer in one.peers for row in one.closed.contrast(scores, name, peer)]
        for unit, row in judged.items():
            own = {c.second: c.auroc for c in contrasts if c.unit == unit}
            yield TransferRow(
                repository=one.name, system=name, unit=unit, n=row.n, auroc=row.auroc, minus=own
            )
