"""How often foreign text is flagged, by size: what sets the least number of scored tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fingerprint.config import DriftConfig
from fingerprint.drift.calibrate import cell_p_value, clopper_pearson
from fingerprint.drift.nonconformity import Nonconformity
from fingerprint.routing.extract import Measures

_SIZE_RANGE = (0.7, 1.4)
"""A draw counts for a size when its scored tokens lie within these multiples of it."""


@dataclass(frozen=True, slots=True)
class PowerPoint:
    """Share of foreign texts flagged at one size, over n draws (not independent: one pool of passages)."""

    n_tokens: int
    power: float
    n: int
    low: float
    high: float


def power_curve(
    foreign: Measures,
    scorer: Nonconformity,
    cells: dict[str, np.ndarray],
    config: DriftConfig,
    seed: int = 0,
) -> list[PowerPoint]:
    """Probability of p <= alarm_level for foreign text of each of config.power_sizes scored tokens.

    Args:
        foreign: one text per passage, in languages the team writes.
        cells: calibration scores by cell.

    Texts of a size are random passages of one language together; a size the pool cannot fill is left out.
    """
    rng = np.random.default_rng(seed)
    points: list[PowerPoint] = []
    for size in config.power_sizes:
        texts = [draw_text(foreign, float(size), rng) for _ in range(config.power_draws)]
        p_values = [_p_value(foreign.take(t), scorer, cells, config) for t in texts if t is not None]
        if len(p_values) < config.power_draws // 4:
            continue
        n_flagged = int(np.sum(np.array(p_values) <= config.alarm_level))
        points.append(
            PowerPoint(
                size, n_flagged / len(p_values), len(p_values), *clopper_pearson(n_flagged, len(p_values))
            )
        )
    return points


def least_tokens(points: Sequence[PowerPoint], config: DriftConfig) -> int:
    """First measured size at which foreign text is flagged at least half the time, and at the floor at least.

    When no size reaches that, the floor: the power curve then warns, in every report.
    """
    enough = [point.n_tokens for point in points if point.power >= config.least_power]
    return max(config.least_tokens, min(enough, default=config.least_tokens))


def draw_text(pool: Measures, size: float, rng: np.random.Generator) -> list[int] | None:
    """Passages of one language with about ``size`` scored tokens together, or None.

    One group (file or commit) after another, as one change is: passages picked here and there would
    average their files' differences away and lie nearer to anyone's mean than a real change.
    """
    groups: dict[str, list[int]] = {}
    for i, group in enumerate(pool.groups):
        groups.setdefault(group, []).append(i)
    names = list(groups)
    order = [i for at in rng.permutation(len(names)) for i in groups[names[at]]]
    language = pool.languages[order[0]]
    chosen: list[int] = []
    total = 0.0
    for i in order:
        n = pool.n_scored[i]
        if pool.languages[i] != language or n == 0 or total + n > _SIZE_RANGE[1] * size:
            continue
        chosen.append(int(i))
        total += n
        if total >= size:
            break
    return chosen if total >= _SIZE_RANGE[0] * size else None


def _p_value(
    text: Measures, scorer: Nonconformity, cells: dict[str, np.ndarray], config: DriftConfig
) -> float:
    whole = text.total()
    return cell_p_value(float(scorer.score(whole)[0]), whole.languages[0], cells, config)
