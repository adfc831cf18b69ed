"""How far a text is from a team: the routes' score and the lexical one, alone and fused.

Both are put on the scale of the team's dev commits (standard deviations above the usual), then averaged. On
held-out history n-grams find strangers that the routes miss at the lowest false-alarm rates, so the default
verdict is the fusion; the routes' own score and p-value stand in every answer (fingerprint/evaluation).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from fingerprint.config import View
from fingerprint.drift.lexical import LexicalView, read_counts
from fingerprint.passage import Passage
from fingerprint.routing.extract import Measures
from fingerprint.routing.team import Normaliser, two_piece, two_piece_scale
from fingerprint.signature import TeamSignature

ROUTES, NGRAMS = "routes", "n-grams"
"""Names of the two parts, as reports say them."""
_SCALE = "routes_scale"
Scores = Float[np.ndarray, " n"]


@dataclass(frozen=True)
class Nonconformity:
    """What turns measures into scores; larger is farther from the team.

    Attributes:
        normaliser: of the routes' two statistics, with their rule.
        lexical: the n-grams of the team's texts; None: the routes alone.
        routes_scale: [3] centre, lower and upper scale of the routes' score on dev.
    """

    normaliser: Normaliser
    lexical: LexicalView | None
    routes_scale: np.ndarray

    @classmethod
    def fit(cls, normaliser: Normaliser, lexical: LexicalView | None, dev: Scores) -> Nonconformity:
        """From the routes' scores of dev commits, each by folds that did not hold the commit."""
        return cls(normaliser, lexical, two_piece_scale(dev))

    @property
    def view(self) -> View:
        """What the verdict is made of."""
        return "routes" if self.lexical is None else "fused"

    def parts(self, measures: Measures) -> dict[str, Scores]:
        """Each part's score in the team's own standard deviations, by name; the routes' comes first."""
        found = {ROUTES: two_piece(self.normaliser.score(measures), self.routes_scale)}
        return found if self.lexical is None else found | {NGRAMS: self.lexical.score(measures)}

    def score(self, measures: Measures) -> Scores:
        """Nonconformity scores [n]: the parts' sum over the root of their number."""
        return fuse(self.parts(measures))

    def read(self, measures: Measures, passages: Sequence[Passage]) -> Measures:
        """The measures of passages with all that scoring needs."""
        return measures if self.lexical is None else read_counts(measures, passages, self.lexical.neighbours)

    def of_routes(self) -> Nonconformity:
        """The same without the lexical part."""
        return replace(self, lexical=None)

    def to_readings(self) -> dict[str, np.ndarray]:
        """Its arrays, for TeamSignature.readings."""
        lexical = {} if self.lexical is None else self.lexical.to_readings()
        return self.normaliser.to_readings() | lexical | {_SCALE: self.routes_scale}

    @classmethod
    def of_team(cls, signature: TeamSignature) -> Nonconformity:
        """The one of a signature.

        Raises:
            FingerprintError: the signature is of another version.
        """
        normaliser = Normaliser.of_team(signature)
        is_fused = signature.facts["view"] == "fused"
        lexical = LexicalView.from_readings(signature.readings) if is_fused else None
        return cls(normaliser, lexical, signature.readings[_SCALE])


def fuse(parts: dict[str, Scores]) -> Scores:
    """One score from the parts'."""
    return np.sum(list(parts.values()), axis=0) / np.sqrt(len(parts))
