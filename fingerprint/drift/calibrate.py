"""Conformal p-values of nonconformity scores, and what they realise. Pure numpy; torch-free.

Split-conformal: with n calibration scores, p = (1 + #{cal >= s}) / (n + 1). Under exchangeability of the new
score with the calibration scores, P(p <= a) <= a exactly and marginally; ties count against the finding (no
randomised tie-break), so p-values are never too small. On a stream this does not hold: use the
recency-weighted form, and report the realised flagged share (evaluation.md section 4.5).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.stats import beta

from fingerprint.config import DriftConfig

ALL = "all"
LEVELS = (0.05, 0.1)
"""Levels at which realised shares are told."""
HELD_OUT, LATER = "held-out", "later"
"""Slices of a timeline whose commits were judged before they calibrated anything."""
_CALIBRATION = "calibration_"


@dataclass(frozen=True, slots=True)
class Calibration:
    """Calibration scores of one cell, oldest first."""

    cell: str
    scores: np.ndarray

    @property
    def n(self) -> int:
        """Calibration commits in the cell."""
        return len(self.scores)


def conformal_p_value(scores: np.ndarray, score: float, half_life: float | None = None) -> float:
    """P-value of a new score among calibration scores [n], oldest first.

    Args:
        half_life: commits after which a calibration score weighs half (NexCP, Barber et al. 2023); None
            weighs all alike, which is split-conformal. The new score always weighs 1.
    """
    weights = recency_weights(len(scores), half_life)
    return float((1 + weights[np.asarray(scores) >= score].sum()) / (1 + weights.sum()))


def recency_weights(n: int, half_life: float | None) -> np.ndarray:
    """Weights [n] of calibration scores, oldest first; ones without a half-life."""
    if half_life is None:
        return np.ones(n)
    return 0.5 ** (np.arange(n, 0, -1) / half_life)


def threshold_at(scores: np.ndarray, level: float, half_life: float | None = None) -> float:
    """Least calibration score that is flagged at the level; infinity when n is too small to flag any."""
    flagged = [s for s in np.unique(scores) if conformal_p_value(scores, float(s), half_life) <= level]
    if flagged:
        return float(flagged[0])
    if conformal_p_value(scores, np.inf, half_life) <= level:
        return float(np.nextafter(np.max(scores, initial=-np.inf), np.inf))
    return float("inf")


def choose_cell(cells: Mapping[str, np.ndarray], language: str, least: int) -> Calibration:
    """The language's own cell when it holds at least ``least`` scores, else all commits (Mondrian)."""
    own = cells.get(language)
    if own is not None and len(own) >= least:
        return Calibration(language, own)
    return Calibration(ALL, cells[ALL])


def name_cells(cells: Mapping[str, np.ndarray], part: str = "") -> dict[str, np.ndarray]:
    """Calibration scores by cell as a signature's readings; ``part``: of one part of the score alone."""
    return {f"{_prefix(part)}{name}": scores for name, scores in cells.items()}


def cells_of(readings: Mapping[str, np.ndarray], part: str = "") -> dict[str, np.ndarray]:
    """What name_cells named, by cell."""
    prefix = _prefix(part)
    return {name.removeprefix(prefix): x for name, x in readings.items() if name.startswith(prefix)}


def _prefix(part: str) -> str:
    return f"{part}_{_CALIBRATION}" if part else _CALIBRATION


def cell_p_value(score: float, language: str, cells: Mapping[str, np.ndarray], config: DriftConfig) -> float:
    """P-value of a new score in the cell of its language."""
    cell = choose_cell(cells, language, config.least_calibration)
    return conformal_p_value(cell.scores, score, config.recency_half_life)


def cell_p_values(
    scores: np.ndarray, languages: Sequence[str], cells: Mapping[str, np.ndarray], config: DriftConfig
) -> np.ndarray:
    """P-values [n] of new scores [n], each in the cell of its language."""
    pairs = zip(languages, np.asarray(scores).tolist(), strict=True)
    return np.array([cell_p_value(score, language, cells, config) for language, score in pairs], dtype=float)


def least_commits(level: float) -> int:
    """Fewest calibration commits with which a p-value can reach the level: 1 / (n + 1) <= level."""
    return int(np.ceil(1 / level - 1 - 1e-9))


def share_below(scores: np.ndarray, score: float) -> float:
    """Share of calibration scores strictly below the score: a percentile in [0, 1], no verdict."""
    return float(np.mean(np.asarray(scores) < score)) if len(scores) else 0.0


@dataclass(frozen=True, slots=True)
class FlaggedShare:
    """How often texts of one kind were flagged: count, n and the 95 % Clopper-Pearson interval."""

    level: float
    n_flagged: int
    n: int
    low: float
    high: float

    @property
    def share(self) -> float | None:
        """Flagged share, None when n is zero."""
        return self.n_flagged / self.n if self.n else None


def flagged_share(p_values: np.ndarray, level: float) -> FlaggedShare:
    """Flagged share at a level with its interval; p_values [n], one per commit."""
    return share_of_flags(np.asarray(p_values) <= level, level)


def share_of_flags(is_flagged: np.ndarray, level: float) -> FlaggedShare:
    """The same of verdicts [n], one per commit, however the level was held."""
    n_flagged, n = int(np.sum(is_flagged)), len(is_flagged)
    return FlaggedShare(level, n_flagged, n, *clopper_pearson(n_flagged, n))


def judged_p_values(stream: Sequence[Mapping[str, Any]], least_tokens: int) -> np.ndarray:
    """P-values [n] of a timeline's commits that were large enough and judged before they calibrated."""
    return np.array([
        entry["p_value"]
        for entry in stream
        if entry["slice"] in (HELD_OUT, LATER) and entry["n_tokens"] >= least_tokens
    ])  # fmt: skip


def realised_shares(stream: Sequence[Mapping[str, Any]], least_tokens: int) -> list[dict[str, Any]]:
    """Flagged share of a timeline's judged commits at each of LEVELS, with its 95 % interval, as JSON."""
    shares = [flagged_share(judged_p_values(stream, least_tokens), level) for level in LEVELS]
    return [asdict(share) | {"share": share.share} for share in shares]


def clopper_pearson(n_hits: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Exact two-sided binomial interval of a share; (0, 1) when n is zero."""
    return effective_interval(float(n_hits), float(n), confidence)


def effective_interval(hits: float, n: float, confidence: float = 0.95) -> tuple[float, float]:
    """Clopper-Pearson with real counts: ``hits`` of ``n`` effectively independent items."""
    tail = (1 - confidence) / 2
    low = float(beta.ppf(tail, hits, n - hits + 1)) if hits > 0 else 0.0
    high = float(beta.ppf(1 - tail, hits + 1, n - hits)) if hits < n else 1.0
    return low, high
