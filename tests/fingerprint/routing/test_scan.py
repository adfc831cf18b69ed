from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from fingerprint.lm.pair import ModelPair, add_weights
from fingerprint.lm.tokens import tokenize_passages
from fingerprint.routing.contributions import measure_contributions
from fingerprint.routing.scan import measure_bias, scan, scan_scores


def exact(routed, start, end, rows) -> float:
    return sum(float(np.sum(b - a)) for a, b in ModelPair(routed, start, end).log_probs(rows))


def scaled(weights, factor: float):
    return {site: factor * b for site, b in weights.items()}


def test_equals_the_directional_derivative(tiny_routed, random_weights, passages) -> None:
    rows = tokenize_passages(tiny_routed.base, passages, 256)
    team, direction = random_weights(1), random_weights(2)
    step = 0.01
    ahead, behind = add_weights(team, scaled(direction, step)), add_weights(team, scaled(direction, -step))
    numeric = exact(tiny_routed, behind, ahead, rows) / (2 * step)
    assert scan(tiny_routed, team, rows).total(direction) == pytest.approx(numeric, rel=1e-2)


def test_routes_add_up_and_agree_with_one_node_at_the_start(tiny_routed, random_weights, passages) -> None:
    rows = tokenize_passages(tiny_routed.base, passages, 256)
    team, small = random_weights(1), random_weights(2, 1e-4)
    found = scan(tiny_routed, team, rows)
    pair = ModelPair(tiny_routed, team, add_weights(team, small))
    integrated = measure_contributions(pair, passages, rows, n_points=1).table.sum(axis=(0, 2))
    assert found.by_route(small) == pytest.approx(integrated, abs=2e-3 * np.abs(integrated).max())
    assert found.n_scored == sum(row.n_scored for row in rows)


def test_ranks_small_differences_as_the_exact_log_ratio_does(tiny_routed, random_weights, passages) -> None:
    rows = tokenize_passages(tiny_routed.base, passages, 256)
    team = random_weights(1)
    differences = {f"author {i}": random_weights(10 + i, 0.01) for i in range(12)}
    first_order = scan_scores(scan(tiny_routed, team, rows), differences)
    true = [exact(tiny_routed, team, add_weights(team, d), rows) for d in differences.values()]
    assert spearmanr(list(first_order.values()), true).statistic > 0.9  # pyright: ignore[reportAttributeAccessIssue]


def test_bias_is_the_background_mean(tiny_routed, random_weights, passages) -> None:
    rows = tokenize_passages(tiny_routed.base, passages, 256)
    team, differences = random_weights(1), {"ann": random_weights(3)}
    found = scan(tiny_routed, team, rows)
    bias = measure_bias([found], differences)
    assert scan_scores(found, differences, bias)["ann"] == pytest.approx(0)
