"""One routed model, its states, and pairs of states read on the same passages."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners.lora import Linear as LoraLinear
from torch import Tensor, nn

from fingerprint import FingerprintError
from fingerprint.lm.load import Base
from fingerprint.lm.routes import Routes
from fingerprint.lm.tokens import TokenizedPassage, length_buckets, pad_batch, target_log_probs

ADAPTER = "default"
RouteWeights = dict[str, Tensor]
"""The state of a routed model: B [d_out, r] of every site. All zero is the base."""

BATCH_TOKENS = 4096
"""Padded tokens per forward pass when scoring."""


class RoutedModel:
    """A base wrapped once by peft: every site computes W h + s B (A h), with A the frozen routes.

    A state is the B of every site (``RouteWeights``): zero is the base, B a team, B + D an author.
    The base's own modules stay as they are; only its weights are shared.

    Attributes:
        base, routes, scale: what it was made from.
        model: the peft model, in eval mode; only its B require gradients.
        sites: names of the sites, in layer order.
        modules: the peft linear layer of each site, for hooks.
    """

    def __init__(self, base: Base, routes: Routes, *, scale: float = 1.0) -> None:
        routes.check(base)
        self.base, self.routes, self.scale = base, routes, scale
        self.sites = base.sites
        self.model = _wrap(base, routes, scale)
        self.modules = _site_modules(self.model, base.sites)
        self._set_routes(routes)

    @torch.no_grad()
    def _set_routes(self, routes: Routes) -> None:
        for site, module in self.modules.items():
            down, up = _matrix(module.lora_A), _matrix(module.lora_B)
            down.copy_(routes.A[site])
            up.zero_()
            down.requires_grad_(False)
            up.requires_grad_(True)

    @property
    def device(self) -> torch.device:
        """Where the model lives."""
        return self.base.device

    @property
    def directions(self) -> dict[str, nn.Parameter]:
        """The live A of each site, frozen."""
        return {site: _matrix(module.lora_A) for site, module in self.modules.items()}

    @property
    def parameters(self) -> dict[str, nn.Parameter]:
        """The live B of each site (writing to it changes the model)."""
        return {site: _matrix(module.lora_B) for site, module in self.modules.items()}

    def zero_weights(self) -> RouteWeights:
        """A new all-zero state: the base."""
        return {site: torch.zeros_like(b.detach()) for site, b in self.parameters.items()}

    def weights(self) -> RouteWeights:
        """A copy of the current state."""
        return {site: b.detach().clone() for site, b in self.parameters.items()}

    @torch.no_grad()
    def set_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Write a state into the model.

        Raises:
            FingerprintError: when sites or shapes are not those of this model.
        """
        self._check(weights)
        for site, b in self.parameters.items():
            b.copy_(weights[site])

    @torch.no_grad()
    def set_between(self, start: Mapping[str, Tensor], end: Mapping[str, Tensor], tau: float) -> None:
        """Write start + tau (end - start) into the model."""
        self._check(start)
        self._check(end)
        for site, b in self.parameters.items():
            first = start[site].to(b)
            b.copy_(first + tau * (end[site].to(b) - first))

    @contextmanager
    def at(self, start: Mapping[str, Tensor], end: Mapping[str, Tensor], tau: float) -> Iterator[PeftModel]:
        """The model at start + tau (end - start); the previous state comes back on exit."""
        before = self.weights()
        self.set_between(start, end, tau)
        try:
            yield self.model
        finally:
            self.set_weights(before)

    def _check(self, weights: Mapping[str, Tensor]) -> None:
        for site, b in self.parameters.items():
            seen = tuple(weights[site].shape) if site in weights else None
            if seen != tuple(b.shape):
                raise FingerprintError(
                    f"These route weights do not fit the model: site {site} needs {tuple(b.shape)}, "
                    f"got {seen}. They belong to another base or other routes; train them again."
                )


def add_weights(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> RouteWeights:
    """Sum first + second, site by site (an author's state is team B + D)."""
    return {site: first[site] + second[site] for site in first}


def subtract_weights(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> RouteWeights:
    """Difference first - second, site by site."""
    return {site: first[site] - second[site] for site in first}


@dataclass(frozen=True, eq=False)
class ModelPair:
    """Two states of one routed model, always read on the same passages.

    Attributes:
        routed: the model. start: the reference state. end: the adapted state.
    """

    routed: RoutedModel
    start: RouteWeights
    end: RouteWeights

    @contextmanager
    def at(self, tau: float) -> Iterator[PeftModel]:
        """The model at start + tau (end - start)."""
        with self.routed.at(self.start, self.end, tau) as model:
            yield model

    def log_probs(
        self, tokenized: Sequence[TokenizedPassage], batch_tokens: int = BATCH_TOKENS
    ) -> list[tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]]:
        """(start, end) log-probabilities of each window's scored tokens, in nats, in token order."""
        with self.at(0.0):
            first = scored_log_probs(self.routed, tokenized, batch_tokens)
        with self.at(1.0):
            second = scored_log_probs(self.routed, tokenized, batch_tokens)
        return list(zip(first, second, strict=True))


@torch.inference_mode()
def scored_log_probs(
    routed: RoutedModel, tokenized: Sequence[TokenizedPassage], batch_tokens: int = BATCH_TOKENS
) -> list[Float[np.ndarray, " n"]]:
    """Log-probabilities of each window's scored tokens in the model's current state, fp32."""
    found: list[np.ndarray] = [np.zeros(0, np.float32)] * len(tokenized)
    for indices in length_buckets(tokenized, batch_tokens):
        batch = pad_batch(tokenized, indices)
        values = target_log_probs(routed.model, batch.to(routed.device)).cpu().numpy()
        for row, i in enumerate(indices):
            found[i] = values[row, : len(tokenized[i])][tokenized[i].scored]
    return found


def _matrix(adapters: nn.ModuleDict) -> nn.Parameter:
    """The parameter of our one adapter among peft's."""
    weight = adapters[ADAPTER].weight
    assert isinstance(weight, nn.Parameter)
    return weight


def _wrap(base: Base, routes: Routes, scale: float) -> PeftModel:
    """Wrap a structural copy of the base, which shares every weight with it."""
    shared = {id(t): t for t in (*base.model.parameters(), *base.model.buffers())}
    own = copy.deepcopy(base.model, shared)
    own.name_or_path = routes.base  # else peft renames the base in its config, with a warning
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft 0.21 asks transformers 5 by an old name
        model = get_peft_model(own, lora_config(routes, scale))
    assert isinstance(model, PeftModel)
    return model.eval()


def lora_config(routes: Routes, scale: float) -> LoraConfig:
    """The peft description of a routed model: all sites, no dropout, s = alpha / r."""
    alpha = scale * routes.rank
    return LoraConfig(
        r=routes.rank,
        lora_alpha=int(alpha) if alpha == int(alpha) else alpha,  # pyright: ignore[reportArgumentType]
        target_modules=list(routes.sites),
        lora_dropout=0.0,
        bias="none",
        task_type="CAUSAL_LM",
        base_model_name_or_path=routes.base,
        revision=routes.revision,
    )


def _site_modules(model: PeftModel, sites: Sequence[str]) -> dict[str, LoraLinear]:
    inner = model.get_base_model()
    modules: dict[str, LoraLinear] = {}
    for site in sites:
        module = inner.get_submodule(site)
        assert isinstance(module, LoraLinear), site
        modules[site] = module
    return modules
