"""The recipe of the base: it learns, resumes after a kill, and goes on from a finished model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import Qwen2ForCausalLM

from fingerprint import FingerprintError
from fingerprint.starter.train import (
    Job,
    StarterConfig,
    build_model,
    learning_rate_factor,
    row_stream,
    worker,
)

SMALL = StarterConfig(
    vocab_size=32, hidden_size=16, intermediate_size=32, n_layers=1, n_heads=2, n_kv_heads=1, row_tokens=16,
    rows_per_step=4, rows_per_pass=2, total_tokens=40 * 64, language_share={"python": 0.5, "go": 0.5},
)  # fmt: skip


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two languages whose rows count up by one and by two."""
    for name, step in (("python", 1), ("go", 2)):
        np.save(tmp_path / f"train_{name}.npy", (np.arange(4096) * step % 32).astype(np.uint16))
    return tmp_path


@pytest.fixture(autouse=True)
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiling takes longer than these runs."""
    monkeypatch.setattr(torch, "compile", lambda model: model)


def losses(out: Path) -> list[float]:
    state = torch.load(out / "checkpoint.pt", weights_only=True)
    return [entry["loss"] for entry in state["history"]]


def train_in(data: Path, name: str, config: StarterConfig, minutes: float = 5.0) -> Path:
    out = data / name
    out.mkdir(exist_ok=True)
    worker(0, Job(1, data, out, minutes), config)
    return out


def test_it_learns_and_resumes_where_it_stopped(data: Path) -> None:
    whole = losses(train_in(data, "whole", SMALL))
    assert len(whole) == 40
    assert np.mean(whole[-5:]) < np.mean(whole[:5]) - 0.2
    part = data / "part"
    while not (part / "checkpoint.pt").exists() or len(losses(part)) < 40:
        train_in(data, "part", SMALL, minutes=0.0)  # stopped after every step
    assert losses(part) == pytest.approx(whole, abs=1e-4)


def test_it_goes_on_from_a_finished_model_with_rows_not_yet_read(data: Path) -> None:
    first = train_in(data, "first", SMALL)
    on = SMALL.model_copy(update={"start": str(first / "model"), "start_steps": 40})
    kept = Qwen2ForCausalLM.from_pretrained(first / "model", dtype=torch.float32).state_dict()
    assert all(torch.equal(kept[name], value) for name, value in build_model(on).state_dict().items())
    further = losses(train_in(data, "further", on))
    assert np.mean(further[-5:]) < np.mean(losses(first)[:5]) - 0.2
    again = losses(train_in(data, "again", on.model_copy(update={"start_steps": 0})))
    assert further[0] != again[0]


def test_a_start_of_another_shape_is_refused(data: Path) -> None:
    first = train_in(data, "first", SMALL.model_copy(update={"total_tokens": 64}))
    with pytest.raises(FingerprintError, match="another shape"):
        build_model(SMALL.model_copy(update={"start": str(first / "model"), "n_layers": 2}))


def test_another_recipe_does_not_resume(data: Path) -> None:
    train_in(data, "run", SMALL, minutes=0.0)
    with pytest.raises(FingerprintError, match="another recipe"):
        train_in(data, "run", SMALL.model_copy(update={"muon_lr": 0.01}))


def test_rows_come_by_share_and_repeat_for_the_same_seed(data: Path) -> None:
    stream, same = row_stream(data, SMALL), row_stream(data, SMALL)
    rows = [next(stream) for _ in range(200)]
    assert all(np.array_equal(row, next(same)) for row in rows)
    n_go = sum(int(row[1] - row[0]) % 32 == 2 for row in rows)
    assert 70 < n_go < 130


def test_the_learning_rate_warms_up_holds_and_decays() -> None:
    at = [learning_rate_factor(progress, SMALL) for progress in (0.01, 0.02, 0.5, 0.7, 0.85, 1.0)]
    assert at == pytest.approx([0.5, 1.0, 1.0, 1.0, 0.5, 0.0])
