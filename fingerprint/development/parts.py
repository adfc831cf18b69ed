"""Parts of a model that may move alone: sites, blocks, attention heads, modules of an adapter."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import torch
from jaxtyping import Bool, Float
from peft import PeftModel
from torch import Tensor, nn

from fingerprint import FingerprintError
from fingerprint.development.checkpoints import trained_parameters
from fingerprint.development.losses import module_of
from fingerprint.lm.load import Base
from fingerprint.lm.pair import RoutedModel
from fingerprint.lm.tokens import causal_model

Split = Literal["whole", "block", "site", "head"]
_BLOCK = re.compile(r"(?:^|\.)(?:layers|h)\.(\d+)\.")
_ROWS = ("q_proj", "k_proj", "v_proj")
_COLUMNS = ("o_proj", "out_proj")


@dataclass(frozen=True, eq=False)
class Part:
    """What moves.

    Attributes:
        name: for people. parameters: names among ``trained_parameters``. masks: the entries that move, of
            parameters of which not all do.
    """

    name: str
    parameters: tuple[str, ...]
    masks: Mapping[str, Tensor] = field(default_factory=dict)


def parts_of(model: Base | RoutedModel | PeftModel | nn.Module, split: Split) -> list[Part]:
    """The parts of a model's trained parameters.

    ``site``: one weight matrix with its bias, the B of one site, or a LoRA module's A and B. ``block``: a
    transformer layer, and one part for what is in none. ``head``: an attention head's rows of q (and of
    k and v where every head has its own) and its columns of the output matrix; of a routed model rows of B.

    Raises:
        FingerprintError: the model has no attention heads of a known layout.
    """
    names = list(trained_parameters(model))
    if split == "whole":
        return [Part("whole", tuple(names))]
    if split == "head":
        return _heads(model)
    return _grouped(names, _block_of if split == "block" else _site_of)


def _grouped(names: list[str], key: Callable[[str], str]) -> list[Part]:
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(key(name), []).append(name)
    return [Part(group, tuple(members)) for group, members in groups.items()]


def _block_of(name: str) -> str:
    match = _BLOCK.search(name)
    return f"block {match[1]}" if match else "outside the blocks"


def _site_of(name: str) -> str:
    bare = name.removeprefix("base_model.model.").partition(".lora_")[0]
    for end in (".weight", ".bias"):
        bare = bare.removesuffix(end)
    return bare.removeprefix("model.")


def _heads(model: Base | RoutedModel | PeftModel | nn.Module) -> list[Part]:
    config = causal_model(module_of(model)).config
    n_heads = int(config.num_attention_heads)
    size = int(getattr(config, "head_dim", None) or config.hidden_size // n_heads)
    has_own_kv = getattr(config, "num_key_value_heads", n_heads) == n_heads
    masks: dict[tuple[int, int], dict[str, Tensor]] = {}
    for name, w in trained_parameters(model).items():
        block = _BLOCK.search(name)
        if block is None or "lora_A" in name:
            continue
        for head in range(n_heads):
            mask = _head_mask(name, w, head, (n_heads, size), has_own_kv)
            if mask is not None:
                masks.setdefault((int(block[1]), head), {})[name] = mask
    if not masks:
        raise FingerprintError("No attention heads of a known layout (q_proj or query_key_value) are trained")
    return [Part(f"head {layer}.{head}", tuple(own), own) for (layer, head), own in sorted(masks.items())]


def _head_mask(
    name: str, w: Float[Tensor, "*shape"], head: int, shape: tuple[int, int], has_own_kv: bool
) -> Bool[Tensor, "*shape"] | None:
    """The entries of one parameter that belong to a head; None when it has no part in it."""
    site, (n_heads, size) = _site_of(name).rpartition(".")[2], shape
    mask = torch.zeros_like(w, dtype=torch.bool)
    own = slice(head * size, (head + 1) * size)
    is_output = site in _COLUMNS or (site == "dense" and "attention" in name)
    if site == "q_proj" or (site in _ROWS and has_own_kv):
        mask[own] = True
    elif site == "query_key_value":  # GPT-NeoX: q, k and v of a head lie together
        mask[3 * own.start : 3 * own.stop] = True
    elif is_output and w.shape[1:] == (n_heads * size,):  # a LoRA's B has no columns of heads
        mask[:, own] = True
    else:
        return None
    return mask
