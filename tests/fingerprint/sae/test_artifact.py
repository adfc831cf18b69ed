from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from fingerprint.sae.artifact import Sae, SaeError
from fingerprint.storage import written_whole


@pytest.fixture
def stored(tiny_sae, tmp_path):
    tiny_sae.save(tmp_path / "sae")
    return tmp_path / "sae"


def test_what_is_saved_is_loaded(tiny_sae, tiny_base, stored):
    found = Sae.load(stored, tiny_base, layer=0)
    assert found.digest == tiny_sae.digest
    assert (found.layer, found.provenance, found.facts) == (0, tiny_sae.provenance, tiny_sae.facts)
    x = torch.randn(20, 32)
    assert torch.equal(found.autoencoder(x), tiny_sae.autoencoder(x))
    assert not any(p.requires_grad for p in found.autoencoder.parameters())
    assert sorted(path.name for path in stored.iterdir()) == ["autoencoder.safetensors", "facts.json"]


def test_facts_say_where_it_came_from(tiny_sae, tiny_base, stored):
    facts = json.loads((stored / "facts.json").read_text())
    assert facts["provenance"]["revision"] == tiny_base.revision
    assert facts["layer"] == 0
    assert facts["digest"] == tiny_sae.digest


def test_another_base_or_block_is_refused(tiny_base, stored):
    other = replace(tiny_base, name="another", revision="f" * 64)
    message = "belongs to the base .* but the base is 'another' at ffffffffffff. Train one for it"
    with pytest.raises(SaeError, match=message):
        Sae.load(stored, other)
    with pytest.raises(SaeError, match="reads block 0, not 1"):
        Sae.load(stored, tiny_base, layer=1)


def test_damage_is_told(tiny_base, stored, tmp_path):
    with pytest.raises(SaeError, match="No readable autoencoder"):
        Sae.load(tmp_path / "nothing", tiny_base)
    tensors = load_file(stored / "autoencoder.safetensors")
    save_file({**tensors, "b_enc": tensors["b_enc"] + 1}, stored / "autoencoder.safetensors")
    with pytest.raises(SaeError, match="damaged"):
        Sae.load(stored, tiny_base)
    facts = json.loads((stored / "facts.json").read_text())
    (stored / "facts.json").write_text(json.dumps({**facts, "format": 99}))
    with pytest.raises(SaeError, match="format 99, this version reads 1"):
        Sae.load(stored, tiny_base)
    (stored / "autoencoder.safetensors").write_bytes(b"no tensors")
    with pytest.raises(SaeError, match="No readable autoencoder"):
        Sae.load(stored, tiny_base)


def test_nothing_half_written_and_the_old_one_stays(tiny_sae, tiny_base, stored):
    with pytest.raises((OSError, SafetensorError)), written_whole(stored) as fresh:
        save_file({}, fresh / "missing" / "autoencoder.safetensors")
    assert Sae.load(stored, tiny_base).digest == tiny_sae.digest
    assert [path.name for path in stored.parent.iterdir()] == ["sae"]
    tiny_sae.save(stored)
    assert Sae.load(stored, tiny_base).digest == tiny_sae.digest
