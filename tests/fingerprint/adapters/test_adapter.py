from __future__ import annotations

import json

import peft
import pytest
import torch

from fingerprint.adapters.adapter import (
    Adapter,
    AdapterError,
    digest_weights,
    merge_adapter,
    weight_difference,
)
from fingerprint.lm.load import load_base
from fingerprint.lm.pair import RoutedModel
from fingerprint.lm.routes import random_routes
from fingerprint.provenance import Provenance


@pytest.fixture
def routed(tiny_base) -> RoutedModel:
    return RoutedModel(tiny_base, random_routes(tiny_base, 4, 0), scale=1.5)


def random_weights(routed: RoutedModel, seed: int):
    generator = torch.Generator().manual_seed(seed)
    zero = routed.zero_weights()
    return {site: 0.1 * torch.randn(b.shape, generator=generator) for site, b in zero.items()}


@pytest.fixture
def provenance(routed) -> Provenance:
    return Provenance(routed.base.name, routed.base.revision, routed.routes.digest, "corpus", "config", 0)


@pytest.fixture
def author(routed, provenance) -> Adapter:
    return Adapter.of_author(
        random_weights(routed, 1),
        random_weights(routed, 0),
        routed,
        provenance=provenance,
        facts={"tokens": 12, "loss": 1.5},
    )


def test_plain_peft_reads_it_with_the_same_logits(routed, author, tiny_base_dir, tmp_path):
    author.save(tmp_path / "author")
    fresh = load_base(str(tiny_base_dir)).model
    with pytest.warns(FutureWarning):  # peft 0.21 asks transformers 5 by an old name
        plain = peft.PeftModel.from_pretrained(fresh, tmp_path / "author").eval()
    ids = torch.randint(1, 300, (2, 20))
    routed.set_weights(author.state)
    with torch.inference_mode():
        expected, found = (m(input_ids=ids, use_cache=False).logits for m in (routed.model, plain))
    torch.testing.assert_close(found, expected)
    assert not torch.equal(found, fresh.get_submodule("lm_head")(torch.zeros(2, 20, 32)))


def test_an_author_comes_back_whole(author, routed, tmp_path):
    author.save(tmp_path / "author")
    author.save(tmp_path / "author")  # again, in place
    back = Adapter.load(tmp_path / "author", routed.routes)
    assert back.routes is routed.routes
    assert (back.kind, back.start, back.scale, back.facts) == ("author", author.start, 1.5, author.facts)
    assert back.provenance == author.provenance
    assert back.digest == author.digest
    assert back.is_difference
    for site in routed.sites:
        assert torch.equal(back.weights[site], author.weights[site])
        assert torch.equal(back.state[site], author.state[site])
    assert Adapter.load(tmp_path / "author").routes.digest == routed.routes.digest
    assert [p.name for p in tmp_path.iterdir()] == ["author"]


def test_authors_refer_to_the_digest_of_a_team(author, routed, provenance, tmp_path):
    team = Adapter.of_team(random_weights(routed, 0), routed, provenance=provenance, facts={})
    team.save(tmp_path / "team")
    assert not (tmp_path / "team" / "difference.safetensors").exists()
    back = Adapter.load(tmp_path / "team")
    assert back.digest == author.start == digest_weights(team.weights)
    assert not back.is_difference


def test_the_same_adapter_is_the_same_bytes(author, tmp_path):
    author.save(tmp_path / "one")
    author.save(tmp_path / "two")
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


def test_weight_difference_is_s_b_a(author, routed):
    site = routed.sites[6]
    expected = 1.5 * author.weights[site] @ routed.routes.A[site]
    torch.testing.assert_close(weight_difference(author, site), expected)


def test_merging_adds_the_state_to_a_copy(author, routed, tiny_base):
    site = tiny_base.sites[2]
    before = tiny_base.model.get_parameter(f"{site}.weight").clone()
    merged = merge_adapter(author, tiny_base)
    added = merged.get_parameter(f"{site}.weight") - before
    torch.testing.assert_close(added, 1.5 * author.state[site] @ routed.routes.A[site], atol=1e-6, rtol=1e-4)
    assert torch.equal(tiny_base.model.get_parameter(f"{site}.weight"), before)


@pytest.mark.parametrize(
    ("entry", "value", "message"),
    [
        ("format", 7, "format 7"),
        ("digest", "00", "damaged"),
        ("routes", "00", "other routes"),
    ],
)
def test_unknown_formats_and_damage_are_refused(author, tmp_path, entry, value, message):
    author.save(tmp_path / "author")
    path = tmp_path / "author" / "facts.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), entry: value}))
    with pytest.raises(AdapterError, match=message):
        Adapter.load(tmp_path / "author")


def test_missing_and_truncated_adapters_are_refused(author, tmp_path):
    with pytest.raises(AdapterError, match="No readable adapter"):
        Adapter.load(tmp_path / "nothing")
    author.save(tmp_path / "author")
    path = tmp_path / "author" / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(AdapterError, match="No readable adapter"):
        Adapter.load(tmp_path / "author")
