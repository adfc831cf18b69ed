"""Causal importances: one network for all sites, and the two leaky sigmoids read off its logits z.

The lower one makes masks, the upper one is what sparsity pushes on (SPEC 3). They agree in value on z <= 1;
they differ in what their gradients let through.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import Qwen2Config, Qwen2Model

from fingerprint.vpd.components import Components
from fingerprint.vpd.config import VpdConfig

LEAK = 0.01


class _LeakyLower(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z: Float[Tensor, "*b c"]) -> Float[Tensor, "*b c"]:
        ctx.save_for_backward(z)
        return z.clamp(0, 1)

    @staticmethod
    def backward(ctx: Any, *gradients: Float[Tensor, "*b c"]) -> Float[Tensor, "*b c"]:
        (z,), gradient = ctx.saved_tensors, gradients[0]
        leaked = LEAK * gradient.clamp(max=0)  # a descent step would raise z: let a little of it through
        return torch.where(z <= 0, leaked, torch.where(z <= 1, gradient, torch.zeros_like(gradient)))


def leaky_lower(z: Float[Tensor, "*b c"]) -> Float[Tensor, "*b c"]:
    """Clamp z to [0, 1]; a closed gate gets a hundredth of a gradient that would open it, a full one none."""
    out = _LeakyLower.apply(z)
    assert isinstance(out, Tensor)
    return out


def leaky_upper(z: Float[Tensor, "*b c"]) -> Float[Tensor, "*b c"]:
    """0 below 0, z up to 1, 1 + .01 (z - 1) above: sparsity draws full gates back, closed ones no further."""
    return torch.where(z > 1, 1 + LEAK * (z - 1), torch.where(z > 0, z, torch.zeros_like(z)))


class GatingNetwork(nn.Module):
    """Logits of every component from the clean-pass inputs of some sites.

    Attributes:
        taps: names of the sites whose inputs are read.
    """

    def __init__(self, components: Components, taps: Sequence[str], config: VpdConfig) -> None:
        super().__init__()
        self.taps, self.normalise = tuple(taps), config.normalise_inputs
        width, layers = config.gate_width, config.gate_layers
        self.read = nn.Linear(sum(components.sites[tap].linear.in_features for tap in self.taps), width)
        body = (
            _mlp_body(width, layers)
            if config.gates == "mlp"
            else _CausalBody(width, layers, config.gate_heads)
        )
        self.body = body
        self.write = nn.Linear(width, components.n_components)
        nn.init.normal_(self.write.weight, std=0.01)
        nn.init.constant_(self.write.bias, config.gate_bias)

    def forward(self, inputs: Mapping[str, Float[Tensor, "*b _"]]) -> Float[Tensor, "*b c"]:
        """Logits z in fp32."""
        read = [inputs[tap].float() for tap in self.taps]
        if self.normalise:
            read = [F.rms_norm(x, x.shape[-1:], eps=1e-6) for x in read]
        return self.write(self.body(self.read(torch.cat(read, -1)))).float()


def _mlp_body(width: int, layers: int) -> nn.Sequential:
    """``layers`` hidden layers in all: the first reads, the others follow."""
    inner = [part for _ in range(layers - 1) for part in (nn.Linear(width, width), nn.GELU())]
    return nn.Sequential(nn.GELU(), *inner)


class _CausalBody(nn.Module):
    """Pre-norm causal blocks with rotary positions. Rows are padded on the right, so no mask is needed."""

    def __init__(self, width: int, layers: int, heads: int) -> None:
        super().__init__()
        config = Qwen2Config(
            vocab_size=1,  # its inputs are vectors, not tokens
            hidden_size=width,
            intermediate_size=2 * width,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            num_key_value_heads=heads,
        )
        self.decoder = Qwen2Model(config)
        self.decoder.set_input_embeddings(nn.Identity())

    def forward(self, x: Float[Tensor, "b t d"]) -> Float[Tensor, "b t d"]:
        return self.decoder(inputs_embeds=x, use_cache=False).last_hidden_state
