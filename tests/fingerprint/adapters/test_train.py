from __future__ import annotations

import numpy as np
import pytest
import torch

from fingerprint import FingerprintError
from fingerprint.adapters import train as train_module
from fingerprint.adapters.budget import InsufficientCodeError, check_enough, recent_windows
from fingerprint.adapters.checkpoint import CheckpointError
from fingerprint.adapters.train import estimate_cost, mean_dev_loss, train_adapter
from fingerprint.config import AdapterConfig
from fingerprint.lm.load import load_base
from fingerprint.lm.pair import RoutedModel
from fingerprint.lm.routes import random_routes
from fingerprint.lm.tokens import mean_loss, pad_batch, tokenize_passages
from fingerprint.passage import passage_from_lines

CONFIG = AdapterConfig(
    batch_tokens=512, max_passage_tokens=128, learning_rate=2e-2, dev_points=3, dev_tokens=400, scale=4.0
)


def habit(word: str, n: int, author: str = "") -> list:
    """Passages full of one word."""
    return [
        passage_from_lines(
            [(False, "def run(value):"), (True, f"    {word} = {word}({i})"), (True, f"    return {word}")],
            path="a.py",
            language="python",
            group=f"c{i}",
            author=author,
            written_at=float(i) * 86400,
        )
        for i in range(n)
    ]


@pytest.fixture
def routed(tiny_base) -> RoutedModel:
    return RoutedModel(tiny_base, random_routes(tiny_base, 4, 0), scale=CONFIG.scale)


def run(routed, **changes):
    options = {
        "start": routed.zero_weights(),
        "config": CONFIG,
        "budget_tokens": 3000,
        "precision": "fp32",
        **changes,
    }
    return train_adapter(routed, habit("config", 60), habit("config", 8), **options)


def test_learns_the_habit_and_leaves_the_model_as_it_was(routed):
    trained = run(routed)
    assert trained.facts.improved
    assert trained.facts.best_dev_loss < trained.facts.start_dev_loss - 0.3
    assert trained.facts.last_loss < trained.facts.first_loss
    assert trained.facts.dev_history[0] == (0, trained.facts.start_dev_loss)
    assert len(trained.facts.dev_history) == 1 + CONFIG.dev_points
    assert all(not b.any() and b.grad is None for b in routed.parameters.values())
    windows = tokenize_passages(routed.base, habit("config", 8), 128)
    with routed.at(trained.weights, trained.weights, 0.0):
        assert mean_dev_loss(routed, windows) == pytest.approx(trained.facts.best_dev_loss, abs=1e-5)


def test_same_seed_same_weights_other_seed_others(routed):
    first, again = run(routed), run(routed)
    other = run(routed, config=CONFIG.model_copy(update={"seed": 1}))
    site = routed.sites[3]
    assert torch.equal(first.weights[site], again.weights[site])
    assert not torch.equal(first.weights[site], other.weights[site])


def test_budget_counts_scored_tokens_and_epochs_are_limited(routed):
    facts = run(routed, budget_tokens=1000).facts
    assert 1000 <= facts.scored_tokens < 1000 + CONFIG.batch_tokens
    small = run(routed, budget_tokens=10**6).facts
    assert small.epochs == CONFIG.most_epochs
    assert small.scored_tokens == CONFIG.most_epochs * small.text_tokens


def test_budget_takes_the_most_recent_text(routed):
    windows = tokenize_passages(routed.base, habit("config", 20), 128)
    kept = recent_windows(windows, windows[-1].n_scored + 1)
    assert [window.passage_index for window in kept] == [18, 19]


def test_keeps_the_start_when_nothing_beats_it(routed):
    start = run(routed, budget_tokens=1000).weights

    def astray(**options):
        config = {"config": CONFIG, "budget_tokens": 1000, "precision": "fp32", **options}
        return train_adapter(routed, habit("zzz", 60), habit("config", 8), start=start, **config)

    trained = astray()
    assert not trained.facts.improved
    assert trained.facts.best_step == 0
    assert trained.facts.best_dev_loss == trained.facts.start_dev_loss
    assert all(torch.equal(trained.weights[site], start[site]) for site in routed.sites)
    moved = astray(may_keep_start=False)
    assert not moved.facts.improved
    assert moved.facts.best_step > 0
    after = dict(moved.facts.dev_history)
    assert moved.facts.best_dev_loss == min(loss for step, loss in after.items() if step)
    assert not all(torch.equal(moved.weights[site], start[site]) for site in routed.sites)


