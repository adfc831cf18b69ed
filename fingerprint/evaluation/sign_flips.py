"""Paired tests by flipping the signs of whole clusters, and intervals by drawing them. Torch-free.

Tokens of a commit are not independent, so whatever is compared between two states on the same tokens is
summed by cluster first; nothing finer is ever resampled (method-decomposition.md 9.3).
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Real

_FLIPS_AT_ONCE = 500
_FEW = 20
_COLUMNS_AT_ONCE = 4096
_TIE = 1e-12
"""Relative rounding of a sum: sums of integers are exact, those of fractions are tied within this."""


def sign_flip_p_values(
    difference: Real[np.ndarray, "c m"], *, n_flips: int, false_discoveries: float, seed: int
) -> Float[np.ndarray, " m"]:
    """Two-sided p-values of each column's sum, under random signs of whole clusters (rows).

    The same signs for every column, the observed ones counted in. Columns that fewer than ``_FEW`` of the
    first patterns match get more, so many that a single one can pass Benjamini-Hochberg over all of them.
    Both stages are valid for themselves, and the first cannot call the second off below _FEW / n_flips, so
    the p-values are valid too. A column that is zero in every cluster has p = 1.

    Args:
        difference: second state minus first, by cluster. n_flips: patterns drawn for every column.
        false_discoveries: the rate q that the p-values will be corrected to.
    """
    rng = np.random.default_rng(seed)
    observed = np.abs(difference.sum(0, dtype=np.float64))
    reached = observed * (1 - _TIE)
    is_open = difference.any(0)  # a column that is the same in every cluster has p = 1 whatever is drawn
    n_beyond = np.where(is_open, 0, n_flips)
    n_drawn = np.full(observed.shape, n_flips)
    finest = math.ceil(2 * len(n_drawn) / false_discoveries)
    for n_wanted in (n_flips, finest - n_flips):
        values = difference[:, is_open].astype(np.float64)
        for n in pieces(n_wanted, _FLIPS_AT_ONCE):
            signs = rng.choice(np.array([-1.0, 1.0]), size=(n, len(values)))
            n_beyond[is_open] += (np.abs(signs @ values) >= reached[is_open]).sum(0)
        is_open &= n_beyond < _FEW
        n_drawn[is_open] = max(n_flips, finest)
    return (1 + n_beyond) / (1 + n_drawn)


def draw_clusters(n_clusters: int, n_draws: int, seed: int) -> Float[np.ndarray, "n c"]:
    """How often each bootstrap draw takes each cluster."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(n_clusters, np.full(n_clusters, 1 / n_clusters), size=n_draws).astype(np.float64)


def mean_intervals(
    totals: Real[np.ndarray, "c m"], sizes: Real[np.ndarray, " c"], draws: Float[np.ndarray, "n c"],
    confidence: float,
) -> tuple[Float[np.ndarray, " m"], Float[np.ndarray, " m"]]:  # fmt: skip
    """Percentile intervals of each column's mean per token, totals / sizes, over drawn clusters."""
    tail = (1 - confidence) / 2
    drawn_sizes = np.maximum(draws @ sizes, 1e-300)[:, None]
    bounds = [
        np.quantile(draws @ totals[:, some] / drawn_sizes, [tail, 1 - tail], axis=0)
        for some in column_parts(totals.shape[1])
    ]
    low, high = np.concatenate(bounds, axis=1)
    return low, high


def column_parts(n_columns: int) -> list[np.ndarray]:
    """Columns in parts that keep a table of draws small."""
    return np.array_split(np.arange(n_columns), max(1, -(-n_columns // _COLUMNS_AT_ONCE)))


def pieces(total: int, size: int) -> Iterator[int]:
    """Sizes of consecutive pieces of at most ``size``."""
    for done in range(0, total, size):
        yield min(size, total - done)
