"""Checkpoints from folders, from a hub's cache and from memory: by step, with what was read by then."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from huggingface_hub import constants
from peft import LoraConfig, get_peft_model
from torch import nn

from fingerprint import FingerprintError
from fingerprint.adapters.adapter import AdapterError
from fingerprint.adapters.population import author_snapshot
from fingerprint.adapters.train import train_adapter
from fingerprint.development.checkpoints import (
    CheckpointsError,
    adapter_series,
    folder_series,
    hub_series,
    peft_series,
    snapshot_series,
    state_series,
    trained_parameters,
)
from fingerprint.lm.fit import kept_steps
from fingerprint.lm.pair import RoutedModel
from fingerprint.lm.routes import random_routes
from fingerprint.passage import Corpus, passage_from_lines
from fingerprint.starter.train import Job, StarterConfig, worker
from tests.fingerprint.adapters.test_train import CONFIG, habit

RECIPE = StarterConfig(
    vocab_size=300, hidden_size=16, intermediate_size=32, n_layers=1, n_heads=2, n_kv_heads=1, row_tokens=16,
    rows_per_step=4, rows_per_pass=2, total_tokens=10 * 64, language_share={"python": 1.0},
)  # fmt: skip


def log_probs(model: nn.Module) -> torch.Tensor:
    with torch.inference_mode():
        return model(input_ids=torch.arange(1, 20)[None]).logits.clone()


def test_steps_are_kept_at_equal_ratios_with_both_ends():
    assert kept_steps(1000, 5) == (0, 1, 10, 100, 1000)
    assert kept_steps(3, 9) == (0, 1, 2, 3)
    assert kept_steps(7, 2) == (0, 7)
    with pytest.raises(FingerprintError, match="ask for 2"):
        kept_steps(7, 1)


@pytest.fixture(scope="module")
def kept_models(tiny_base_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Whole models as the starter's recipe keeps them, after a kill at step 4."""
    data = tmp_path_factory.mktemp("kept")
    np.save(data / "train_python.npy", (np.arange(4096) % 300).astype(np.uint16))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "compile", lambda model: model)
        for minutes in (0.0, 0.0, 5.0):
            worker(0, Job(1, data, data, minutes, 4, tiny_base_dir), RECIPE)
    return data / "checkpoints"


def test_the_recipe_keeps_whole_models_that_load_as_bases(kept_models: Path):
    series = folder_series(kept_models)
    assert series.steps == kept_steps(10, 4) == (0, 1, 3, 10)
    assert [checkpoint.tokens_seen for checkpoint in series] == [0, 64, 192, 640]
    first, *_, last = [checkpoint.load() for checkpoint in series]
    assert not torch.equal(log_probs(first.model), log_probs(last.model))
    assert first.model.dtype == torch.float32
    assert len(trained_parameters(first)) == len(dict(first.model.named_parameters()))
    assert first.token_text(int(first.tokenizer.encode("def")[0]))
    assert first.revision != last.revision


def test_asking_for_a_step_that_is_not_there_names_those_that_are(kept_models: Path):
    series = folder_series(kept_models)
    assert series.at({0, 10}).steps == (0, 10)
    assert series.spread(1).steps == (10,)
    assert series.spread(2).steps == (0, 10)
    assert series.spread(3).steps == (0, 3, 10)
    with pytest.raises(CheckpointsError, match="no checkpoint at 7; there are 0, 1, 3, 10"):
        series.at({0, 7})
    with pytest.raises(CheckpointsError, match="expected folders named like"):
        folder_series(kept_models / "nowhere")


