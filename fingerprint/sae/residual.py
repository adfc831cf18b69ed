"""The residual stream after one block: read it, or let the model run on with another in its place."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from jaxtyping import Bool, Float
from torch import Tensor, nn

from fingerprint import FingerprintError
from fingerprint.lm.load import Base
from fingerprint.lm.tokens import Batch, causal_model, hidden_states

Change = Callable[[Float[Tensor, "b t d"]], Float[Tensor, "b t d"]]
_BLOCK = re.compile(r"(.+?)\.\d+\.")


class _BlockReachedError(Exception):
    """Ends a forward pass once the block has been read; never leaves this file."""


def block_name(base: Base, layer: int) -> str:
    """Name of the module whose output is the residual stream after block ``layer``, counted from 0.

    That output is transformers' ``hidden_states[layer + 1]``, but for the last block: its entry there has
    already passed the final norm.

    Raises:
        FingerprintError: the base has no such block.
    """
    found, n_blocks = _BLOCK.match(base.sites[0]), count_blocks(base)
    if found is None or not 0 <= layer < n_blocks:
        raise FingerprintError(
            f"The base {base.name!r} has {n_blocks} blocks, counted from 0, and no block {layer}: "
            "choose another layer."
        )
    return f"{found[1]}.{layer}"


def count_blocks(base: Base) -> int:
    """How many blocks the base has."""
    found = _BLOCK.match(base.sites[0])
    blocks = base.model.get_submodule(found[1]) if found else None
    return len(blocks) if isinstance(blocks, nn.ModuleList) else 0


def read_residual(model: nn.Module, block: str, batch: Batch) -> Float[Tensor, "b t d"]:
    """Residual stream after a block, in the model's dtype; the blocks behind it are not run."""

    def stop(_module: nn.Module, _inputs: Any, _output: Any) -> None:
        raise _BlockReachedError

    with residuals_kept(model, [block]) as kept:
        handle = causal_model(model).get_submodule(block).register_forward_hook(stop)
        try:
            with contextlib.suppress(_BlockReachedError):
                hidden_states(model, batch)
        finally:
            handle.remove()
        return kept[block]


@contextmanager
def residuals_kept(model: nn.Module, blocks: Sequence[str]) -> Iterator[dict[str, Float[Tensor, "b t d"]]]:
    """Within, the residual stream after every named block of the latest forward pass, by block."""
    kept: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[..., None]:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            kept[name] = output[0] if isinstance(output, tuple) else output

        return hook

    inner = causal_model(model)
    handles = [inner.get_submodule(name).register_forward_hook(keep(name)) for name in blocks]
    try:
        yield kept
    finally:
        for handle in handles:
            handle.remove()


def counted_tokens(batch: Batch) -> Bool[Tensor, "b t"]:
    """Every real token but the first, where an attention sink stands far larger than anything else."""
    counted = batch.mask.clone()
    counted[:, 0] = False
    return counted


@contextmanager
def residual_changed(model: nn.Module, block: str, change: Change) -> Iterator[None]:
    """Within, the model runs on with ``change`` of the residual stream after the block."""

    def swap(_module: nn.Module, _inputs: Any, output: Any) -> Any:
        return (change(output[0]), *output[1:]) if isinstance(output, tuple) else change(output)

    handle = causal_model(model).get_submodule(block).register_forward_hook(swap)
    try:
        yield
    finally:
        handle.remove()
