"""What a model makes of labelled texts: one row of activations, latents and loss for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from fingerprint import FingerprintError
from fingerprint.lm.load import Base
from fingerprint.lm.pair import BATCH_TOKENS, RoutedModel
from fingerprint.lm.tokens import (
    Batch,
    TokenizedPassage,
    length_buckets,
    pad_batch,
    target_log_probs,
    tokenize_passages,
)
from fingerprint.passage import Passage
from fingerprint.sae.autoencoder import TopKAutoencoder
from fingerprint.sae.residual import block_name, count_blocks, read_residual, residuals_kept

Pool = Literal["mean", "first", "last"]
"""Which scored tokens a unit's row is taken from: all of them, or the first or last one alone."""
WINDOW = 512


@dataclass(frozen=True, slots=True)
class Unit:
    """One labelled text.

    Attributes:
        passage: its scored tokens are what is read. is_positive: the label. group: what must not be split
            between training and test: the task of a pair, the commit or file of a hunk.
    """

    passage: Passage
    is_positive: bool
    group: str


@dataclass(frozen=True, eq=False)
class UnitReadings:
    """Rows of n units in one state of a model.

    Attributes:
        activations: residual stream after every block. latents: activations of a dictionary's latents, by the
            block it reads, pooled alike. nll: mean negative log-probability of the scored tokens, nats.
        n_scored: scored tokens. labels, groups: the units' own.
    """

    activations: Float[np.ndarray, "n l d"]
    latents: dict[int, Float[np.ndarray, "n m"]]
    nll: Float[np.ndarray, " n"]
    n_scored: Float[np.ndarray, " n"]
    labels: Bool[np.ndarray, " n"]
    groups: tuple[str, ...]

    def take(self, rows: Sequence[int] | np.ndarray) -> UnitReadings:
        """The chosen units."""
        at = np.asarray(rows, dtype=int)
        return UnitReadings(
            self.activations[at], {layer: values[at] for layer, values in self.latents.items()},
            self.nll[at], self.n_scored[at], self.labels[at], tuple(self.groups[i] for i in at),
        )  # fmt: skip


@torch.inference_mode()
def read_units(
    model: Base | RoutedModel,
    units: Sequence[Unit],
    *,
    dictionaries: Mapping[int, TopKAutoencoder] | None = None,
    pool: Pool = "mean",
    batch_tokens: int = BATCH_TOKENS,
) -> UnitReadings:
    """One forward pass over the units, in the model's present state.

    Args:
        dictionaries: autoencoders by the block they read.
        pool: of a text cut into windows, "first" reads the first window's first and "last" the last's last.

    Raises:
        FingerprintError: a unit has no scored token, or all units have one label.
    """
    base = model.base if isinstance(model, RoutedModel) else model
    blocks = [block_name(base, layer) for layer in range(count_blocks(base))]
    windows = tokenize_passages(base, [unit.passage for unit in units], WINDOW)
    _check(units, windows)
    sums = _Sums.empty(len(units), len(blocks), int(base.model.config.hidden_size), dictionaries or {})
    with residuals_kept(model.model, blocks) as kept:
        for indices in length_buckets(windows, batch_tokens):
            batch = pad_batch(windows, indices).to(base.device)
            log_probs = target_log_probs(model.model, batch).cpu().double().numpy()
            stream = torch.stack([kept[block] for block in blocks], dim=2).float()
            for row, i in enumerate(indices):
                sums.add(windows[i], stream[row], log_probs[row], _rows(batch, row, windows, i, pool))
    return sums.readings(units)


