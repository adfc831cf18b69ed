from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from transformers import Qwen2ForCausalLM

from fingerprint import FingerprintError
from fingerprint.adapters import stacked as stacked_module
from fingerprint.adapters.checkpoint import CheckpointError
from fingerprint.adapters.stacked import StackedTask, train_stacked
from fingerprint.adapters.train import train_adapter
from fingerprint.config import AdapterConfig
from fingerprint.lm.load import load_base
from fingerprint.lm.pair import RoutedModel
from fingerprint.lm.routes import random_routes
from fingerprint.passage import passage_from_lines

CONFIG = AdapterConfig(
    batch_tokens=256, max_passage_tokens=128, learning_rate=5e-3, dev_points=2, dev_tokens=200, scale=4.0
)


def habit(word: str, n: int):
    """Passages full of one word, of three lengths."""
    return [
        passage_from_lines(
            [(False, "def run(value):"), *((True, f"    {word} = {word}({i})") for _ in range(1 + i % 3))],
            path="a.py",
            language="python",
            group=f"c{i}",
            written_at=float(i) * 86400,
        )
        for i in range(n)
    ]


@pytest.fixture(scope="module")
def routed(tiny_base) -> RoutedModel:
    return RoutedModel(tiny_base, random_routes(tiny_base, 4, 0), scale=CONFIG.scale)


@pytest.fixture(scope="module")
def team(routed):
    generator = torch.Generator().manual_seed(0)
    zero = routed.zero_weights()
    return {site: 0.02 * torch.randn(b.shape, generator=generator) for site, b in zero.items()}


@pytest.fixture(scope="module")
def tasks(team) -> dict[str, StackedTask]:
    """Three authors whose runs differ in length."""
    dev = habit("config", 6)
    return {
        word: StackedTask(habit(word, 40), dev, team, CONFIG, budget)
        for word, budget in (("config", 700), ("zz", 1200), ("value", 500))
    }


def run(routed, tasks, **options):
    return train_stacked(routed, tasks, precision="fp32", **options)


@pytest.fixture(scope="module")
def together(routed, tasks):
    return run(routed, tasks)


def assert_same(routed, found, expected, rel=1e-5):
    assert (found.facts.steps, found.facts.best_step, found.facts.scored_tokens, found.facts.improved) == (
        expected.facts.steps, expected.facts.best_step, expected.facts.scored_tokens, expected.facts.improved,
    )  # fmt: skip
    assert found.facts.best_dev_loss == pytest.approx(expected.facts.best_dev_loss, rel=rel)
    assert found.facts.last_loss == pytest.approx(expected.facts.last_loss, rel=rel)
    for site in routed.sites:
        size = expected.weights[site].norm()
        assert (found.weights[site] - expected.weights[site]).norm() < rel * size


def test_each_result_is_that_of_training_alone(routed, tasks, together):
    steps = set()
    for word, task in tasks.items():
        alone = train_adapter(
            routed, task.train, task.dev, start=task.start, config=CONFIG,
            budget_tokens=task.budget_tokens, precision="fp32", may_keep_start=False,
        )  # fmt: skip
        assert_same(routed, together[word], alone)
        assert [step for step, _ in together[word].facts.dev_history] == [
            step for step, _ in alone.facts.dev_history
        ]
        steps.add(alone.facts.steps)
    assert len(steps) == 3  # so that slots came free, and the others went on
    assert list(together) == list(tasks)


def test_the_room_in_a_step_does_not_change_results(routed, tasks, together):
    narrow = run(routed, tasks, step_tokens=2 * CONFIG.batch_tokens)
    for word in tasks:
        assert_same(routed, narrow[word], together[word])


def test_the_model_is_left_as_it_was(routed, together):
    assert together
    assert all(not b.any() and b.grad is None for b in routed.parameters.values())


