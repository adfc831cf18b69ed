from __future__ import annotations

import numpy as np

from fingerprint.config import DriftConfig
from fingerprint.drift.nonconformity import Nonconformity
from fingerprint.drift.power import PowerPoint, least_tokens, power_curve
from fingerprint.routing.extract import Measures
from fingerprint.routing.team import fit_normaliser


def synthetic(n: int, seed: int, shift: float = 0.0) -> Measures:
    """Passages of 15 to 300 tokens whose variance per token is known."""
    rng = np.random.default_rng(seed)
    tokens = np.exp(rng.uniform(np.log(15), np.log(300), n)).round()
    noise = rng.normal(size=(n, 37)) * np.sqrt(0.005 + 4 / tokens)[:, None]
    return Measures(
        tuple(map(str, range(n))), ("go",) * n, tokens, (shift + noise[:, 0]) * tokens,
        noise[:, 1:] * tokens[:, None], np.zeros((n, 6)), np.zeros(n),
    )  # fmt: skip


def test_power_grows_with_size_and_sets_the_least() -> None:
    config = DriftConfig(power_sizes=(30, 120, 480, 10**6), power_draws=60, least_tokens=20)
    normaliser, dev = fit_normaliser(synthetic(80, 1), config)
    scorer = Nonconformity.fit(normaliser, None, dev.statistics.score(normaliser.combination))
    cells = {"all": scorer.score(synthetic(199, 2))}
    points = power_curve(synthetic(100, 3, shift=-0.4), scorer, cells, config)
    assert [point.n_tokens for point in points] == [30, 120, 480]  # a million cannot be filled
    assert points[0].power < 0.5 < points[2].power
    assert points[0].power < points[1].power < points[2].power
    assert least_tokens(points, config) in {120, 480}
    own = power_curve(synthetic(100, 4), scorer, cells, config)
    assert own[0].power < 0.2


def test_without_enough_power_the_floor_stands() -> None:
    config = DriftConfig(least_tokens=60)
    assert least_tokens([], config) == 60
    assert least_tokens([PowerPoint(30, 0.9, 10, 0.0, 1.0)], config) == 60
    assert least_tokens([PowerPoint(240, 0.1, 10, 0.0, 1.0)], config) == 60
    assert least_tokens([PowerPoint(240, 0.6, 10, 0.0, 1.0)], config) == 240