def test_revisions_of_a_hub_model_come_from_the_cache_without_a_network(
    kept_models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(CheckpointsError, match="cannot be listed"):
        hub_series("some/model")
    place = tmp_path / "models--some--model"
    (place / "refs").mkdir(parents=True)
    for number, step in enumerate((0, 10)):
        commit = f"{number:040x}"
        shutil.copytree(kept_models / f"step-{step:06}", place / "snapshots" / commit)
        (place / "refs" / f"step{step}").write_text(commit)
    (place / "refs" / "main").write_text("f" * 40)
    series = hub_series("some/model")
    assert [(c.step, c.tokens_seen) for c in series] == [(0, 0), (10, 10 * 2_097_152)]
    assert hub_series("some/model", [10], tokens_per_step=None).checkpoints[0].tokens_seen is None
    with pytest.raises(CheckpointsError, match="there are 0, 10"):
        hub_series("some/model", [5])
    for checkpoint in series:
        base = checkpoint.load()
        wanted = folder_series(kept_models).at([checkpoint.step]).checkpoints[0].load()
        assert base.revision == f"{(0, 10).index(checkpoint.step):040x}"
        assert torch.equal(log_probs(base.model), log_probs(wanted.model))


@pytest.fixture
def routed(tiny_base) -> RoutedModel:
    return RoutedModel(tiny_base, random_routes(tiny_base, 4, 0), scale=CONFIG.scale)


def trained(routed: RoutedModel, n_kept: int = 0, **options):
    return train_adapter(
        routed, habit("config", 60), habit("config", 8), start=routed.zero_weights(), config=CONFIG,
        budget_tokens=1000, precision="fp32", n_kept=n_kept, **options,
    )  # fmt: skip


def test_keeping_states_changes_nothing_in_what_is_trained(routed: RoutedModel):
    plain, kept = trained(routed), trained(routed, 4)
    site = routed.sites[0]
    assert plain.development is None and kept.development is not None
    assert torch.equal(plain.weights[site], kept.weights[site])
    found = kept.development
    n_steps = kept.facts.steps
    assert tuple(found.states) == kept_steps(n_steps, 4)
    assert not any(b.any() for b in found.states[0].values())
    assert torch.equal(found.states[n_steps][site], kept.weights[site]) == (kept.facts.best_step == n_steps)
    assert len(found.order) == len(found.losses) == len(found.tokens) == n_steps
    assert {i for step in found.order for i in step} <= set(range(60))
    assert all(len(set(step)) == len(step) for step in found.order)
    assert sum(found.scored) == kept.facts.scored_tokens


def test_kept_states_outlive_a_kill(routed: RoutedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("fingerprint.adapters.train.CHECKPOINT_SECONDS", 0.0)

    def stop(state):
        if state.step == 2:
            raise KeyboardInterrupt

    whole = trained(routed, 4).development
    with pytest.raises(KeyboardInterrupt):
        trained(routed, 4, checkpoint=tmp_path / "c", progress=stop)
    found = trained(routed, 4, checkpoint=tmp_path / "c").development
    assert whole is not None and found is not None and found.states.keys() == whole.states.keys()
    for step, state in whole.states.items():
        assert all(torch.equal(state[site], found.states[step][site]) for site in routed.sites)


def test_states_are_swapped_on_one_routed_model(routed: RoutedModel, tmp_path: Path):
    development = trained(routed, 4).development
    assert development is not None
    corpus = Corpus((passage_from_lines([(True, "x = 1")], path="a.py", language="python"),))
    for step, state in development.states.items():
        snapshot = author_snapshot(routed, state, corpus, CONFIG, {"step": step})
        snapshot.save(tmp_path / f"step-{step:06}")
    stored, held = adapter_series(routed, tmp_path), state_series(routed, development.states, {0: 0})
    assert stored.steps == held.steps == tuple(development.states)
    own = peft_series(routed.base, tmp_path)
    bare = log_probs(routed.base.model)
    for disk, memory, plain in zip(stored, held, own, strict=True):
        seen = log_probs(disk.load().model)
        assert torch.equal(seen, log_probs(memory.load().model))
        assert torch.allclose(seen, log_probs(plain.load()), atol=1e-6)
        assert torch.allclose(seen, bare, atol=1e-6) == (disk.step == 0)
    assert set(trained_parameters(routed)) == set(routed.sites)
    assert len(trained_parameters(own.checkpoints[0].load())) == 2 * len(routed.sites)


def test_other_peoples_adapters_may_differ_in_a_but_not_in_rank(tiny_base, tmp_path: Path):
    import copy

    wanted = torch.zeros(0)
    for step, rank in ((5, 2), (10, 2), (20, 3)):
        torch.manual_seed(step)
        model = get_peft_model(copy.deepcopy(tiny_base.model), LoraConfig(r=rank, target_modules=["q_proj"]))
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                nn.init.normal_(parameter)
        model.save_pretrained(str(tmp_path / f"checkpoint-{step}"))
        if step == 10:
            wanted = log_probs(model.eval())
    series = peft_series(tiny_base, tmp_path)
    assert series.steps == (5, 10, 20)
    series.checkpoints[0].load()
    assert torch.allclose(log_probs(series.checkpoints[1].load()), wanted, atol=1e-6)
    with pytest.raises(AdapterError, match="same rank"):
        series.checkpoints[2].load()


def test_snapshots_of_a_toy():
    model = nn.Linear(2, 1)
    snapshots = {0: {"weight": torch.zeros(1, 2), "bias": torch.zeros(1)}}
    snapshots[3] = {"weight": torch.ones(1, 2), "bias": torch.ones(1)}
    series = snapshot_series(model, snapshots, {0: 0, 3: 12})
    seen = [(c.step, c.tokens_seen, float(c.load()(torch.ones(2)).detach())) for c in series]
    assert seen == [(0, 0, 0.0), (3, 12, 3.0)]
