"""Routing signatures: named numpy readings with their provenance."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fingerprint.provenance import Provenance

FORMAT = 1


@dataclass(frozen=True)
class RoutingSignature:
    """How one author (or agent) uses the routes, against the team and the base.

    Attributes:
        author: key of the author.
        readings: named arrays, each shaped as its reader documents (for instance
            "difference_by_route" [n_sites, r]: Frobenius norm of D_n by route).
        null: the same names, read from null adapters: [n_null, ...].
        facts: scalars for people (tokens, losses, commits), JSON-serialisable.
        provenance: where it came from.
    """

    author: str
    readings: dict[str, np.ndarray]
    null: dict[str, np.ndarray]
    facts: dict[str, Any]
    provenance: Provenance


@dataclass(frozen=True)
class TeamSignature:
    """The distribution of a team's routing on its own commits, and what scoring needs.

    Attributes:
        readings: named arrays: "calibration_<cell>" nonconformity scores, one per commit, and the
            fitted normaliser's parameters (see drift.score).
        null: the same from the null team adapter.
        facts: scalars and small tables for people: authors, languages, tokens, losses, power curve.
        provenance: where it came from.
        authors: keys of the enrolled authors.
    """

    readings: dict[str, np.ndarray]
    null: dict[str, np.ndarray]
    facts: dict[str, Any]
    provenance: Provenance
    authors: tuple[str, ...] = field(default=())
