"""Parts in, the answer about an author out: what stands out of each read, and where the reads agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from fingerprint.readings.agreement import agreements, shown
from fingerprint.readings.part import Absence, Part
from fingerprint.readings.report import AuthorReads, Missing, PartSummary, Place

N_TOP = 6
"""Places shown of each part."""


def answer(
    author: str,
    parts: Sequence[Part],
    absences: Sequence[Absence],
    *,
    n_tokens: int,
    n_commits: int,
    statements: Mapping[str, str] | None = None,
    seed: int = 0,
) -> AuthorReads:
    """Everything read of one author."""
    return AuthorReads(
        author=author,
        n_tokens=n_tokens,
        n_commits=n_commits,
        parts=tuple(summarise(part) for part in parts),
        missing=tuple(Missing(read=a.read, reason=a.reason, command=a.command) for a in absences),
        statements=dict(statements or {}),
        agreements=agreements(parts, seed),
    )


def summarise(part: Part) -> PartSummary:
    """One part in a line, with the places farthest beyond the nulls.

    One more null adapter would lie above n others at a share 1 / (n + 1) of the places: that many are
    expected of an author who is like the nulls.
    """
    n, (low, high) = len(part.null), part.band
    size = np.abs(part.own) if part.is_signed else part.own
    highest = np.abs(part.null).max(axis=0) if part.is_signed and n else high
    return PartSummary(
        read=part.read,
        axis=part.axis,
        unit=part.unit,
        n_places=len(part.places),
        n_nulls=n,
        n_above=int((size > highest).sum()) if n else None,
        expected_above=len(part.places) / (n + 1) if n else None,
        top=tuple(
            Place(
                place=part.places[i] if part.axis != "tokens" else shown(part.places[i]),
                own=float(part.own[i]),
                low=float(low[i]) if n else None,
                high=float(high[i]) if n else None,
            )
            for i in np.argsort(-(np.abs(part.beyond()) if n else size), kind="stable")[:N_TOP]
        ),
    )
