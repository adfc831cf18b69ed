"""The causal check: a stage's change switched on, or off, in one layer at a time, and a read-out taken."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager

import torch
from torch import Tensor, nn

from fingerprint.lm.pair import RoutedModel
from fingerprint.lm.sites import is_in_block, layer_of
from fingerprint.weights.report import LayerSwap, StageSwap

OUTSIDE = -1
"""The "layer" of what stands in no block: embeddings and the final norm."""
Layers = frozenset[int]
Switch = Callable[[Layers], AbstractContextManager[object]]
"""Within, the model has a stage's change in the given layers and in no others."""


def swap_layers(
    name: str, layers: Layers, switch: Switch, read: Callable[[], float],
    progress: Callable[[int, int], None] = lambda _done, _of: None,
) -> StageSwap:  # fmt: skip
    """Every layer's change alone, and everything but it.

    Args:
        read: the read-out in the model's present state.

    A layer that only carries a direction on changes the read-out when it is taken out, not when it is alone.
    """
    wanted = [Layers(), layers]
    for layer in sorted(layers):
        wanted += [Layers({layer}), layers - {layer}]
    values: dict[Layers, float] = {}
    for done, on in enumerate(dict.fromkeys(wanted), 1):
        with switch(on):
            values[on] = read()
        progress(done, len(set(wanted)))
    start, end = values[Layers()], values[layers]
    rows = tuple(
        LayerSwap(layer=n, only=values[Layers({n})] - start, without=end - values[layers - {n}])
        for n in sorted(layers)
    )
    return StageSwap(stage=name, start=start, end=end, layers=rows)


def layers_of_routed(routed: RoutedModel) -> Layers:
    """The layers that have sites."""
    return Layers(layer_of(site) for site in routed.sites)


def switch_states(routed: RoutedModel, start: Mapping[str, Tensor], end: Mapping[str, Tensor]) -> Switch:
    """Layers of a routed model at ``end``, the others at ``start``."""

    def switch(on: Layers) -> AbstractContextManager[object]:
        mixed = {site: (end if layer_of(site) in on else start)[site] for site in routed.sites}
        return routed.at(mixed, mixed, 0.0)

    return switch


def layers_of_model(model: nn.Module) -> Layers:
    """The layers of a model's parameters, what stands outside the blocks as one of them."""
    return Layers(_layer(name) for name, _ in model.named_parameters())


def switch_models(model: nn.Module, before: nn.Module, after: nn.Module) -> Switch:
    """Layers of ``model`` with the parameters of ``after``, the others with those of ``before``.

    Args:
        model: a third one of the same architecture: it is written to, and restored.
    """
    first, last = dict(before.named_parameters()), dict(after.named_parameters())

    @contextmanager
    def switch(on: Layers) -> Iterator[None]:
        kept = {name: p.detach().clone() for name, p in model.named_parameters()}
        _write(model, {name: (last if _layer(name) in on else first)[name] for name in kept})
        try:
            yield
        finally:
            _write(model, kept)

    return switch


@torch.no_grad()
def _write(model: nn.Module, values: Mapping[str, Tensor]) -> None:
    for name, parameter in model.named_parameters():
        parameter.copy_(values[name])


def _layer(name: str) -> int:
    return layer_of(name) if is_in_block(name) else OUTSIDE
