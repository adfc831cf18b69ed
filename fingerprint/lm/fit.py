"""Fit routes: one LoRA whose A is shared by many corpora and whose B is each corpus' own."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from fingerprint import FingerprintError
from fingerprint.lm.load import Base
from fingerprint.lm.pair import ADAPTER, RoutedModel
from fingerprint.lm.routes import Routes, canonicalise, random_routes
from fingerprint.lm.tokens import (
    Batch,
    hidden_states,
    length_buckets,
    mean_loss,
    pad_batch,
    tokenize_passages,
)
from fingerprint.passage import Passage

CorpusBatches = Iterable[tuple[int, Batch]]
"""(index of the corpus, batch from it), endless or at least as long as the steps asked for."""


@dataclass(frozen=True)
class FitConfig:
    """Dials of the joint fit.

    Attributes:
        rank: routes per site. steps: optimiser steps over all corpora.
        learning_rate: of A (peft's B / A ratio of 1 kept). warmup_steps: linear, then cosine to a tenth.
        moment_batches: batches whose site inputs give the second moments. scale, seed: as usual.
    """

    rank: int = 16
    steps: int = 400
    learning_rate: float = 3e-3
    warmup_steps: int = 20
    moment_batches: int = 40
    scale: float = 1.0
    seed: int = 0


@dataclass(frozen=True)
class FitProgress:
    """Where the fit stands: steps done, steps in all, the step's loss (nats per token), seconds left."""

    step: int
    steps: int
    loss: float
    seconds_left: float


def fit_routes(
    base: Base,
    batches: CorpusBatches,
    config: FitConfig | None = None,
    *,
    autocast: bool = False,
    progress: Callable[[FitProgress], None] | None = None,
) -> Routes:
    """Fit A jointly over many corpora, then bring it to canonical form.

    Args:
        batches: the first ``steps`` train A and each corpus' own B; the ``moment_batches`` after them
            give the second moments of the site inputs, read at the base.
        autocast: run the model in bf16.

    Returns:
        Canonical routes: E[z z^T] = I at the base, ordered by energy over the corpora.

    Raises:
        FingerprintError: when ``batches`` ends too early.
    """
    config = config or FitConfig()
    stream = iter(batches)
    routed = RoutedModel(base, random_routes(base, config.rank, config.seed), scale=config.scale)
    fitted, weights = _fit_jointly(routed, stream, config, autocast, progress)
    routed.set_weights(routed.zero_weights())
    sample = (batch for _, batch in islice(stream, config.moment_batches))
    moments = site_second_moments(routed, sample, autocast)
    return canonicalise(fitted, moments, weights)


def _fit_jointly(
    routed: RoutedModel,
    stream: Iterator[tuple[int, Batch]],
    config: FitConfig,
    autocast: bool,
    progress: Callable[[FitProgress], None] | None,
) -> tuple[Routes, list[dict[str, Tensor]]]:
    """Train A and one B per corpus met; the routed model is left with the last B in place."""
    downs = {site: a.requires_grad_(True) for site, a in routed.directions.items()}
    ups: dict[int, dict[str, nn.Parameter]] = {}
    optimiser = torch.optim.AdamW(list(downs.values()), lr=config.learning_rate, weight_decay=0.0, fused=True)
    started = time.monotonic()
    for step in range(config.steps):
        corpus, batch = _next_batch(stream, step, config.steps)
        if corpus not in ups:
            ups[corpus] = {site: nn.Parameter(b) for site, b in routed.zero_weights().items()}
            optimiser.add_param_group({"params": list(ups[corpus].values())})
        _use(routed, ups[corpus])
        for group in optimiser.param_groups:
            group["lr"] = config.learning_rate * schedule(step, config.steps, config.warmup_steps)
        with torch.autocast(routed.device.type, torch.bfloat16, enabled=autocast):
            loss = mean_loss(routed.model, batch.to(routed.device))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        if progress is not None:
            left = (time.monotonic() - started) / (step + 1) * (config.steps - step - 1)
            progress(FitProgress(step + 1, config.steps, float(loss.detach()), left))
    a = {site: down.detach().cpu().clone() for site, down in downs.items()}
    b = [{site: up.detach().cpu().clone() for site, up in of.items()} for of in ups.values()]
    return Routes(a, routed.base.name, routed.base.revision), b


def _next_batch(stream: Iterator[tuple[int, Batch]], step: int, steps: int) -> tuple[int, Batch]:
    found = next(stream, None)
    if found is None:
        raise FingerprintError(f"The batches for the routes ended after {step} of {steps} steps: give more.")
    return found


def _use(routed: RoutedModel, weights: dict[str, nn.Parameter]) -> None:
    """Put a corpus' own B into the model, as the live parameters."""
    for site, module in routed.modules.items():
        module.lora_B[ADAPTER].weight = weights[site]


def schedule(step: int, steps: int, warmup_steps: int) -> float:
    """Factor on the learning rate: linear warm-up, then cosine to a tenth."""
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    done = (step - warmup_steps) / max(1, steps - warmup_steps)
    return 0.1 + 0.45 * (1 + math.cos(math.pi * min(1.0, done)))


def kept_steps(n_steps: int, n_kept: int) -> tuple[int, ...]:
    """Log-spaced steps at which a training keeps its state: 0, the last, and between them by equal ratios.

    Args:
        n_steps: optimiser steps of the run. n_kept: states wanted, at least 2; fewer where steps coincide.
    """
    if n_kept < 2:
        raise FingerprintError(f"A training keeps at least its first and last state, got {n_kept}: ask for 2")
    inner = np.geomspace(n_steps, 1, n_kept - 1).round().astype(int) if n_steps else ()
    return tuple(sorted({0, n_steps, *map(int, inner)}))


@torch.inference_mode()
def site_second_moments(
    routed: RoutedModel, batches: Iterable[Batch], autocast: bool = False
) -> dict[str, Float[Tensor, "i i"]]:
    """E[h h^T] of every site's input over the real tokens but the first, in the current state, fp32.

    The first token is left out: its inputs are constant and large, and would own a direction.
    """
    reader = _MomentReader()
    handles = [
        module.register_forward_pre_hook(partial(reader.hook, site))
        for site, module in routed.modules.items()
    ]
    try:
        for batch in batches:
            here = batch.to(routed.device)
            reader.start(here)
            with torch.autocast(routed.device.type, torch.bfloat16, enabled=autocast):
                hidden_states(routed.model, here)
    finally:
        for handle in handles:
            handle.remove()
    if not reader.n_tokens:
        raise FingerprintError("No batch was left for the second moments of the routes: give more batches.")
    return {site: (total / reader.n_tokens).clone() for site, total in reader.sums.items()}


class _MomentReader:
    """Sums h h^T by site; sites that share an input tensor (q, k, v) share the product."""

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.n_tokens = 0
        self._rows: Tensor = torch.zeros(0)
        self._last: tuple[Any, Tensor] = (None, torch.zeros(0))

    def start(self, batch: Batch) -> None:
        """Begin a batch: which tokens count."""
        rows = batch.mask.clone()
        rows[:, 0] = False
        self._rows, self._last = rows, (None, self._last[1])
        self.n_tokens += int(rows.sum())

    def hook(self, site: str, _module: nn.Module, args: tuple[Any, ...]) -> None:
        """Read the input of a site's module: a forward pre-hook."""
        self.read(site, args[0])

    def read(self, site: str, inputs: Float[Tensor, "b t i"]) -> None:
        """Add one site's inputs."""
        if self._last[0] is not inputs:
            h = inputs[self._rows].float()
            self._last = (inputs, h.T @ h)
        product = self._last[1]
        self.sums[site] = self.sums[site] + product if site in self.sums else product


def passage_batches(
    base: Base,
    corpora: Sequence[Sequence[Passage]],
    *,
    batch_tokens: int = 2048,
    max_tokens: int = 512,
    seed: int = 0,
) -> Iterator[tuple[int, Batch]]:
    """An endless stream of batches of passages, corpora taking turns, each shuffled by epoch."""
    windows = [tokenize_passages(base, passages, max_tokens) for passages in corpora]
    usable = [index for index, found in enumerate(windows) if found]
    if not usable:
        raise FingerprintError("No corpus has a marked token to fit routes on.")
    rngs = [np.random.default_rng([seed, index]) for index in range(len(corpora))]
    queues: list[list[list[int]]] = [[] for _ in corpora]
    while True:
        for index in usable:
            if not queues[index]:
                queues[index] = length_buckets(windows[index], batch_tokens, rngs[index])
            yield index, pad_batch(windows[index], queues[index].pop())
