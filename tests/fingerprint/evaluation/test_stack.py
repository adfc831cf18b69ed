"""A system that knows, and one that does not."""

import numpy as np
import pytest

from fingerprint import FingerprintError
from fingerprint.evaluation.metrics import centre_rows, macro_auroc
from fingerprint.evaluation.stack import fit_stack


def draw(n: int, seed: int, n_authors: int = 4) -> tuple[dict[str, np.ndarray], np.ndarray, list[str]]:
    """Scores in units far apart; "second" and "third" know the same much, each in its own way."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, n_authors, n)
    noise = lambda: rng.normal(0, 1, (n, n_authors))  # noqa: E731
    own = np.eye(n_authors)[labels]
    scores = {
        "good": 0.001 * (noise() + 1.5 * own),
        "noise": 1000 * noise() + rng.normal(0, 1e5, (n, 1)),
        "second": noise() + own,
        "third": 50 * (noise() + own),
    }
    return scores, labels, [f"c{i // 2}" for i in range(n)]


def area(scores: np.ndarray, labels: np.ndarray) -> float:
    return macro_auroc(centre_rows(scores), labels)


@pytest.mark.parametrize("seed", range(5))
def test_the_good_system_is_trusted_and_dev_gets_no_worse(seed: int) -> None:
    scores, labels, groups = draw(150, seed)
    both = {name: scores[name] for name in ("good", "noise")}
    stack = fit_stack(both, labels, groups)
    assert stack.weights["good"] > 5 * abs(stack.weights["noise"])
    assert area(stack.score(both), labels) >= area(scores["good"], labels) - 0.003
    new, truth, _ = draw(400, 100 + seed)
    assert area(stack.score(new), truth) >= area(new["good"], truth) - 0.01


def test_systems_that_know_different_things_add_up() -> None:
    scores, labels, groups = draw(300, 0)
    pair = {name: scores[name] for name in ("second", "third")}
    stack = fit_stack(pair, labels, groups)
    new, truth, _ = draw(600, 1)
    assert area(stack.score(new), truth) > max(area(new[name], truth) for name in pair) + 0.03
    assert stack.weights["second"] == pytest.approx(stack.weights["third"], rel=0.3)


def test_one_fitted_on_some_authors_serves_others() -> None:
    scores, labels, groups = draw(200, 3, n_authors=3)
    new, truth, _ = draw(300, 4, n_authors=7)
    stacked = fit_stack(scores, labels, groups).score(new)
    assert stacked.shape == (300, 7)
    assert area(stacked, truth) > max(area(one, truth) for one in new.values()) + 0.02


def test_a_system_constant_on_dev_has_no_say() -> None:
    scores, labels, groups = draw(80, 5)
    constant = {"good": scores["good"], "mute": np.ones_like(scores["good"])}
    stack = fit_stack(constant, labels, groups)
    first = stack.score(constant)
    second = stack.score({"good": scores["good"], "mute": scores["noise"]})
    np.testing.assert_allclose(first, second)


def test_what_does_not_fit_is_refused() -> None:
    scores, labels, groups = draw(20, 6)
    with pytest.raises(FingerprintError, match="at least two authors, got 1"):
        fit_stack(scores, np.zeros(20, dtype=int), groups)
    with pytest.raises(FingerprintError, match="no system"):
        fit_stack({}, labels, groups)
    stack = fit_stack(scores, labels, groups)
    with pytest.raises(FingerprintError, match="'third': None"):
        stack.score({name: one for name, one in scores.items() if name != "third"})
    with pytest.raises(FingerprintError, match=r"\(19, 4\)"):
        stack.score(scores | {"good": scores["good"][1:]})
