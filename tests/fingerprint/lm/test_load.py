from __future__ import annotations

import json
import shutil

import pytest
import torch
from torch import nn

from fingerprint.lm.load import BaseModelError, find_sites, has_fast_bf16, load_base


def test_sites_are_all_projections_in_layer_order(tiny_base):
    parts = [site.rpartition(".")[2] for site in tiny_base.sites]
    assert parts == ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"] * 2
    assert tiny_base.sites[0] == "model.layers.0.self_attn.q_proj"
    assert tiny_base.site_shape("model.layers.1.mlp.down_proj") == (32, 64)


def test_the_model_is_frozen_and_in_eval_mode(tiny_base):
    assert not tiny_base.model.training
    assert not any(p.requires_grad for p in tiny_base.model.parameters())
    assert tiny_base.first_token == tiny_base.tokenizer.eos_token_id


def test_revision_of_a_directory_is_its_weights(tiny_base, tiny_base_dir, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(tiny_base_dir, other)
    assert load_base(str(other)).revision == tiny_base.revision
    assert load_base(str(other), revision=tiny_base.revision).revision == tiny_base.revision
    with pytest.raises(BaseModelError, match="expected 00"):
        load_base(str(other), revision="00")
    with (other / "model.safetensors").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(BaseModelError):
        load_base(str(other))


def test_dtype_is_asked_for(tiny_base_dir):
    assert load_base(str(tiny_base_dir), dtype=torch.bfloat16).model.dtype == torch.bfloat16


@pytest.mark.parametrize("revision", [None, "main", "abc123"])
def test_an_unpinned_hub_id_is_refused_before_any_network(revision):
    with pytest.raises(BaseModelError, match=r"ls-remote https://huggingface\.co/some/model"):
        load_base("some/model", revision=revision)


def test_a_directory_without_weights_is_refused(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(BaseModelError, match=r"expected config\.json and \*.safetensors"):
        load_base(str(tmp_path))


def test_a_model_without_known_sites_is_refused():
    with pytest.raises(BaseModelError, match="no linear layer with a known name"):
        find_sites(nn.Sequential(nn.Linear(2, 2)))


def test_a_head_that_rescales_logits_is_refused(tiny_base_dir, tmp_path):
    other = tmp_path / "capped"
    shutil.copytree(tiny_base_dir, other)
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps({**config, "final_logit_softcapping": 30.0}))
    with pytest.raises(BaseModelError, match="final_logit_softcapping"):
        load_base(str(other))


def test_special_tokens_in_a_text_are_plain_text(tiny_base):
    encoding = tiny_base.tokenizer.backend_tokenizer.encode("a<|endoftext|>b", add_special_tokens=False)
    assert tiny_base.first_token not in encoding.ids


def test_bf16_is_a_question_of_the_machine():
    assert has_fast_bf16(torch.device("cuda"))
    assert not has_fast_bf16(torch.device("meta"))
