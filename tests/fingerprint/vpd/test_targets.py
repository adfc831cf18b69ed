from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from fingerprint.lm.pair import RoutedModel
from fingerprint.lm.routes import random_routes
from fingerprint.lm.tokens import Batch, full_batch
from fingerprint.passage import passage_from_lines
from fingerprint.vpd import targets as targets_module
from fingerprint.vpd.components import VpdError, observed, start_components
from fingerprint.vpd.config import VpdConfig
from fingerprint.vpd.targets import (
    digest_target,
    edit_target,
    first_sites_of_blocks,
    passage_data,
    weights_target,
)
from fingerprint.vpd.train import decompose

BRIEF = VpdConfig.tiny().model_copy(
    update={"steps": 2, "gate_width": 16, "evaluate_every": 3, "pgd_steps": (0, 2)}
)
LAYER = tuple(f"model.layers.1.mlp.{name}_proj" for name in ("gate", "up", "down"))


def passages(word: str, n: int) -> list:
    return [
        passage_from_lines(
            [(False, "def run(value):"), (True, f"    {word} = {word}({i})"), (True, f"    return {word}")],
            path="a.py",
            language="python",
        )
        for i in range(n)
    ]


@pytest.fixture
def data(tiny_base):
    corpora = [(0.5, passages("config", 6)), (0.5, passages("value", 6))]
    return passage_data(tiny_base, corpora, passages("other", 3), rows=3, max_tokens=16, seed=0)


@pytest.fixture
def routed(tiny_base) -> RoutedModel:
    return RoutedModel(tiny_base, random_routes(tiny_base, 4, 0), scale=2.0)


def random_weights(routed: RoutedModel, size: float = 0.3) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        site: size * torch.randn(b.shape, generator=generator) for site, b in routed.zero_weights().items()
    }


def logits(model, ids):
    with torch.no_grad():
        return model(input_ids=ids, use_cache=False).logits


@pytest.fixture
def ids() -> torch.Tensor:
    return torch.randint(0, 300, (2, 9), generator=torch.Generator().manual_seed(0))


def test_an_edit_with_all_masks_off_is_the_base_and_with_all_on_the_adapted_model(routed, ids):
    weights = random_weights(routed)
    base, before = routed.base.model, logits(routed.base.model, ids)
    routed.set_weights(weights)
    adapted = logits(routed.model, ids)
    target = edit_target(routed, weights)
    components = start_components(target.sites, "gaussian", 3, 1.0, 0)
    with components.masked(components.constant_masks(0.0, 0.0)):
        assert torch.equal(logits(base, ids), before)
    with components.masked(components.constant_masks(1.0, 1.0)):
        assert torch.allclose(logits(base, ids), adapted, atol=1e-5)
    with observed(target.sites):
        assert torch.equal(logits(base, ids), adapted)
    assert float((adapted - before).abs().max()) > 0.1


def test_weights_with_all_masks_on_are_the_base(tiny_base, ids):
    before = logits(tiny_base.model, ids)
    target = weights_target(tiny_base, tiny_base.sites)
    components = start_components(target.sites, "gaussian", 5, 1.0, 0)
    with components.masked(components.constant_masks(1.0, 1.0)):
        assert torch.allclose(logits(tiny_base.model, ids), before, atol=1e-6)
    with components.masked(components.constant_masks(0.0, 0.0)):
        assert not torch.allclose(logits(tiny_base.model, ids), before, atol=1e-1)
    assert torch.equal(logits(tiny_base.model, ids), before)


def test_a_faithful_start_needs_no_delta(routed, ids):
    target = edit_target(routed, random_weights(routed))
    components = start_components(target.sites, "svd", None, 1.0, 0)
    assert set(components.counts) == {routed.routes.rank}
    with components.masked(components.constant_masks(1.0, 0.0)):
        without = logits(routed.base.model, ids)
    with observed(target.sites):
        assert torch.allclose(logits(routed.base.model, ids), without, atol=1e-4)


def test_only_the_chosen_sites_are_edited(routed, ids):
    weights = random_weights(routed)
    chosen = routed.sites[3]
    target = edit_target(routed, weights, sites=[chosen])
    alone = {site: b if site == chosen else torch.zeros_like(b) for site, b in weights.items()}
    routed.set_weights(alone)
    with observed(target.sites):
        assert torch.allclose(logits(routed.base.model, ids), logits(routed.model, ids), atol=1e-5)


def test_position_0_and_padding_do_not_count(tiny_base):
    mask = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
    batch = Batch(torch.ones(2, 5, dtype=torch.long), mask, mask)
    target = weights_target(tiny_base, LAYER)
    assert target.counted(batch).sum(1).tolist() == [4, 2]
    assert target.run(batch).shape == (6, 32)


def test_padding_changes_nothing(tiny_base, ids):
    target = weights_target(tiny_base, LAYER)
    short = target.run(full_batch(ids[:1, :5]))
    padded = Batch(ids[:1], torch.arange(9)[None] < 5, torch.arange(9)[None] < 5)
    assert torch.allclose(target.run(padded), short, atol=1e-5)
    assert target.task_loss(target.run(padded), padded) == pytest.approx(
        target.task_loss(short, full_batch(ids[:1, :5])), abs=1e-5
    )


