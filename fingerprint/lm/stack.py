"""One frozen base, many states at once: the rows of each slot pass through a state of their own.

Slot n's tokens see W h + s B_n (A h) at every site: one product with the shared W and A for all slots, then
each slot's own B. The rows of all slots lie end to end on one axis, so that neither unequal blocks nor
unequal slots cost padding; attention alone looks at rows.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AttentionInterface, PreTrainedModel

from fingerprint import FingerprintError
from fingerprint.lm.pair import RoutedModel
from fingerprint.lm.tokens import Batch, causal_model, full_batch, target_log_probs

_ATTENTION = "rows_of_slots"
_CAUSAL = frozenset({"scaling", "dropout", "is_causal", "layout", "position_ids", "use_cache"})
"""What a decoder may tell its attention function without asking for more than causal attention."""
_CACHED_SCORES = 1 << 20
"""Attention scores computed at once on a CPU: 8 rows of 512 tokens at once were slower than one by one."""


class NotStackableError(FingerprintError):
    """A base whose attention cannot be taken row by row: train its adapters one at a time."""


@dataclass(frozen=True, eq=False)
class SlotLayout:
    """Where the rows of each slot lie on the token axis.

    Attributes:
        shapes: (rows, columns) of every slot's block, in order. sizes: tokens of every slot, with what pads
            it. masks: additive causal masks by length.
    """

    shapes: tuple[tuple[int, int], ...]
    sizes: tuple[int, ...]
    masks: dict[int, Tensor] = field(default_factory=dict)

    @property
    def is_level(self) -> bool:
        """Whether all slots are of one size."""
        return len(set(self.sizes)) == 1

    @property
    def is_even(self) -> bool:
        """Whether all slots have the same block and nothing is padded."""
        rows, columns = self.shapes[0]
        return len(set(self.shapes)) == 1 and self.is_level and self.sizes[0] == rows * columns

    def mask(self, columns: int, like: Float[Tensor, ...]) -> Float[Tensor, "t t"]:
        """-inf above the diagonal, made once a batch."""
        if columns not in self.masks:
            whole = torch.full((columns, columns), float("-inf"), dtype=like.dtype, device=like.device)
            self.masks[columns] = whole.triu(1)
        return self.masks[columns]


@dataclass(frozen=True, eq=False)
class SlotBatch:
    """A block of rows per slot, all rows end to end.

    Attributes:
        batch: one row of all tokens. positions: of each token in its own row. layout: where the rows lie.
        n_scored: scored targets of each slot.
    """

    batch: Batch
    positions: Int[Tensor, "1 m"]
    layout: SlotLayout
    n_scored: Int[Tensor, " n"]

    def to(self, device: torch.device | str) -> SlotBatch:
        """The same batch on a device."""
        there = self.batch.to(device)
        return SlotBatch(there, self.positions.to(device), self.layout, self.n_scored.to(device))


def stack_blocks(blocks: Sequence[Batch], *, level: bool = False) -> SlotBatch:
    """Lay the rows of the blocks end to end.

    Args:
        level: pad every slot to the longest, so that one batched product serves them all: on a GPU a launch
            for every slot costs more than padding, on a CPU less.
    """
    shapes = tuple((block.ids.shape[0], block.ids.shape[1]) for block in blocks)
    sizes = tuple(rows * columns for rows, columns in shapes)
    if level:
        sizes = (max(sizes),) * len(sizes)

    def end_to_end(parts: Sequence[Tensor]) -> Tensor:
        flat = [F.pad(x.reshape(-1), (0, size - x.numel())) for x, size in zip(parts, sizes, strict=True)]
        return torch.cat(flat).unsqueeze(0)

    ids, mask, scored = (end_to_end([getattr(b, name) for b in blocks]) for name in ("ids", "mask", "scored"))
    positions = end_to_end([torch.arange(columns).expand(rows, columns) for rows, columns in shapes])
    n_scored = torch.stack([block.scored.sum() for block in blocks])
    return SlotBatch(Batch(ids, mask, scored), positions, SlotLayout(shapes, sizes), n_scored)


class StackedModel:
    """The base of a routed model, run with one B per slot.

    Attributes:
        routed: the model whose base, routes and scale are used; its own state is not.
        model: a structural copy of the base that shares its weights.
        dtype: of the matrix products; bf16 needs a bf16 copy of the frozen matrices, made once.
    """

    def __init__(self, routed: RoutedModel, dtype: torch.dtype = torch.float32, longest: int = 512) -> None:
        """Wrap the base, and try it on a row.

        Args:
            longest: tokens of the longest row to come.

        Raises:
            NotStackableError: its attention is more than causal, or sees less than the longest row.
        """
        base = routed.base
        self.routed, self.dtype = routed, dtype
        shared = {id(t): t for t in (*base.model.parameters(), *base.model.buffers())}
        self.model: PreTrainedModel = copy.deepcopy(base.model, shared)
        self._layers: dict[str, _StackedLinear] = {}
        for site, down in routed.directions.items():
            place, _, name = site.rpartition(".")
            layer = _StackedLinear(self.model.get_submodule(site), down, routed.scale, dtype)
            setattr(self.model.get_submodule(place), name, layer)
            self._layers[site] = layer
        _take_rows(self.model, base.name)
        self._try(longest)

    def losses(self, up: Mapping[str, Tensor], batch: SlotBatch) -> Float[Tensor, " n"]:
        """Mean negative log-probability of each slot's scored tokens, nats.

        The gradient of their sum with respect to a slot's B is that of the slot's own loss.

        Args:
            up: B of every site, [n, d_out, r].
        """
        parts = self.log_probs(up, batch).squeeze(0).split(batch.layout.sizes)
        return -torch.stack([part.sum() for part in parts]) / batch.n_scored.clamp(min=1)

    def log_probs(self, up: Mapping[str, Tensor], batch: SlotBatch) -> Float[Tensor, "1 m"]:
        """Log-probabilities of the scored tokens in nats, 0 elsewhere, fp32, in the order of the batch."""
        for site, layer in self._layers.items():
            layer.up, layer.layout = up[site].to(self.dtype), batch.layout
        device = self.routed.device.type
        autocast = torch.autocast(device, torch.bfloat16, enabled=self.dtype == torch.bfloat16)
        with autocast, _laid_out(self.model, batch):
            return target_log_probs(self.model, batch.batch)

    @torch.inference_mode()
    def _try(self, longest: int) -> None:
        row = full_batch(torch.zeros(1, longest, dtype=torch.long))
        zero = {site: b[None] for site, b in self.routed.zero_weights().items()}
        self.log_probs(zero, stack_blocks([row]).to(self.routed.device))


class _StackedLinear(nn.Module):
    """A site. ``up`` and ``layout`` are set before each pass."""

    up: Tensor
    layout: SlotLayout

    def __init__(
        self, linear: nn.Module, down: Float[Tensor, "r d_in"], scale: float, dtype: torch.dtype
    ) -> None:
        super().__init__()
        assert isinstance(linear, nn.Linear)
        self.weight, self.down = linear.weight.detach().to(dtype), down.detach().to(dtype)
        self.bias = None if linear.bias is None else linear.bias.detach().to(dtype)
        self.scale = scale

    def forward(self, x: Float[Tensor, "1 m d_in"]) -> Float[Tensor, "1 m d_out"]:
        out = _SlotProducts.apply(x.squeeze(0).to(self.weight.dtype), self.up, self)
        assert isinstance(out, Tensor)
        return out.unsqueeze(0)


class _SlotProducts(torch.autograd.Function):
    """W x + b + s B_n A x of a site for the tokens x [m, d_in] of every slot n, with W, b and A frozen.

    Own backward pass: what autograd keeps and adds up for a slice per slot costs more than the products.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Float[Tensor, "m d_in"], up: Float[Tensor, "n d_out r"], site: _StackedLinear
    ) -> Float[Tensor, "m d_out"]:
        y, z = F.linear(x, site.weight, site.bias), F.linear(x, site.down)
        for into, inner, b in _by_slot(site.layout, (y, z), (up,)):
            into.baddbmm_(inner, b.transpose(1, 2), alpha=site.scale)
        ctx.save_for_backward(z, up)
        ctx.site, ctx.layout = site, site.layout
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        z, up = ctx.saved_tensors
        dy = gradients[0].contiguous()
        dz, d_up = torch.empty_like(z), torch.empty_like(up)
        for outer, inner, d_inner, b, d_b in _by_slot(ctx.layout, (dy, z, dz), (up, d_up)):
            torch.bmm(outer, b, out=d_inner)
            torch.bmm(outer.transpose(1, 2), inner, out=d_b)
        dz *= ctx.site.scale
        d_up *= ctx.site.scale
        dx = (dy @ ctx.site.weight).addmm_(dz, ctx.site.down) if ctx.needs_input_grad[0] else None
        return dx, d_up, None


