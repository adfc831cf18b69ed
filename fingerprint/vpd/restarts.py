"""Several starts of one decomposition; the objective chooses, by nothing that is known of the target."""

from __future__ import annotations

from collections.abc import Callable

from fingerprint.vpd.components import VpdError
from fingerprint.vpd.config import VpdConfig
from fingerprint.vpd.train import Decomposition


def best_of_starts(
    decompose_at: Callable[[VpdConfig], Decomposition], config: VpdConfig, n_starts: int
) -> Decomposition:
    """Decompose from the config's seed and the ones after it; keep the run whose objective ends lowest.

    The objective has local optima in which one component does what others should. They end higher, so that
    the objective tells without a look at what is true (README.md has figures). A valid run goes before any
    other.

    Raises:
        VpdError: fewer than one start.
    """
    if n_starts < 1:
        raise VpdError(f"expected at least 1 start, got {n_starts}")
    runs = [decompose_at(config.model_copy(update={"seed": config.seed + n})) for n in range(n_starts)]
    return min(runs, key=lambda run: (not run.verdict.is_valid, run.objective))