def test_bf16_comes_near(routed, tasks, together):
    rough = train_stacked(routed, {"zz": tasks["zz"]}, precision="bf16")["zz"]
    assert rough.facts.precision == "bf16"
    assert rough.facts.best_dev_loss == pytest.approx(together["zz"].facts.best_dev_loss, rel=1e-2)


def test_a_killed_run_resumes_to_the_same_result(routed, tasks, together, tmp_path, monkeypatch):
    monkeypatch.setattr(stacked_module, "CHECKPOINT_SECONDS", 0.0)
    kept = {word: replace(task, checkpoint=tmp_path / word / "run") for word, task in tasks.items()}
    n_steps = sum(trained.facts.steps for trained in together.values())
    finished: list[str] = []

    def stop(state):
        if finished and state.step >= n_steps - 3:
            raise KeyboardInterrupt

    options = {"step_tokens": 2 * CONFIG.batch_tokens, "finished": lambda word, _: finished.append(word)}
    with pytest.raises(KeyboardInterrupt):
        run(routed, kept, progress=stop, **options)
    assert finished and len(finished) < len(tasks)
    before, steps = list(finished), list[int]()
    resumed = run(routed, kept, progress=lambda state: steps.append(state.step), **options)
    assert len(steps) <= 3  # nothing was done twice
    assert steps[-1] == n_steps
    assert finished[len(before) :][: len(before)] == before  # told again, not trained again
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    for word in tasks:
        assert_same(routed, resumed[word], together[word])


def test_a_checkpoint_of_another_run_is_refused(routed, tasks, tmp_path, monkeypatch):
    monkeypatch.setattr(stacked_module, "CHECKPOINT_SECONDS", 0.0)
    task = replace(tasks["value"], checkpoint=tmp_path / "run")

    def stop(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(routed, {"value": task}, progress=stop)
    other = replace(task, config=CONFIG.model_copy(update={"seed": 1}))
    with pytest.raises(CheckpointError, match="another run"):
        run(routed, {"value": other})


def test_progress_counts_all_authors_up_and_ends_with_nothing_left(routed, tasks):
    states: list = []
    found = run(routed, tasks, progress=states.append)
    steps = [state.step for state in states]
    assert steps == sorted(set(steps))
    assert steps[0] == len(tasks)
    assert steps[-1] == states[0].steps == sum(trained.facts.steps for trained in found.values())
    assert states[-1].seconds_left == 0
    assert states[-1].scored_tokens == sum(trained.facts.scored_tokens for trained in found.values())
    assert all(state.tokens_per_second > 0 and state.seconds_left >= 0 for state in states)


def test_an_author_with_nothing_to_train_on_is_an_error(routed, tasks):
    blank = [passage_from_lines([(False, "x = 1")], path="a.py", language="python")]
    with pytest.raises(FingerprintError, match="training slice has no marked token"):
        run(routed, {"nobody": replace(tasks["value"], train=blank)})


def test_nobody_is_no_work(routed):
    assert run(routed, {}) == {}


def test_a_base_that_cannot_be_stacked_takes_authors_one_by_one(tiny_base_dir, tasks, tmp_path):
    model = Qwen2ForCausalLM.from_pretrained(tiny_base_dir)
    options = {"use_sliding_window": True, "sliding_window": 16, "layer_types": ["sliding_attention"] * 2}
    for name, value in options.items():
        setattr(model.config, name, value)
    model.save_pretrained(tmp_path)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((tiny_base_dir / name).read_bytes())
    base = load_base(str(tmp_path))
    sliding = RoutedModel(base, random_routes(base, 4, 0), scale=CONFIG.scale)
    task = tasks["value"]
    told: list[str] = []
    found = run(sliding, {"value": task}, finished=lambda word, _: told.append(word))["value"]
    alone = train_adapter(
        sliding, task.train, task.dev, start=task.start, config=CONFIG,
        budget_tokens=task.budget_tokens, precision="fp32", may_keep_start=False,
    )  # fmt: skip
    assert_same(sliding, found, alone, rel=1e-7)
    assert told == ["value"]
