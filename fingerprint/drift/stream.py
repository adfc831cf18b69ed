"""Scores over time to alarms, and what the alarms were worth. Pure numpy; torch-free.

Three rules flag single items: conformal (weighted by recency or not), adaptive conformal, tracked quantile.
Two raise the team-level alarm from the bets of ``martingale``. None is exact on a real stream; the realised
rate and the delay, measured here, are what is reported (evaluation.md sections 4.2 and 4.5). Scores are
larger for more drift, one a commit; time runs along the arrays; items are counted from 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.stats import t as student

from fingerprint import FingerprintError
from fingerprint.drift.calibrate import FlaggedShare, conformal_p_value, effective_interval

PER_ITEMS = 500
"""Items that false alarms are counted over (evaluation.md section 6)."""


@dataclass(frozen=True, slots=True, eq=False)
class StreamAlarms:
    """What one rule said of each item.

    Attributes:
        p_values: of each item, before its own score joined the calibration.
        levels: the level in force; an item is flagged when its p-value is at most this.
    """

    p_values: Float[np.ndarray, " t"]
    levels: Float[np.ndarray, " t"]
    is_flagged: Bool[np.ndarray, " t"]


def conformal_alarms(
    calibration: Float[np.ndarray, " n"],
    stream: Float[np.ndarray, " t"],
    level: float,
    *,
    step: float = 0.0,
    half_life: float | None = None,
    window: int | None = None,
    is_growing: bool = True,
) -> StreamAlarms:
    """Flag items whose conformal p-value is at most the level, which may adapt.

    Args:
        calibration: scores before the stream, oldest first.
        step: gamma of adaptive conformal inference (Gibbs and Candes 2021): current' = current + step
            (level - flagged), from the level; 0 keeps it there. On any stream, even one chosen against it,
            the flagged share of T items is within (max(level, 1 - level) + step) / (step T) of the level. It
            holds the rate by construction: the rate says nothing of change, and a lasting change is soon
            hidden.
        half_life: items after which a score weighs half (NexCP, Barber et al. 2023); None weighs all alike.
        window: newest scores that count; None counts all.
        is_growing: whether an item joins the calibration once judged.

    The level may leave 0 to 1: at or below 0 nothing is flagged, at or above 1 everything.
    """
    _expect(len(calibration) > 0, "calibration scores", "none: calibrate first")
    _expect(0 < level < 1 and step >= 0, "a level between 0 and 1 and a step from 0", f"{level} and {step}")
    scores, n = np.concatenate([calibration, stream]), len(calibration)
    p_values, levels = np.empty(len(stream)), np.empty(len(stream))
    current = level
    for t, score in enumerate(stream.tolist()):
        end = n + t if is_growing else n
        past = scores[0 if window is None else max(0, end - window) : end]
        p_values[t], levels[t] = conformal_p_value(past, score, half_life), current
        current += step * (level - float(p_values[t] <= current))
    return StreamAlarms(p_values, levels, p_values <= levels)


@dataclass(frozen=True, slots=True, eq=False)
class ThresholdAlarms:
    """Thresholds in force, in score units, and what was above them."""

    thresholds: Float[np.ndarray, " t"]
    is_flagged: Bool[np.ndarray, " t"]


def quantile_alarms(
    calibration: Float[np.ndarray, " n"], stream: Float[np.ndarray, " t"], level: float, rate: float = 0.05
) -> ThresholdAlarms:
    """Flag items above a threshold that follows the 1 - level quantile (Angelopoulos et al. 2023).

    threshold' = threshold + eta (flagged - level), from the calibration's own quantile, with eta = rate times
    the calibration scores' range. While scores stay within a range of b eta, the flagged share of T items is
    within (b + 1) / T of the level. Like adaptive conformal it holds the rate and hides a lasting change.

    Args:
        rate: share of the range that one flag moves the threshold by; the paper's is a tenth.
    """
    _expect(len(calibration) > 0, "calibration scores", "none: calibrate first")
    _expect(0 < level < 1 and rate > 0, "a level between 0 and 1 and a rate above 0", f"{level} and {rate}")
    eta = rate * float(np.ptp(calibration))
    _expect(eta > 0, "calibration scores that differ", f"{len(calibration)} times {calibration[0]}")
    threshold = float(np.quantile(calibration, 1 - level, method="higher"))
    thresholds = np.empty(len(stream))
    for t, score in enumerate(stream.tolist()):
        thresholds[t] = threshold
        threshold += eta * (float(score > threshold) - level)
    return ThresholdAlarms(thresholds, stream > thresholds)


def realised_share(
    is_flagged: Bool[np.ndarray, " t"], clusters: Sequence[str], level: float, confidence: float = 0.95
) -> FlaggedShare:
    """Flagged share of a stream with an interval by whole clusters (Korn and Graubard 1998).

    Args:
        clusters: the commit or pull request of each item. What else makes neighbours alike, a week's
            topic, is not in the interval: give larger clusters for that.

    Clopper-Pearson on the effective number of items: n over the design effect (never below 1), less for few
    clusters. With no flag, or nothing else, clusters count as items. One item a cluster is plain
    Clopper-Pearson.
    """
    _, cluster_of = np.unique(np.asarray(clusters), return_inverse=True)
    n, m, hits = len(is_flagged), len(set(clusters)), int(is_flagged.sum())
    if not n:
        return FlaggedShare(level, 0, 0, 0.0, 1.0)
    share = hits / n
    if m < 2 or hits in {0, n}:
        effective = float(m)
    else:
        excess = np.bincount(cluster_of, weights=is_flagged - share)
        variance = m / (m - 1) * float(excess @ excess) / n**2
        design = max(1.0, variance * (n - 1) / (share * (1 - share)))
        tail = (1 + confidence) / 2
        effective = n / design * float(student.ppf(tail, n - 1) / student.ppf(tail, m - 1)) ** 2
    return FlaggedShare(level, hits, n, *effective_interval(share * effective, effective, confidence))


def ville_alarms(bets: Float[np.ndarray, " t"], level: float) -> Int[np.ndarray, " alarms"]:
    """Items at which wealth reaches 1 / level, each time from 1 again after an alarm.

    While nothing changes, the chance of any first alarm, ever, is at most the level.
    """
    found, wealth = [], 0.0
    for t, bet in enumerate(np.log(bets).tolist()):
        wealth += bet
        if wealth >= -np.log(level):
            found.append(t)
            wealth = 0.0
    return np.array(found, dtype=int)


def restart_alarms(
    bets: Float[np.ndarray, " t"], items_per_alarm: float = PER_ITEMS
) -> Int[np.ndarray, " alarms"]:
    """Items at which R_t = (R_{t-1} + 1) e_t reaches the wanted mean number of items between false alarms.

    The Shiryaev-Roberts e-detector (Shin, Ramdas, Rinaldo 2024): a new bet starts at every item, so a late
    change meets no spent wealth. R_t - t has no upward drift while nothing changes, hence items between false
    alarms are at least ``items_per_alarm`` in the mean; unlike Ville's, false alarms do come in the end.
    """
    found, total = [], 0.0
    for t, bet in enumerate(bets.tolist()):
        total = (total + 1) * bet
        if total >= items_per_alarm:
            found.append(t)
            total = 0.0
    return np.array(found, dtype=int)


@dataclass(frozen=True, slots=True)
class ChangeFound:
    """Alarms of one stream beside its change point.

    Attributes:
        delay: items from the change to the first alarm, the changed item itself being 1; None without alarm.
        n_false: alarms before the change. n_unchanged: items before it.
    """

    delay: int | None
    n_false: int
    n_unchanged: int

    @property
    def false_per_500(self) -> float | None:
        """False alarms per 500 unchanged items; None without any such item."""
        return self.n_false * PER_ITEMS / self.n_unchanged if self.n_unchanged else None


def judge_alarms(alarms: Int[np.ndarray, " alarms"], change: int, n_items: int) -> ChangeFound:
    """Delay and false alarms of a stream of so many items whose change begins at item ``change``.

    Args:
        change: from 0; ``n_items`` for a stream without a change, where every alarm is false.
    """
    _expect(0 <= change <= n_items, f"a change between item 0 and {n_items}", f"item {change}")
    late = alarms[alarms >= change]
    return ChangeFound(int(late[0]) - change + 1 if len(late) else None, int((alarms < change).sum()), change)


def _expect(is_met: bool, wanted: str, seen: str) -> None:
    if not is_met:
        raise FingerprintError(f"expected {wanted}, got {seen}")
