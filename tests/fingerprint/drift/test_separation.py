from __future__ import annotations

import numpy as np
import pytest

from fingerprint.config import Combination, DriftConfig
from fingerprint.drift.separation import Separation, measure_separation
from fingerprint.routing.extract import Measures
from fingerprint.routing.team import fit_normaliser

CONFIG = DriftConfig()


def texts(n: int, seed: int, *, log_ratio: float = 0.0, spread: float = 1.0, n_parts: int = 1) -> Measures:
    """Texts of 60 to 300 tokens, each in parts; ``log_ratio`` moves Lambda, ``spread`` widens phi."""
    rng = np.random.default_rng(seed)
    tokens = np.repeat(rng.integers(60, 300, n) / n_parts, n_parts)
    between = np.repeat(rng.normal(size=(n, 37)) * 0.005**0.5, n_parts, axis=0)
    noise = between + rng.normal(size=(n * n_parts, 37)) * np.sqrt(4 / tokens)[:, None]
    return Measures(
        tuple(str(i // n_parts) for i in range(n * n_parts)), ("go",) * (n * n_parts), tokens,
        (log_ratio + noise[:, 0]) * tokens, spread * noise[:, 1:] * tokens[:, None],
        np.zeros((n * n_parts, 6)), np.zeros(n * n_parts),
    )  # fmt: skip


def separate(**foreign: float) -> dict[Combination, float]:
    normaliser, dev = fit_normaliser(texts(300, 1), CONFIG)
    return measure_separation(dev, texts(300, 2, n_parts=6, **foreign), normaliser).auroc


def test_each_rule_separates_what_it_reads() -> None:
    low = separate(log_ratio=-0.3)
    assert low["low-log-ratio"] > 0.9
    assert low["low-log-ratio"] > max(low["low-and-far"], low["sum-of-squares"])
    assert low["far"] < 0.65
    wide = separate(spread=3.0)
    assert wide["far"] > 0.95
    assert wide["low-log-ratio"] == pytest.approx(0.5, abs=0.08)
    both = separate(log_ratio=-0.15, spread=1.2)
    assert both["low-and-far"] > max(both["low-log-ratio"], both["far"])


@pytest.mark.parametrize(
    ("auroc", "expected"),
    [
        ({"low-log-ratio": 0.90, "sum-of-squares": 0.85, "far": 0.50}, "sum-of-squares"),  # within two errors
        ({"low-log-ratio": 0.94, "low-and-far": 0.91, "sum-of-squares": 0.80}, "low-log-ratio"),
        ({"low-log-ratio": 0.50, "sum-of-squares": 0.60, "far": 0.80}, "far"),
        ({}, "low-log-ratio"),
    ],
)
def test_a_rule_must_beat_the_default_clearly(auroc: dict[Combination, float], expected: Combination) -> None:
    assert Separation(auroc, dict.fromkeys(auroc, 0.03)).choose(CONFIG) == expected


def test_the_error_of_a_gain_is_what_new_teams_show() -> None:
    """DeLong's error, from one team and one foreign sample, against the spread over many."""
    found = []
    for seed in range(40):
        normaliser, dev = fit_normaliser(texts(120, 1000 + seed), CONFIG)
        found.append(measure_separation(dev, texts(120, 2000 + seed, n_parts=6, log_ratio=-0.15), normaliser))
    gains = [one.auroc["low-log-ratio"] - one.auroc["sum-of-squares"] for one in found]
    errors = [one.error["low-log-ratio"] for one in found]
    assert found[0].error["sum-of-squares"] == 0
    assert float(np.mean(errors)) == pytest.approx(float(np.std(gains)), rel=0.35)


def test_text_more_like_the_team_is_no_drift_for_the_one_sided_rules() -> None:
    separation = separate(log_ratio=0.4)
    assert separation["low-log-ratio"] < 0.2
    assert separation["max"] > 0.8


def test_without_foreign_text_there_is_a_rule_too() -> None:
    normaliser, dev = fit_normaliser(texts(30, 1), CONFIG)
    separation = measure_separation(dev, texts(0, 2), normaliser)
    assert separation.auroc == {}
    assert separation.choose(CONFIG) == "low-log-ratio"


def test_a_configured_rule_is_kept() -> None:
    fixed = DriftConfig(combination="max")
    assert Separation({"low-log-ratio": 0.9, "max": 0.5}, {}).choose(fixed) == "max"
    assert fit_normaliser(texts(30, 1), fixed)[0].combination == "max"
