"""The tiny routed model and its dictionary, and a model of two linear layers that can be done by hand."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from tests.fingerprint.vpd.conftest import dictionary, routed, state, text

if TYPE_CHECKING:
    import torch

    from fingerprint.attribution.nodes import NodeSpace

__all__ = ["dictionary", "linear", "routed", "state", "text"]

D, VOCAB = 3, 300


@dataclass
class LinearWorld:
    """x1 = e, x2 = x1 + W1 x1, h = x2 + W2 x2, logits = O h; every W is two components, nothing left over."""

    space: NodeSpace
    embed: torch.Tensor
    out: torch.Tensor
    V: list[torch.Tensor]
    U: list[torch.Tensor]


@pytest.fixture(scope="session")
def linear(tiny_base) -> LinearWorld:
    """Gates are all 1."""
    import torch
    from torch import nn
    from transformers import GenerationMixin, PretrainedConfig, PreTrainedModel

    from fingerprint.attribution.nodes import NodeSpace
    from fingerprint.lm.load import Base
    from fingerprint.lm.pair import RoutedModel
    from fingerprint.lm.routes import random_routes
    from fingerprint.vpd.components import Components
    from fingerprint.vpd.targets import routed_weights_target

    class Inner(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(VOCAB, D)
            self.layers = nn.ModuleList(nn.ModuleDict({"q_proj": nn.Linear(D, D, bias=False)}) for _ in "12")

        def forward(self, input_ids, use_cache=False):
            x = self.embed(input_ids)
            for layer in self.layers:
                x = x + layer.get_submodule("q_proj")(x)
            return SimpleNamespace(last_hidden_state=x)

    class TwoLinear(PreTrainedModel, GenerationMixin):
        config_class, base_model_prefix = PretrainedConfig, "model"

        def __init__(self, config):
            super().__init__(config)
            self.model, self.lm_head = Inner(), nn.Linear(D, VOCAB, bias=False)

        def get_input_embeddings(self):
            return self.model.embed

        def get_output_embeddings(self):
            return self.lm_head

    torch.manual_seed(3)
    model = TwoLinear(PretrainedConfig()).requires_grad_(False).eval()
    sites = ("model.layers.0.q_proj", "model.layers.1.q_proj")
    V, U = ([torch.randn(*shape) for _ in sites] for shape in ((D, 2), (2, D)))
    for site, v, u in zip(sites, V, U, strict=True):
        model.get_parameter(f"{site}.weight").copy_((v @ u).T)
    base = Base("linear", "0" * 64, model, tiny_base.tokenizer, sites, 0, torch.device("cpu"))
    routed = RoutedModel(base, random_routes(base, 2, 0))
    target = routed_weights_target(routed, sites)
    named_V: dict[str, torch.Tensor] = dict(zip(sites, V, strict=True))
    named_U: dict[str, torch.Tensor] = dict(zip(sites, U, strict=True))
    components = Components(target.sites, named_V, named_U).requires_grad_(False)
    space = NodeSpace("components", routed, routed.zero_weights(), target, components, None, "linear")
    return LinearWorld(space, model.model.embed.weight, model.lm_head.weight, V, U)