def test_a_killed_run_resumes_to_the_same_result(routed, tmp_path, monkeypatch):
    monkeypatch.setattr(train_module, "CHECKPOINT_SECONDS", 0.0)
    whole, path = run(routed), tmp_path / "run" / "checkpoint"

    def stop(state):
        if state.step == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(routed, checkpoint=path, progress=stop)
    assert path.exists()
    steps: list[int] = []
    resumed = run(routed, checkpoint=path, progress=lambda state: steps.append(state.step))
    assert steps[0] == 5
    assert not path.exists()
    assert resumed.facts == whole.facts
    for site in routed.sites:
        assert torch.equal(resumed.weights[site], whole.weights[site])


def test_a_checkpoint_of_another_run_is_refused(routed, tmp_path, monkeypatch):
    monkeypatch.setattr(train_module, "CHECKPOINT_SECONDS", 0.0)

    def stop(_):
        raise KeyboardInterrupt

    path = tmp_path / "checkpoint"
    with pytest.raises(KeyboardInterrupt):
        run(routed, checkpoint=path, progress=stop)
    with pytest.raises(CheckpointError, match="another run"):
        run(routed, checkpoint=path, config=CONFIG.model_copy(update={"learning_rate": 1e-3}))
    path.write_bytes(b"not a checkpoint")
    with pytest.raises(CheckpointError, match="Delete it"):
        run(routed, checkpoint=path)


def test_progress_counts_up_and_ends_with_nothing_left(routed):
    states: list = []
    run(routed, progress=states.append)
    assert [state.step for state in states] == list(range(1, states[0].steps + 1))
    assert states[-1].seconds_left == 0
    assert states[-1].scored_tokens >= 3000
    assert all(state.tokens_per_second > 0 for state in states)


def test_cost_estimate_matches_the_run(routed):
    cost = estimate_cost(
        routed, habit("config", 60), habit("config", 8), config=CONFIG, budget_tokens=3000, precision="fp32"
    )
    facts = run(routed).facts
    assert (cost.steps, cost.tokens, cost.scored_tokens) == (facts.steps, facts.tokens, facts.scored_tokens)
    assert cost.seconds > 0
    assert all(b.grad is None for b in routed.parameters.values())


def test_bf16_trains_too(routed):
    facts = run(routed, precision="bf16").facts
    assert facts.precision == "bf16"
    assert facts.best_dev_loss < facts.start_dev_loss


def test_too_little_code_is_told_how_much_more():
    check_enough(100, 100, "Ada")
    message = "Ada has 1,200 tokens .* 8,000 are needed: 6,800 more"
    with pytest.raises(InsufficientCodeError, match=message) as caught:
        check_enough(1200, 8000, "Ada")
    assert (caught.value.have, caught.value.need) == (1200, 8000)


def test_nothing_marked_is_an_error(routed):
    blank = [passage_from_lines([(False, "x = 1")], path="a.py", language="python")]
    with pytest.raises(FingerprintError, match="training slice has no marked token"):
        train_adapter(routed, blank, blank, start=routed.zero_weights(), config=CONFIG, budget_tokens=10)


def test_gradient_of_b_is_the_finite_difference(tiny_base_dir):
    base = load_base(str(tiny_base_dir))  # its own, for it is turned to fp64
    routed = RoutedModel(base, random_routes(base, 4, 0), scale=CONFIG.scale)
    windows = tokenize_passages(routed.base, habit("config", 3), 128)
    batch = pad_batch(windows, [0, 1, 2])
    rng = np.random.default_rng(0)
    routed.set_weights(
        {
            site: torch.from_numpy(rng.normal(size=tuple(b.shape)).astype(np.float32)) * 0.05
            for site, b in routed.parameters.items()
        }
    )
    routed.model.double()
    mean_loss(routed.model, batch).backward()
    for site in routed.sites[::5]:
        b = routed.parameters[site]
        assert b.grad is not None
        where = tuple(int(i) for i in np.unravel_index(int(b.grad.abs().argmax()), tuple(b.shape)))
        step = 1e-2
        with torch.no_grad():
            b[where] += step
            above = float(mean_loss(routed.model, batch))
            b[where] -= 2 * step
            below = float(mean_loss(routed.model, batch))
            b[where] += step
        assert (above - below) / (2 * step) == pytest.approx(float(b.grad[where]), rel=2e-2)