def test_distance_and_task_loss_are_those_of_the_logits(tiny_base, ids, monkeypatch):
    target, batch = weights_target(tiny_base, LAYER), full_batch(ids)
    components = start_components(target.sites, "gaussian", 5, 1.0, 0)
    clean = target.run(batch)
    with components.masked(components.constant_masks(0.5, 0.5)):
        outputs, masked = target.run(batch), logits(tiny_base.model, ids)[:, 1:]
    p, q = logits(tiny_base.model, ids)[:, 1:].log_softmax(-1), masked.log_softmax(-1)
    divergence = (p.exp() * (p - q)).sum(-1).flatten()
    assert torch.allclose(target.distance(clean, outputs), divergence, atol=1e-5)
    wanted = F.cross_entropy(masked[:, :-1].flatten(0, 1), ids[:, 2:].flatten())
    assert target.task_loss(outputs, batch) == pytest.approx(float(wanted.detach()), abs=1e-5)
    monkeypatch.setattr(targets_module, "LOGITS_PER_CHUNK", 900)
    assert torch.allclose(target.distance(clean, outputs), divergence, atol=1e-5)
    assert target.task_loss(outputs, batch) == pytest.approx(float(wanted.detach()), abs=1e-5)


@pytest.mark.parametrize("gates", ["mlp", "transformer"])
def test_a_layer_of_a_transformer_is_decomposed(tiny_base, data, gates):
    """A few steps through everything: masks of positions, padding, sources by slot, metrics."""
    before = {name: p.clone() for name, p in tiny_base.model.named_parameters()}
    config = BRIEF.model_copy(update={"gates": gates})
    found = decompose(weights_target(tiny_base, LAYER), data, config)
    assert list(found.metrics.sites) == list(LAYER)
    assert [site.n_components for site in found.metrics.sites.values()] == [32, 32, 32]
    assert found.metrics.distance["delta off"] < 1e-3 < found.metrics.distance["zero"]
    assert found.metrics.task_loss["zero"] != found.metrics.task_loss["target"]
    assert found.metrics.attack[2] >= found.metrics.attack[0]
    assert found.verdict.is_valid
    assert all(torch.equal(p, before[name]) for name, p in tiny_base.model.named_parameters())


def test_an_edit_of_a_transformer_is_decomposed(routed, data):
    target = edit_target(routed, random_weights(routed), sites=routed.sites[-4:])
    found = decompose(target, data, BRIEF)
    assert tuple(found.metrics.sites) == routed.sites[-4:]
    assert found.metrics.distance["delta off"] < 0.05 * found.metrics.distance["zero"]
    assert found.verdict.is_valid


def test_a_null_edit_has_nothing_alive(routed, data):
    """B = 0: no matrix, no component, no effect."""
    config = BRIEF.model_copy(update={"steps": 20, "learning_rate": 1e-1, "evaluate_every": 20})
    target = edit_target(routed, routed.zero_weights(), sites=routed.sites[:1])
    found = decompose(target, data, config)
    assert found.metrics.n_alive == 0
    assert found.metrics.distance["zero"] == 0
    assert found.verdict.is_valid
    assert "no effect" in str(found.verdict)


def test_batches_depend_on_the_step_alone_and_mix_the_corpora(tiny_base):
    corpora = [(0.75, passages("config", 6)), (0.25, passages("zzz", 6))]
    data = passage_data(tiny_base, corpora, passages("other", 5), rows=4, max_tokens=64, seed=0)
    assert torch.equal(data.batch(3).ids, data.batch(3).ids)
    texts = [tiny_base.tokenizer.decode(row) for step in range(50) for row in data.batch(step).ids]
    assert 0.6 < sum("config" in text for text in texts) / len(texts) < 0.9
    assert [len(batch.ids) for batch in data.held_out] == [4, 1]
    assert all(batch.ids.shape[1] <= 64 for batch in data.held_out)


def test_text_without_marked_tokens_is_refused(tiny_base):
    blank = [passage_from_lines([(False, "x = 1")], path="a.py", language="python")]
    with pytest.raises(VpdError, match="marked token"):
        passage_data(tiny_base, [(1.0, blank)], passages("other", 2), rows=2, max_tokens=32, seed=0)


def test_unknown_sites_are_refused(tiny_base, routed):
    with pytest.raises(VpdError, match="lm_head"):
        weights_target(tiny_base, ["lm_head"])
    with pytest.raises(VpdError, match="got none"):
        weights_target(tiny_base, [])
    with pytest.raises(VpdError, match=r"model\.layers\.9"):
        edit_target(routed, routed.zero_weights(), sites=["model.layers.9.mlp.up_proj"])


def test_blocks_are_known_by_their_first_site():
    sites = [f"model.layers.{i}.{name}" for i in range(5) for name in ("self_attn.q_proj", "mlp.up_proj")]
    firsts = [f"model.layers.{i}.self_attn.q_proj" for i in (0, 2, 4)]
    assert list(first_sites_of_blocks(sites, 2)) == firsts


def test_digest_knows_matrices_and_names(routed):
    weights = random_weights(routed)
    first = digest_target(edit_target(routed, weights))
    assert first == digest_target(edit_target(routed, weights))
    assert first != digest_target(edit_target(routed, random_weights(routed, 0.2)))
    assert first != digest_target(edit_target(routed, weights, sites=routed.sites[1:]))
