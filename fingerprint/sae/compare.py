"""Which latents fire at another rate in one state than in another, on the same tokens.

Tokens of a file are not independent, so everything resamples whole clusters: p-values flip the sign of
a cluster's difference in counts (exact under exchangeable states), intervals draw clusters with replacement.
Rare latents are left out beforehand: one firing against none is no ratio (method-decomposition 9.3).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.special import rel_entr

from fingerprint import FingerprintError
from fingerprint.evaluation.sign_flips import column_parts, draw_clusters, sign_flip_p_values
from fingerprint.evaluation.significance import Discovery, benjamini_hochberg
from fingerprint.sae.config import RateShiftConfig
from fingerprint.sae.report import LatentShift, ShiftSummary


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
    p_values = sign_flip_p_values(
        end - start, n_flips=config.n_flips, false_discoveries=config.false_discoveries, seed=config.seed
    )
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


def _intervals(
    start: Int[np.ndarray, "c m"], end: Int[np.ndarray, "c m"], config: RateShiftConfig
) -> tuple[Float[np.ndarray, " m"], Float[np.ndarray, " m"]]:
    """Percentile intervals of the log-ratios; a draw is how often it takes each cluster."""
    draws = draw_clusters(len(start), config.n_draws, config.seed)
    tail = (1 - config.confidence) / 2
    bounds = [
        np.quantile(_log_ratios(draws @ start[:, some], draws @ end[:, some]), [tail, 1 - tail], axis=0)
        for some in column_parts(start.shape[1])
    ]
    low, high = np.concatenate(bounds, axis=1)
    return low, high


def _log_ratios(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    return np.log((end + 0.5) / (start + 0.5))