@torch.inference_mode()
def read_block(
    model: Base | RoutedModel, units: Sequence[Unit], layer: int, *, batch_tokens: int = BATCH_TOKENS
) -> Float[np.ndarray, "n d"]:
    """The units' mean activations behind one block; the blocks behind it are not run."""
    base = model.base if isinstance(model, RoutedModel) else model
    block = block_name(base, layer)
    windows = tokenize_passages(base, [unit.passage for unit in units], WINDOW)
    _check(units, windows)
    sums = np.zeros((len(units), int(base.model.config.hidden_size)))
    n_scored = np.zeros(len(units))
    for indices in length_buckets(windows, batch_tokens):
        batch = pad_batch(windows, indices).to(base.device)
        stream = read_residual(model.model, block, batch).float()
        for row, i in enumerate(indices):
            chosen = stream[row][batch.scored[row]]
            sums[windows[i].passage_index] += chosen.sum(0).double().cpu().numpy()
            n_scored[windows[i].passage_index] += len(chosen)
    return sums / n_scored[:, None]


def _rows(batch: Batch, row: int, windows: Sequence[TokenizedPassage], i: int, pool: Pool) -> list[int]:
    """Positions of one window that its unit's row is taken from."""
    scored = batch.scored[row].nonzero()[:, 0].tolist()
    if pool == "mean":
        return scored
    neighbour = i - 1 if pool == "first" else i + 1
    is_inner = 0 <= neighbour < len(windows) and (
        windows[neighbour].passage_index == windows[i].passage_index
    )
    return [] if is_inner else [scored[0 if pool == "first" else -1]]


@dataclass(eq=False)
class _Sums:
    """Running sums by unit.

    Attributes:
        counts: tokens in ``activations`` and ``latents``, which pooling chooses.
    """

    activations: Float[np.ndarray, "n l d"]
    latents: dict[int, Float[np.ndarray, "n m"]]
    dictionaries: Mapping[int, TopKAutoencoder]
    counts: Float[np.ndarray, " n"]
    log_probs: Float[np.ndarray, " n"]
    n_scored: Float[np.ndarray, " n"]

    @classmethod
    def empty(
        cls, n_units: int, n_layers: int, width: int, dictionaries: Mapping[int, TopKAutoencoder]
    ) -> _Sums:
        latents = {layer: np.zeros((n_units, d.n_latents)) for layer, d in dictionaries.items()}
        zeros = (np.zeros(n_units) for _ in range(3))
        return cls(np.zeros((n_units, n_layers, width)), latents, dictionaries, *zeros)

    def add(
        self, window: TokenizedPassage, stream: Float[Tensor, "t l d"], log_probs: Float[np.ndarray, " t"],
        rows: Sequence[int],
    ) -> None:  # fmt: skip
        """One window of a unit."""
        unit = window.passage_index
        self.log_probs[unit] += log_probs[: len(window)][window.scored].sum()
        self.n_scored[unit] += window.n_scored
        chosen = stream[list(rows)]
        self.counts[unit] += len(chosen)
        self.activations[unit] += chosen.sum(0).double().cpu().numpy()
        for layer, dictionary in self.dictionaries.items():
            code = dictionary.encode(chosen[:, layer])
            places = code.latents.cpu().numpy().ravel()
            np.add.at(self.latents[layer][unit], places, code.values.double().cpu().numpy().ravel())

    def readings(self, units: Sequence[Unit]) -> UnitReadings:
        """Means."""
        latents = {layer: values / self.counts[:, None] for layer, values in self.latents.items()}
        return UnitReadings(
            self.activations / self.counts[:, None, None], latents, -self.log_probs / self.n_scored,
            self.n_scored, np.array([unit.is_positive for unit in units], dtype=bool),
            tuple(unit.group for unit in units),
        )  # fmt: skip


def _check(units: Sequence[Unit], windows: Sequence[TokenizedPassage]) -> None:
    without = set(range(len(units))) - {window.passage_index for window in windows}
    if without:
        raise FingerprintError(
            f"{len(without)} of {len(units)} units mark no text, the first in "
            f"{units[min(without)].passage.path!r}: leave them out."
        )
    if len({unit.is_positive for unit in units}) < 2:
        raise FingerprintError(
            f"Expected units of both labels, got {len(units)} of one: nothing can be told apart."
        )
