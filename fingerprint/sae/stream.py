"""An endless stream of residual activations gathered from text, the same from any batch on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from fingerprint import FingerprintError
from fingerprint.adapters.plan import Text
from fingerprint.lm.load import Base
from fingerprint.lm.pair import BATCH_TOKENS
from fingerprint.lm.tokens import TokenizedPassage, length_buckets, pad_batch, tokenize_passages
from fingerprint.passage import Passage
from fingerprint.provenance import digest_of
from fingerprint.sae.config import SaeConfig
from fingerprint.sae.residual import block_name, counted_tokens, read_residual


@runtime_checkable
class ActivationSource(Protocol):
    """What an autoencoder is trained on."""

    @property
    def width(self) -> int:
        """Numbers in an activation."""
        ...

    @property
    def device(self) -> torch.device:
        """Where activations come from and training takes place."""
        ...

    @property
    def key(self) -> str:
        """Digest of everything that determines the stream: a checkpoint of another must not be used."""
        ...

    def batches(self, first: int) -> Iterator[Float[Tensor, "n d"]]:
        """Endless batches of one size, from batch number ``first`` on: the same however it is reached."""
        ...


def as_windows(base: Base, text: Text, window_tokens: int) -> list[TokenizedPassage]:
    """Token windows of passages; windows pass through."""
    passages = [item for item in text if isinstance(item, Passage)]
    if passages:
        return tokenize_passages(base, passages, window_tokens)
    return [item for item in text if isinstance(item, TokenizedPassage)]


def digest_windows(windows: Sequence[TokenizedPassage]) -> str:
    """SHA-256 over the tokens of windows, in order."""
    text = hashlib.sha256()
    for window in windows:
        text.update(len(window).to_bytes(4, "little") + window.ids.tobytes())
    return text.hexdigest()


class PassageActivations:
    """Activations of every real token but the first of each window, shuffled within chunks of text.

    A chunk is the next windows in the epoch's order that hold ``shuffle_tokens``; what does not fill its
    last batch is left out. Lengths alone decide where chunks begin, so that a stream is taken up again in
    the middle without running the model on what came before.
    """

    def __init__(self, base: Base, text: Text, config: SaeConfig) -> None:
        """Tokenize and look at lengths; the model is not run yet.

        Raises:
            FingerprintError: the base has no such block, or the text does not fill a batch.
        """
        self._base, self._config = base, config
        self._block = block_name(base, config.layer)
        self._windows = as_windows(base, text, config.window_tokens)
        self.n_tokens = _count_read(self._windows)
        if self.n_tokens < config.batch_tokens:
            raise FingerprintError(
                f"The text has {self.n_tokens:,} tokens to train an autoencoder on, and one step reads "
                f"{config.batch_tokens:,}: give more text, or set batch_tokens lower."
            )

    @property
    def width(self) -> int:
        """Width of the residual stream."""
        return int(self._base.model.config.hidden_size)

    @property
    def device(self) -> torch.device:
        """Where the base lives."""
        return self._base.device

    @property
    def key(self) -> str:
        """Digest of base, block, tokens and the dials that cut the stream."""
        dials = (self._config.batch_tokens, self._config.shuffle_tokens, self._config.seed)
        return digest_of([self._base.revision, self._block, digest_windows(self._windows), dials])

    def batches(self, first: int) -> Iterator[Float[Tensor, "n d"]]:
        """Batches from number ``first`` on, fp32 on the base's device."""
        size = self._config.batch_tokens
        for number, chunk in enumerate(self._chunks()):
            n_batches = _count_read([self._windows[i] for i in chunk]) // size
            if first >= n_batches:
                first -= n_batches
                continue
            rows = self._gather(chunk, number)
            for start in range(first, n_batches):
                yield rows[start * size : (start + 1) * size]
            first = 0

    def _chunks(self) -> Iterator[Sequence[int]]:
        """Positions of windows, chunk after chunk, epoch after epoch."""
        epoch = 0
        while True:
            order = np.random.default_rng([self._config.seed, epoch]).permutation(len(self._windows))
            n_before = np.cumsum([0, *(len(self._windows[i]) - 1 for i in order)])
            cuts = np.searchsorted(n_before, np.arange(0, n_before[-1], self._config.shuffle_tokens))
            for start, end in zip(cuts, [*cuts[1:], len(order)], strict=True):
                yield [int(i) for i in order[start:end]]
            epoch += 1

    @torch.no_grad()
    def _gather(self, chunk: Sequence[int], number: int) -> Float[Tensor, "n d"]:
        """One chunk's activations in random order. Not in inference mode: they enter a training step."""
        windows = [self._windows[i] for i in chunk]
        found: list[Tensor] = []
        for indices in length_buckets(windows, BATCH_TOKENS):
            batch = pad_batch(windows, indices).to(self.device)
            x = read_residual(self._base.model, self._block, batch)
            found.append(x[counted_tokens(batch)].float())
        rows = torch.cat(found)
        order = np.random.default_rng([self._config.seed, 1, number]).permutation(len(rows))
        return rows[torch.from_numpy(order).to(self.device)]


def _count_read(windows: Sequence[TokenizedPassage]) -> int:
    """Tokens behind position 0."""
    return sum(len(window) - 1 for window in windows)
