from __future__ import annotations

import random

import numpy as np
import pytest
from scipy.stats import spearmanr

from fingerprint.adapters.stacked import StackedTask, train_stacked
from fingerprint.config import AdapterConfig
from fingerprint.lm.pair import ModelPair, RoutedModel, add_weights, scored_log_probs, subtract_weights
from fingerprint.lm.routes import random_routes
from fingerprint.lm.tokens import tokenize_passages
from fingerprint.passage import passage_from_lines
from fingerprint.routing.contributions import measure_contributions
from fingerprint.routing.scan import StackedDifferences, measure_bias, scan, scan_scores


def exact(routed, start, end, rows) -> float:
    return sum(float(np.sum(b - a)) for a, b in ModelPair(routed, start, end).log_probs(rows))


def scaled(weights, factor: float):
    return {site: factor * b for site, b in weights.items()}


def one(difference) -> StackedDifferences:
    return StackedDifferences.of({"ann": difference})


@pytest.fixture(scope="module")
def rows(tiny_routed, passages):
    return tokenize_passages(tiny_routed.base, passages, 256)


def test_equals_the_directional_derivative(tiny_routed, random_weights, rows) -> None:
    team, direction = random_weights(1), random_weights(2)
    step = 0.01
    ahead, behind = add_weights(team, scaled(direction, step)), add_weights(team, scaled(direction, -step))
    numeric = exact(tiny_routed, behind, ahead, rows) / (2 * step)
    assert scan(tiny_routed, team, rows).totals(one(direction)).item() == pytest.approx(numeric, rel=1e-2)


def test_routes_add_up_and_agree_with_one_node_at_the_start(
    tiny_routed, random_weights, passages, rows
) -> None:
    team, small = random_weights(1), random_weights(2, 1e-4)
    found = scan(tiny_routed, team, rows)
    pair = ModelPair(tiny_routed, team, add_weights(team, small))
    integrated = measure_contributions(pair, passages, rows, n_points=1).table.sum(axis=(0, 2))
    assert found.by_route(one(small))[0, 0] == pytest.approx(integrated, abs=2e-3 * np.abs(integrated).max())
    assert found.n_scored.tolist() == [sum(row.n_scored for row in rows)]
    assert found.by_route(one(small)).sum() == pytest.approx(found.totals(one(small)).item(), rel=1e-5)


def test_texts_scanned_together_are_as_scanned_alone(tiny_routed, random_weights, rows) -> None:
    team = random_weights(1)
    differences = StackedDifferences.of({f"author {i}": random_weights(10 + i) for i in range(5)})
    owner = np.array([2, 0, 2])  # text 1 has no row
    together = scan(tiny_routed, team, rows, owner, batch_tokens=64)
    found = together.by_route(differences)
    assert found.shape == (3, 5, len(tiny_routed.sites), tiny_routed.routes.rank)
    assert not found[1].any()
    assert together.n_scored[1] == 0
    for text in (0, 2):
        own = [row for row, of in zip(rows, owner, strict=True) if of == text]
        alone = scan(tiny_routed, team, own)
        np.testing.assert_allclose(found[text], alone.by_route(differences)[0], rtol=1e-4, atol=1e-5)
        assert together.n_scored[text] == alone.n_scored[0]


def test_ranks_small_differences_as_the_exact_log_ratio_does(tiny_routed, random_weights, rows) -> None:
    team = random_weights(1)
    differences = {f"author {i}": random_weights(10 + i, 0.01) for i in range(12)}
    stacked = StackedDifferences.of(differences)
    assert stacked.authors == tuple(differences)
    first_order = scan_scores(scan(tiny_routed, team, rows), stacked)[0]
    true = [exact(tiny_routed, team, add_weights(team, d), rows) for d in differences.values()]
    assert spearmanr(first_order, true).statistic > 0.9  # pyright: ignore[reportAttributeAccessIssue]


def test_without_its_bias_the_scan_is_exact_on_average(tiny_routed, random_weights, rows) -> None:
    team, authors = random_weights(1), {name: random_weights(i, 0.05) for i, name in enumerate("abc", 3)}
    differences = StackedDifferences.of(authors)
    found = scan(tiny_routed, team, rows, np.arange(len(rows)))
    true = np.array(
        [[exact(tiny_routed, team, add_weights(team, d), [row]) for d in authors.values()] for row in rows]
    )
    bias = measure_bias(found, differences, true)
    left = scan_scores(found, differences, bias) * found.n_scored[:, None] - true
    np.testing.assert_allclose(left.sum(axis=0), 0, atol=1e-3)
    assert np.abs(bias).max() > 1e-3  # there was something to take off


# --------------------------------------------------------------------------- a trained population

WORDS = ("config", "zz", "value", "Point", "self", "index", "total_sum", "x", "print", "kwargs")


def hunk(word: str, rng: random.Random):
    lines = [(True, f"    {word}{rng.randrange(99)} = {rng.choice(WORDS)}({word})") for _ in range(3)]
    return passage_from_lines([(False, "def run():"), *lines], path="a.py", language="python")


@pytest.fixture(scope="module")
def population(tiny_base):
    """A team, and ten authors who each have a word of their own."""
    rng = random.Random(0)
    config = AdapterConfig(
        batch_tokens=256, max_passage_tokens=128, learning_rate=1e-2, dev_points=1, dev_tokens=100, scale=4.0
    )
    routed = RoutedModel(tiny_base, random_routes(tiny_base, 4, 0), scale=config.scale)
    dev = [hunk(word, rng) for word in WORDS]
    everyone = [hunk(word, rng) for word in WORDS for _ in range(6)]
    rng.shuffle(everyone)
    start = StackedTask(everyone, dev, routed.zero_weights(), config, 3000)
    team = train_stacked(routed, {"": start}, precision="fp32")[""].weights
    tasks = {
        word: StackedTask([hunk(word, rng) for _ in range(20)], dev, team, config, 600) for word in WORDS
    }
    trained = train_stacked(routed, tasks, precision="fp32")
    states = {word: found.weights for word, found in trained.items()}
    return routed, team, states, [hunk(word, rng) for word in WORDS for _ in range(4)]


def test_the_best_author_is_among_the_scan_s_first_four(population) -> None:
    routed, team, states, hunks = population
    rows = tokenize_passages(routed.base, hunks, 128)
    owner = np.array([row.passage_index for row in rows])
    differences = StackedDifferences.of({w: subtract_weights(b, team) for w, b in states.items()})
    scores = scan_scores(scan(routed, team, rows, owner), differences)
    true = np.zeros((len(hunks), len(states)))
    for k, state in enumerate(states.values()):
        with routed.at(state, state, 0.0):
            sums = [float(values.sum()) for values in scored_log_probs(routed, rows)]
        true[:, k] = np.bincount(owner, weights=sums, minlength=len(hunks))
    first_four = np.argsort(-scores, axis=1)[:, :4]
    found = (first_four == true.argmax(axis=1)[:, None]).any(axis=1)
    assert found.mean() >= 0.95
    assert len(set(true.argmax(axis=1))) > 5  # the best author is not always the same
