"""The adapter switched on and off site by site, scaled, and divided over layers: no decomposition needed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise, permutations

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from fingerprint.attribution.ablation import Effect
from fingerprint.attribution.config import AttributionConfig
from fingerprint.attribution.nodes import NodeSpace
from fingerprint.attribution.question import Question
from fingerprint.attribution.report import AdapterEffect, DoseResponse, LayerShare, SiteToggle
from fingerprint.lm.sites import layer_of
from fingerprint.vpd.losses import kl_divergence


def measure_adapter(space: NodeSpace, question: Question, config: AttributionConfig) -> AdapterEffect:
    """Everything about one adapter and one question.

    Args:
        space: routes of the adapter (``NodeSpace.of_routes``).
    """
    site_of = space.components.owner.cpu().numpy()
    sites = list(space.components.sites)

    def effect(off: Bool[np.ndarray, "k s"]) -> Float[np.ndarray, " k"]:
        masks = torch.from_numpy(~off[:, site_of]).to(space.components.U[0])
        return space.outcomes(question, masks, config.rows)[0].double().cpu().numpy()

    layers, is_exact = share_layers(effect, [layer_of(site) for site in sites], config)
    return AdapterEffect(
        toggles=toggle_sites(effect, sites), dose=scale_adapter(space, question, config), layers=layers,
        is_exact=is_exact,
    )  # fmt: skip


def toggle_sites(effect: Effect, sites: Sequence[str]) -> tuple[SiteToggle, ...]:
    """Each site off with all others on, and on with all others off."""
    n = len(sites)
    one = np.eye(n, dtype=bool)
    values = effect(np.concatenate([np.zeros((1, n), bool), np.ones((1, n), bool), one, ~one]))
    without, alone = values[2 : 2 + n], values[2 + n :]
    return tuple(
        SiteToggle(site=site, off=float(values[0] - without[i]), only=float(alone[i] - values[1]))
        for i, site in enumerate(sites)
    )


def scale_adapter(space: NodeSpace, question: Question, config: AttributionConfig) -> DoseResponse:
    """F at shares of the adapter's scale; masks beyond 1 are scales beyond its own."""
    scales = torch.tensor((0.0, *config.scales), device=space.components.U[0].device)
    with torch.no_grad(), space.at_state():
        masks = scales[:, None].expand(-1, space.n_nodes)
        logits = torch.cat([space.logits(question, part) for part in masks.split(config.rows)])
    values, base = question.value(logits)[1:].tolist(), logits[:1].expand_as(logits)
    within = [v for s, v in zip(config.scales, values, strict=True) if s <= 1]
    steps = np.diff(within)
    return DoseResponse(
        scales=config.scales,
        values=tuple(values),
        probabilities=tuple(logits.softmax(-1)[1:, question.target].tolist()),
        kl=tuple(kl_divergence(logits, base)[1:].clamp(min=0).tolist()),
        is_monotone=bool((steps >= 0).all() or (steps <= 0).all()),
    )


def share_layers(
    effect: Effect, layers: Sequence[int], config: AttributionConfig
) -> tuple[tuple[LayerShare, ...], bool]:
    """Shapley values of the layers: mean gain in f by a layer's sites over orders in which layers come on.

    Returns:
        The shares, which add up to f(adapted) - f(base), and whether all orders were taken.
    """
    names, of = np.array(layers), sorted(set(layers))
    is_exact = math.factorial(len(of)) <= max(config.n_permutations, 120)
    rng = np.random.default_rng(config.seed)
    orders = (
        list(permutations(range(len(of))))
        if is_exact
        else [tuple(rng.permutation(len(of)).tolist()) for _ in range(config.n_permutations)]
    )
    coalitions = sorted({frozenset(order[:k]) for order in orders for k in range(len(of) + 1)}, key=sorted)
    off = np.stack([~np.isin(names, [of[i] for i in coalition]) for coalition in coalitions])
    value = dict(zip(coalitions, effect(off).tolist(), strict=True))
    gains = np.zeros(len(of))
    for order in orders:
        for before, after in pairwise(range(len(of) + 1)):
            gains[order[before]] += value[frozenset(order[:after])] - value[frozenset(order[:before])]
    shares = gains / len(orders)
    return tuple(LayerShare(layer=n, value=float(v)) for n, v in zip(of, shares, strict=True)), is_exact


def divergence(base: Float[Tensor, "1 v"], adapted: Float[Tensor, "1 v"]) -> float:
    """KL(adapted || base) of the next token, nats."""
    return max(0.0, float(kl_divergence(adapted, base)[0]))
