from __future__ import annotations

import json

import pytest
import torch

from fingerprint.vpd.components import VpdError
from fingerprint.vpd.config import VpdConfig
from fingerprint.vpd.recovery import gates_at
from fingerprint.vpd.store import load_decomposition, save_decomposition
from fingerprint.vpd.toys import PlantedEdit
from fingerprint.vpd.train import decompose

BRIEF = VpdConfig.toy().model_copy(
    update={"n_components": 4, "steps": 4, "warmup_steps": 20, "evaluate_every": 2, "pgd_steps": (0, 2)}
)


@pytest.fixture(scope="module")
def toy() -> PlantedEdit:
    return PlantedEdit.plant((2.0,), d=8)


@pytest.fixture(scope="module")
def found(toy):
    return decompose(toy.target, toy.data(16, 32), BRIEF)


def test_what_was_saved_comes_back(toy, found, tmp_path):
    for _ in range(2):  # the second replaces the first
        save_decomposition(found, toy.target, tmp_path / "there")
    back = load_decomposition(tmp_path / "there", toy.target)
    assert (back.config, back.metrics, back.verdict) == (found.config, found.metrics, found.verdict)
    assert (back.watches, back.losses) == (found.watches, found.losses)
    x = toy.data(16, 32).held_out[0]
    assert torch.equal(gates_at(back, toy.target, x)["layer"], gates_at(found, toy.target, x)["layer"])
    assert torch.equal(back.components.product("layer"), found.components.product("layer"))
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


def test_the_stored_verdict_can_be_read_without_torch(toy, found, tmp_path):
    save_decomposition(found, toy.target, tmp_path / "there")
    facts = json.loads((tmp_path / "there" / "config.json").read_text())
    assert facts["is_valid"] is found.verdict.is_valid
    assert facts["verdict"]["reasons"] == found.verdict.reasons


def test_other_matrices_other_formats_and_damage_are_refused(toy, found, tmp_path):
    there = tmp_path / "there"
    with pytest.raises(VpdError, match="No readable decomposition"):
        load_decomposition(there, toy.target)
    save_decomposition(found, toy.target, there)
    with pytest.raises(VpdError, match="other matrices"):
        load_decomposition(there, PlantedEdit.plant((2.0,), d=8, seed=1).target)
    facts = json.loads((there / "config.json").read_text())
    (there / "config.json").write_text(json.dumps(facts | {"format": 99}))
    with pytest.raises(VpdError, match="format 99"):
        load_decomposition(there, toy.target)
    (there / "config.json").write_text(json.dumps(facts))
    (there / "vpd.safetensors").write_bytes(b"torn")
    with pytest.raises(VpdError, match="No readable decomposition"):
        load_decomposition(there, toy.target)
