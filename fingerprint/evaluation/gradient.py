"""B9: does an author's adapter point where the text's own gradient points, at the base?

-<grad L(x), s (B + D)_n A> is log p_n - log p_base to first order, before any route has moved: first-order
ALM. What exact scoring or the routes add beyond it is gain of their own (evaluation.md section 4.7).
It is the scan of routing.md section 2 taken at the base instead of the team.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from fingerprint.evaluation.attribution import SampleRows, scan_samples
from fingerprint.evaluation.baselines import author_columns, present_authors
from fingerprint.evaluation.combine import sum_sites
from fingerprint.lm.pair import RoutedModel, RouteWeights


@dataclass(frozen=True, eq=False)
class GradientAlignment:
    """B9: what stands ready to be aligned with a text's gradient.

    Attributes:
        states: B + D of every author that has an adapter, by author column.
    """

    routed: RoutedModel
    states: Mapping[int, RouteWeights]
    n_classes: int

    def by_matrix(
        self, read: SampleRows, progress: Callable[[int], None] = lambda _n_tokens: None
    ) -> Float[np.ndarray, "n k s"]:
        """Alignment with every adapted matrix, nats per scored token, in the order of ``routed.sites``.

        An author without an adapter gets the row's least of each matrix. A sample without scored tokens is
        zero throughout.
        """
        sites = np.moveaxis(self._measure(read, progress), 2, 0)
        return np.stack([author_columns(site, self._present, self.n_classes) for site in sites], axis=2)

    def score(
        self, read: SampleRows, progress: Callable[[int], None] = lambda _n_tokens: None
    ) -> Float[np.ndarray, "n k"]:
        """The whole alignment: the sum over matrices, nats per scored token, not centred."""
        return author_columns(sum_sites(self._measure(read, progress)), self._present, self.n_classes)

    @property
    def _present(self) -> np.ndarray:
        return np.array(list(self.states), dtype=int)

    def _measure(self, read: SampleRows, progress: Callable[[int], None]) -> np.ndarray:
        states = list(self.states.values())
        return scan_samples(self.routed, self.routed.zero_weights(), states, read, progress=progress)


def align_gradients(
    routed: RoutedModel, states: Mapping[int, RouteWeights], n_classes: int
) -> GradientAlignment:
    """B9 over trained adapters; nothing is fitted.

    Args:
        states: B + D by author column.

    Raises:
        FingerprintError: fewer than two authors.
    """
    present_authors(np.array(list(states), dtype=int))
    return GradientAlignment(routed, states, n_classes)
