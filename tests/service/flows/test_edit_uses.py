"""Gates that are known: they open on one token each, so that it is known where an edit is used."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import pytest
import torch

from fingerprint.lm.pair import RoutedModel
from fingerprint.lm.routes import random_routes
from fingerprint.lm.tokens import tokenize_passages
from fingerprint.passage import Passage, passage_from_lines
from fingerprint.vpd.config import VpdConfig
from fingerprint.vpd.gates import GatingNetwork
from fingerprint.vpd.language import decompose_edit
from fingerprint.vpd.targets import TokenTarget, edit_target
from fingerprint.vpd.train import Decomposition
from service.flows.edit_uses import MOST_USES, read_uses

BRIEF = VpdConfig.tiny().model_copy(
    update={"steps": 1, "rows": 2, "row_tokens": 16, "gate_width": 8, "evaluate_every": 3, "pgd_steps": (0,)}
)


class OnTokens(GatingNetwork):
    """Edit c opens by ``opened[c][1]`` on token ``opened[c][0]``, known by its embedding at the first tap."""

    opened: dict[int, tuple[torch.Tensor, float]]
    everywhere: Collection[int] = ()

    def forward(self, inputs):
        x = inputs[self.taps[0]]
        z = torch.full((*x.shape[:-1], self.write.out_features), -1.0)
        for number, (seen, gate) in self.opened.items():
            is_it = torch.cosine_similarity(x, seen.expand_as(x), dim=-1) > 0.9999
            z[..., number] = torch.where(is_it | (number in self.everywhere), gate, -1.0)
        return z


@pytest.fixture
def routed(tiny_base) -> RoutedModel:
    return RoutedModel(tiny_base, random_routes(tiny_base, 2, 0))


@pytest.fixture
def passages() -> list[Passage]:
    lines = [(True, f"value_{i} = config({i})") for i in range(30)]
    return [passage_from_lines(lines, path="a.py", language="python", group="a")]


def token(routed: RoutedModel, text: str) -> int:
    (found,) = routed.base.tokenizer.backend_tokenizer.encode(text).ids
    return found


def opening(
    routed: RoutedModel, passages: list[Passage], gates: dict[int, tuple[str, float]]
) -> tuple[TokenTarget, Decomposition]:
    """An edit of the first two matrices whose gates open as said."""
    weights = {site: torch.full_like(b, 0.1) for site, b in routed.zero_weights().items()}
    sites = routed.sites[:2]
    found = decompose_edit(routed, weights, [(1.0, passages)], passages, BRIEF, sites=sites)
    model = routed.base.model
    norm = model.get_submodule(f"{sites[0].rsplit('.', 2)[0]}.input_layernorm")
    network = OnTokens(found.components, found.gates.taps, BRIEF)
    rows = model.get_parameter("model.embed_tokens.weight")
    network.opened = {
        number: (norm(rows[token(routed, text)]), gate) for number, (text, gate) in gates.items()
    }
    return edit_target(routed, weights, sites=sites), replace(found, gates=network.requires_grad_(False))


def test_edits_are_told_by_the_tokens_that_they_open_on(routed, passages):
    own = opening(routed, passages, {0: (")", 0.75), 3: ("(", 0.5)})
    null = opening(routed, passages, {1: ("(", 0.9)})
    uses, n_untold, n_tokens = read_uses(routed.base, {"ann": own, "null": null}, passages)
    rows = tokenize_passages(routed.base, passages)
    assert n_tokens == sum(row.n_scored for row in rows)
    share = sum(int((row.ids[row.scored] == token(routed, ")")).sum()) for row in rows) / n_tokens
    first, second = routed.sites[:2]
    assert [(use.matrix, use.component, use.gate) for use in uses] == [(first, 0, 0.75), (second, 1, 0.5)]
    assert [use.density for use in uses] == [pytest.approx(share)] * 2 and share > 0.02
    assert uses[0].words.startswith("on )") and uses[1].words.startswith("on (")
    assert [use.is_nulls_too for use in uses] == [False, True]
    assert n_untold == 0


def test_what_is_open_everywhere_is_counted_not_told(routed, passages):
    target, found = opening(routed, passages, {0: (")", 0.75), 2: ("(", 0.9)})
    assert isinstance(found.gates, OnTokens)
    object.__setattr__(found.gates, "everywhere", {2})
    (told,), n_untold, _ = read_uses(routed.base, {"ann": (target, found)}, passages)
    assert (told.component, n_untold) == (0, 1)


def test_where_no_gate_opens_there_is_nothing_to_tell(routed, passages):
    assert read_uses(routed.base, {"ann": opening(routed, passages, {})}, passages)[0] == ()
    assert MOST_USES > 0
