"""Which latents fire at another rate in one state than in another, on the same tokens.

Tokens of a file are not independent, so everything resamples whole clusters: p-values flip the sign of
a cluster's difference in counts (exact under exchangeable states), intervals draw clusters with replacement.
Rare latents are left out beforehand: one firing against none is no ratio (method-decomposition 9.3).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.special import rel_entr

from fingerprint import FingerprintError
from fingerprint.evaluation.significance import Discovery, benjamini_hochberg
from fingerprint.sae.config import RateShiftConfig
from fingerprint.sae.report import LatentShift, ShiftSummary

_FLIPS_AT_ONCE = 500
_FEW = 20
_LATENTS_AT_ONCE = 4096


@dataclass(frozen=True, eq=False)
class PairedFirings:
    """Firings of a dictionary in two states on the same tokens.

    Attributes:
        start, end: firings by cluster and latent. start_total, end_total: summed activations by latent.
        n_tokens: tokens read.
    """

    start: Int[np.ndarray, "c m"]
    end: Int[np.ndarray, "c m"]
    start_total: Float[np.ndarray, " m"]
    end_total: Float[np.ndarray, " m"]
    n_tokens: int

    @property
    def log_ratios(self) -> Float[np.ndarray, " m"]:
        """ln((end + 1/2) / (start + 1/2)) of every latent's firings (Jeffreys)."""
        return _log_ratios(self.start.sum(0), self.end.sum(0))

    @property
    def divergence(self) -> float:
        """Jensen-Shannon divergence of the two distributions of firings over latents, bits."""
        start, end = self.start.sum(0), self.end.sum(0)
        if not start.any() or not end.any():
            raise FingerprintError(
                "No latent fires in one of the states: the text is empty, or not this base's."
            )
        p, q = start / start.sum(), end / end.sum()
        nats = (rel_entr(p, (p + q) / 2) + rel_entr(q, (p + q) / 2)).sum() / 2
        return max(0.0, float(nats) / math.log(2))  # rounding can leave equal shares just below zero

    def testable(self, config: RateShiftConfig) -> Bool[np.ndarray, " m"]:
        """Latents with enough firings in enough clusters."""
        events, clusters = (self.start + self.end).sum(0), ((self.start + self.end) > 0).sum(0)
        return (events >= config.least_events) & (clusters >= config.least_clusters)


def compare_firings(firings: PairedFirings, config: RateShiftConfig) -> tuple[LatentShift, ...]:
    """Test every latent above the floors; most significant first, then by the size of the change.

    The false discovery rate holds for independent or positively dependent tests.
    """
    tested = np.flatnonzero(firings.testable(config))
    if not len(tested):
        return ()
    start, end = firings.start[:, tested], firings.end[:, tested]
    p_values = _flip_signs(end - start, config)
    found = benjamini_hochberg(dict(enumerate(p_values.tolist())), config.false_discoveries)
    low, high = _intervals(start, end, config)
    clusters = ((start + end) > 0).sum(0)
    shifts = [
        _latent_shift(firings, int(latent), int(clusters[i]), (float(low[i]), float(high[i])), found[i])
        for i, latent in enumerate(tested)
    ]
    return tuple(sorted(shifts, key=lambda shift: (shift.q_value, -abs(shift.log_ratio), shift.latent)))


def summarise(
    firings: PairedFirings, shifts: tuple[LatentShift, ...], n_beyond: int | None = None
) -> ShiftSummary:
    """One comparison in a line."""
    sizes = np.abs([shift.log_ratio for shift in shifts]) if shifts else np.zeros(1)
    return ShiftSummary(
        n_tested=len(shifts),
        n_changed=sum(shift.is_changed for shift in shifts),
        n_beyond=n_beyond,
        median=float(np.median(sizes)),
        high=float(np.quantile(sizes, 0.99)),
        divergence=firings.divergence,
    )


def _latent_shift(
    firings: PairedFirings, latent: int, n_clusters: int, interval: tuple[float, float], found: Discovery
) -> LatentShift:
    start, end = int(firings.start[:, latent].sum()), int(firings.end[:, latent].sum())
    return LatentShift(
        latent=latent,
        n_clusters=n_clusters,
        start_events=start,
        end_events=end,
        start_rate=start / firings.n_tokens,
        end_rate=end / firings.n_tokens,
        log_ratio=math.log((end + 0.5) / (start + 0.5)),
        low=interval[0],
        high=interval[1],
        p_value=found.p_value,
        q_value=found.adjusted,
        start_mean=float(firings.start_total[latent]) / start if start else None,
        end_mean=float(firings.end_total[latent]) / end if end else None,
        is_changed=found.is_found,
    )


def _flip_signs(difference: Int[np.ndarray, "c m"], config: RateShiftConfig) -> Float[np.ndarray, " m"]:
    """Two-sided p-values of sum over clusters of the difference, under random signs of whole clusters.

    The same signs for every latent, the observed ones counted in. Latents that fewer than ``_FEW`` of the
    first patterns match get more, so many that a single one can pass the correction over all of them. Both
    stages are valid for themselves, and the first cannot call the second off below _FEW / n_flips, so the
    p-values are valid too. Sums of integers are exact in fp64: ties are ties.
    """
    rng = np.random.default_rng(config.seed)
    observed = np.abs(difference.sum(0))
    is_open = difference.any(0)  # a latent that is the same in every cluster has p = 1 whatever is drawn
    n_beyond = np.where(is_open, 0, config.n_flips)
    n_drawn = np.full(observed.shape, config.n_flips)
    finest = math.ceil(2 * len(n_drawn) / config.false_discoveries)
    for n_flips in (config.n_flips, finest - config.n_flips):
        values = difference[:, is_open].astype(np.float64)
        for n in _pieces(n_flips, _FLIPS_AT_ONCE):
            signs = rng.choice(np.array([-1.0, 1.0]), size=(n, len(values)))
            n_beyond[is_open] += (np.abs(signs @ values) >= observed[is_open]).sum(0)
        is_open &= n_beyond < _FEW
        n_drawn[is_open] = max(config.n_flips, finest)
    return (1 + n_beyond) / (1 + n_drawn)


def _intervals(
    start: Int[np.ndarray, "c m"], end: Int[np.ndarray, "c m"], config: RateShiftConfig
) -> tuple[Float[np.ndarray, " m"], Float[np.ndarray, " m"]]:
    """Percentile intervals of the log-ratios; a draw is how often it takes each cluster."""
    n = len(start)
    drawn = np.random.default_rng(config.seed).multinomial(n, np.full(n, 1 / n), size=config.n_draws)
    tail, times = (1 - config.confidence) / 2, drawn.astype(np.float64)
    bounds = [
        np.quantile(_log_ratios(times @ start[:, some], times @ end[:, some]), [tail, 1 - tail], axis=0)
        for some in np.array_split(np.arange(start.shape[1]), -(-start.shape[1] // _LATENTS_AT_ONCE))
    ]
    low, high = np.concatenate(bounds, axis=1)
    return low, high


def _log_ratios(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    return np.log((end + 0.5) / (start + 0.5))


def _pieces(total: int, size: int) -> Iterator[int]:
    """Sizes of consecutive pieces of at most ``size``."""
    for done in range(0, total, size):
        yield min(size, total - done)
