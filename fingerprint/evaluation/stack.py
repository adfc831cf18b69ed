"""B6: any set of systems as one, by conditional logistic regression on a past slice.

Every system gets one weight for all authors, over its scores centred by row and divided by their spread on
dev, so the stack serves any number of authors, also ones it was not fitted on. The regression is that of
``combine.fit_site_weights``, with systems for sites: without evidence all systems count alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from fingerprint import FingerprintError
from fingerprint.evaluation.baselines import present_authors
from fingerprint.evaluation.combine import SiteWeights, fit_site_weights
from fingerprint.evaluation.metrics import centre_rows

Scores = Float[np.ndarray, "n k"]


@dataclass(frozen=True, eq=False)
class Stack:
    """A fitted stack: log-odds of the authors, up to a constant a row.

    Attributes:
        spread: root mean square of each system's centred dev scores, by its name.
        fitted: weights over the systems in the order of ``spread``.
    """

    spread: Mapping[str, float]
    fitted: SiteWeights

    @property
    def weights(self) -> dict[str, float]:
        """Weight of every system, per dev spread of its scores."""
        own = self.fitted.temperature + self.fitted.weights / self.fitted.spread
        return dict(zip(self.spread, own.tolist(), strict=True))

    def score(self, scores: Mapping[str, Scores]) -> Scores:
        """Log-odds [n, k] from every system's scores [n, k]; further systems are ignored.

        Raises:
            FingerprintError: a system is missing, or shapes differ.
        """
        return self.fitted.score(_scaled(scores, self.spread))


def fit_stack(scores: Mapping[str, Scores], labels: Int[np.ndarray, " n"], groups: Sequence[str]) -> Stack:
    """Fit one weight a system on dev.

    Args:
        scores: every system's dev scores [n, k], from systems that have not seen dev. labels: author columns.
        groups: commits; the ridge strength is chosen by cross-validation over whole ones.

    Raises:
        FingerprintError: no system, different shapes, or fewer than two authors.
    """
    present_authors(labels)
    spread = {name: float(np.sqrt((centre_rows(one) ** 2).mean())) for name, one in scores.items()}
    return Stack(spread, fit_site_weights(_scaled(scores, spread), labels, groups))


def _scaled(scores: Mapping[str, Scores], spread: Mapping[str, float]) -> Float[np.ndarray, "n k s"]:
    """Centred scores over their dev spread, system by system; a system constant on dev says nothing."""
    shapes = {name: scores[name].shape if name in scores else None for name in spread}
    if len(set(shapes.values())) != 1 or None in shapes.values():
        raise FingerprintError(
            f"A stack needs scores of one shape from each of its systems, got {shapes or 'no system'}."
            " Score the same texts and authors with every system."
        )
    return np.stack([centre_rows(scores[name]) / (value or np.inf) for name, value in spread.items()], axis=2)
