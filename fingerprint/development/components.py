"""What a susceptibility is read of: heads, MLPs, LoRA sites and latents, each as one number per token.

An observable is the mean over the tokens of given windows (position 0, an attention sink, left out) of what a
component adds at that token: the length of a head's, an MLP's or an adapter's share of the residual stream,
or a latent's activation. All are read in the one forward pass that gives the windows' losses.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from peft.tuners.lora import Linear as LoraLinear
from torch import Tensor, nn

from fingerprint import FingerprintError
from fingerprint.lm.load import Base
from fingerprint.lm.pair import ADAPTER, BATCH_TOKENS
from fingerprint.lm.tokens import (
    TokenizedPassage,
    causal_model,
    length_buckets,
    pad_batch,
    target_log_probs,
)
from fingerprint.sae.artifact import Sae
from fingerprint.sae.residual import block_name, counted_tokens

ATTENTION_OUT = frozenset({"o_proj", "out_proj", "dense"})
MLP_OUT = frozenset({"down_proj", "fc2", "dense_4h_to_h"})
"""Last parts of the names of the matrices that write an attention's or an MLP's output."""
_LAYER = re.compile(r"\.(\d+)\.")

Reading = Callable[[nn.Module, Float[Tensor, "b t i"], Float[Tensor, "b t o"]], Float[Tensor, "b t n"]]
"""From a module, its first input and its output, one number per token and component."""


@dataclass(frozen=True, eq=False)
class Probe:
    """Components read at one module.

    Attributes:
        names: of the components. module: its name in the model. read: what is read there.
    """

    names: tuple[str, ...]
    module: str
    read: Reading


def head_probes(base: Base) -> list[Probe]:
    """Every head: the length of its share of the attention's output, the adapter's part included.

    Named ``head.<layer>.<number>``.
    """
    n_heads = int(base.model.config.num_attention_heads)
    return [
        Probe(tuple(f"head.{_layer(site)}.{h}" for h in range(n_heads)), site, _HeadLengths(n_heads))
        for site in base.sites
        if site.rpartition(".")[2] in ATTENTION_OUT
    ]


def mlp_probes(base: Base) -> list[Probe]:
    """Every MLP: the length of its output. Named ``mlp.<layer>``."""
    return [
        Probe((f"mlp.{_layer(site)}",), site.rpartition(".")[0], _output_length)
        for site in base.sites
        if site.rpartition(".")[2] in MLP_OUT
    ]


def site_probes(base: Base) -> list[Probe]:
    """Every LoRA site: the length of s B A h. Named ``site.<layer>.<matrix>``."""
    return [
        Probe((f"site.{_layer(site)}.{site.rpartition('.')[2]}",), site, _adapter_length)
        for site in base.sites
    ]


def latent_probe(base: Base, sae: Sae, latents: Sequence[int]) -> Probe:
    """Chosen latents of a dictionary: their activation. Named ``latent.<number>``."""
    wanted = torch.tensor(list(latents), device=base.device)

    def activations(_module: nn.Module, _input: Tensor, output: Tensor) -> Tensor:
        rows = output.flatten(0, 1)
        code = sae.autoencoder.encode(rows)
        dense = torch.zeros(len(rows), sae.autoencoder.n_latents, device=rows.device)
        return dense.scatter(1, code.latents, code.values)[:, wanted].unflatten(0, output.shape[:2])

    return Probe(tuple(f"latent.{n}" for n in latents), block_name(base, sae.layer), activations)


def _layer(site: str) -> int:
    found = _LAYER.search(site)
    if found is None:
        raise FingerprintError(
            f"The site {site!r} stands in no numbered layer: its components have no names."
        )
    return int(found[1])


@dataclass(frozen=True)
class _HeadLengths:
    n_heads: int

    def __call__(
        self, module: nn.Module, x: Float[Tensor, "b t i"], _output: Float[Tensor, "b t o"]
    ) -> Float[Tensor, "b t n"]:
        weight = _live_weight(module)
        by_head = weight.unflatten(1, (self.n_heads, -1))
        grams = torch.einsum("ohi,ohj->hij", by_head, by_head)  # |W x|^2 without W x for every head
        parts = x.unflatten(-1, (self.n_heads, -1))
        return torch.einsum("bthi,hij,bthj->bth", parts, grams, parts).clamp(min=0).sqrt()


def _live_weight(module: nn.Module) -> Float[Tensor, "o i"]:
    """W, or W + s B A."""
    if not isinstance(module, LoraLinear):
        assert isinstance(module, nn.Linear)
        return module.weight
    A, B, s = _adapter(module)
    base = module.base_layer.weight
    assert isinstance(base, Tensor)
    return base + s * B @ A


def _adapter(module: LoraLinear) -> tuple[Float[Tensor, "r i"], Float[Tensor, "o r"], float]:
    A, B = module.lora_A[ADAPTER].weight, module.lora_B[ADAPTER].weight
    assert isinstance(A, Tensor) and isinstance(B, Tensor)
    return A, B, module.scaling[ADAPTER]


def _adapter_length(
    module: nn.Module, x: Float[Tensor, "b t i"], _output: Float[Tensor, "b t o"]
) -> Float[Tensor, "b t 1"]:
    if not isinstance(module, LoraLinear):
        raise FingerprintError(
            "A LoRA site is read of an adapted model only: wrap the base, or leave sites out."
        )
    A, B, s = _adapter(module)
    z = x @ A.T
    return s * torch.einsum("bti,ij,btj->bt", z, B.T @ B, z).clamp(min=0).sqrt()[..., None]


def _output_length(
    _module: nn.Module, _input: Float[Tensor, "b t i"], output: Float[Tensor, "b t o"]
) -> Float[Tensor, "b t 1"]:
    return output.norm(dim=-1, keepdim=True)


@torch.no_grad()
def read_components(
    model: nn.Module,
    windows: Sequence[TokenizedPassage],
    probes: Sequence[Probe],
    batch_tokens: int = BATCH_TOKENS,
) -> tuple[Float[Tensor, " k"], list[Float[Tensor, " n"]]]:
    """Mean observable of every component, and the losses of each window's scored tokens, in nats.

    Components stand in the order of the probes' names.
    """
    device = next(model.parameters()).device
    totals = [torch.zeros(len(probe.names), dtype=torch.float64) for probe in probes]
    losses: list[Tensor] = [torch.zeros(0)] * len(windows)
    n_tokens = 0
    for indices in length_buckets(windows, batch_tokens):
        batch = pad_batch(windows, indices).to(device)
        counted = counted_tokens(batch)
        with _reading(model, probes, counted, totals):
            values = -target_log_probs(model, batch)
        n_tokens += int(counted.sum())
        for row, i in enumerate(indices):
            losses[i] = values[row][batch.scored[row]]
    return torch.cat(totals) / max(1, n_tokens), losses


@contextmanager
def _reading(
    model: nn.Module, probes: Sequence[Probe], counted: Bool[Tensor, "b t"], totals: list[Tensor]
) -> Iterator[None]:
    inner = causal_model(model)
    handles = []
    for probe, total in zip(probes, totals, strict=True):

        def hook(
            module: nn.Module, inputs: Any, output: Any, probe: Probe = probe, total: Tensor = total
        ) -> None:
            first = inputs[0] if inputs else counted
            out = output[0] if isinstance(output, tuple) else output
            total += probe.read(module, first, out)[counted].double().sum(0).cpu()

        handles.append(inner.get_submodule(probe.module).register_forward_hook(hook))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