def _by_slot(
    layout: SlotLayout, rows: Sequence[Float[Tensor, "m _"]], states: Sequence[Float[Tensor, "n _ r"]]
) -> Iterator[tuple[Tensor, ...]]:
    """Views of tokens [k, m / k, d] and states [k, d, r]: all n slots at once if level, else one by one."""
    n = len(layout.shapes)
    if layout.is_level:
        yield (*(x.view(n, len(x) // n, x.shape[1]) for x in rows), *states)
        return
    split = [x.split(layout.sizes) for x in rows]
    for slot, parts in enumerate(zip(*split, strict=True)):
        yield (*(part[None] for part in parts), *(state[slot : slot + 1] for state in states))


@contextmanager
def _laid_out(model: PreTrainedModel, batch: SlotBatch) -> Iterator[None]:
    """Within, the decoder is told where the rows of its input begin."""

    def tell(_module: nn.Module, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        return args, {**kwargs, "position_ids": batch.positions, "layout": batch.layout}

    handle = causal_model(model).base_model.register_forward_pre_hook(tell, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


def _take_rows(model: PreTrainedModel, name: str) -> None:
    """Make every attention of a model look at rows."""
    AttentionInterface.register(_ATTENTION, _attend)
    if not model._can_set_attn_implementation():  # noqa: SLF001 - transformers would only log a warning
        raise NotStackableError(f"The base model {name!r} does not let its attention be replaced.")
    model.set_attn_implementation(_ATTENTION)


def _attend(
    _module: nn.Module,
    query: Float[Tensor, "1 h m d"],
    key: Float[Tensor, "1 k m d"],
    value: Float[Tensor, "1 k m d"],
    attention_mask: Shaped[Tensor, ...] | None,
    **options: Any,
) -> tuple[Float[Tensor, "1 m h d"], None]:
    """Causal attention within each row: an attention function of transformers."""
    layout: SlotLayout = options["layout"]
    window = options.pop("sliding_window", None)
    asked = {name for name, wanted in options.items() if name not in _CAUSAL and wanted is not None}
    too_long = window is not None and window < max(columns for _, columns in layout.shapes)
    if asked or too_long or attention_mask is not None:
        raise NotStackableError(
            f"This base's attention needs {', '.join(sorted(asked)) or 'a mask of its own'}: "
            "rows side by side have plain causal attention."
        )
    scaling = options.get("scaling") or query.shape[-1] ** -0.5
    shapes = _pieces(layout, query)
    split = [x.split([rows * columns for rows, columns in shapes], 2) for x in (query, key, value)]
    found = [
        _attend_rows(_rows(q, *shape), _rows(k, *shape), _rows(v, *shape), scaling, layout)
        for shape, q, k, v in zip(shapes, *split, strict=True)
    ]
    return torch.cat(found, 1) if len(found) > 1 else found[0], None


def _pieces(layout: SlotLayout, query: Float[Tensor, "1 h m d"]) -> list[tuple[int, int]]:
    """(rows, columns) to attend to at once: even slots together, padding as rows of one token.

    On a CPU no more than its cache holds.
    """
    if layout.is_even:
        (rows, columns), n = layout.shapes[0], len(layout.shapes)
        blocks = [(n * rows, columns)]
    else:
        padding = [
            size - rows * columns for size, (rows, columns) in zip(layout.sizes, layout.shapes, strict=True)
        ]
        pairs = zip(layout.shapes, padding, strict=True)
        blocks = [piece for shape, n_pad in pairs for piece in (shape, (n_pad, 1)) if piece[0]]
    if query.device.type != "cpu":
        return blocks
    found: list[tuple[int, int]] = []
    for rows, columns in blocks:
        most = max(1, _CACHED_SCORES // (query.shape[1] * columns**2))
        found += [(min(most, rows - start), columns) for start in range(0, rows, most)]
    return found


def _rows(x: Float[Tensor, "1 h m d"], rows: int, columns: int) -> Float[Tensor, "b h t d"]:
    """Rows on the batch axis."""
    return x.squeeze(0).unflatten(1, (rows, columns)).transpose(0, 1)


def _attend_rows(
    query: Float[Tensor, "b h t d"],
    key: Float[Tensor, "b k t d"],
    value: Float[Tensor, "b k t d"],
    scaling: float,
    layout: SlotLayout,
) -> Float[Tensor, "1 m h d"]:
    """Causal attention with grouped heads, rows end to end again.

    In bf16 on a CPU plain products, whose backward pass is several times faster than that of torch's
    fused kernel at the length of a hunk; elsewhere the fused kernel.
    """
    groups = query.shape[1] // key.shape[1]
    if query.device.type != "cpu" or not torch.is_autocast_enabled("cpu"):
        out = F.scaled_dot_product_attention(
            query, key, value, is_causal=True, scale=scaling, enable_gqa=groups > 1
        )
    else:
        key, value = (x.repeat_interleave(groups, 1) if groups > 1 else x for x in (key, value))
        scores = query @ key.transpose(2, 3) * scaling
        weights = torch.softmax(scores + layout.mask(query.shape[2], scores), -1, dtype=torch.float32)
        out = weights.to(value.dtype) @ value
    return out.transpose(1, 2).flatten(0, 1).unsqueeze(0)
