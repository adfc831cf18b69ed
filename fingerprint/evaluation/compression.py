"""B4: how well an author's own text helps to compress another, by deflate with a preset dictionary.

The relative-entropy attribution of Benedetto, Caglioti and Loreto (2002) with zlib. Deflate sees back 32 KB,
so an author's newest text is cut into several dictionaries of that size, and the best of them counts.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from fingerprint.evaluation.baselines import author_columns, present_authors

WINDOW = 1 << 15
"""Bytes that deflate looks back."""


@dataclass(frozen=True, eq=False)
class AuthorDictionaries:
    """B4: the preset dictionaries of each author with training text.

    Attributes:
        windows: dictionaries for each of ``present``, the columns of those authors; newest text first.
    """

    windows: tuple[tuple[bytes, ...], ...]
    present: Int[np.ndarray, " p"]
    n_classes: int

    def score(self, texts: Sequence[str]) -> Float[np.ndarray, "n k"]:
        """Minus the least compressed bytes per byte [n, n_classes], not centred."""
        data = [_encode(text) for text in texts]
        values = np.empty((len(data), len(self.windows)))
        for column, own in enumerate(self.windows):
            values[:, column] = -np.min([_compressed_sizes(data, window) for window in own], axis=0)
        n_bytes = np.maximum([len(one) for one in data], 1)
        return author_columns(values / n_bytes[:, None], self.present, self.n_classes)


def fit_author_dictionaries(
    texts: Sequence[str], labels: Int[np.ndarray, " n"], n_classes: int, *, n_windows: int = 8
) -> AuthorDictionaries:
    """Fit B4 on each author's last texts.

    Args:
        texts: oldest first. n_windows: dictionaries of 32 KB an author at most.

    Raises:
        FingerprintError: fewer than two authors.
    """
    present = present_authors(labels)
    own: dict[int, list[str]] = {int(author): [] for author in present}
    for text, author in zip(texts, labels, strict=True):
        own[int(author)].append(text)
    windows = tuple(_cut(_encode("\n".join(parts)), n_windows) for parts in own.values())
    return AuthorDictionaries(windows, present, n_classes)


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _cut(text: bytes, n_windows: int) -> tuple[bytes, ...]:
    """Windows from the end backwards; the last may be shorter, and of no text it is empty."""
    ends = range(max(len(text), 1), 0, -WINDOW)[:n_windows]
    return tuple(text[max(end - WINDOW, 0) : end] for end in ends)


def _compressed_sizes(data: Sequence[bytes], window: bytes) -> list[int]:
    """Bytes of each text after raw deflate (no header) with this dictionary."""
    fresh = zlib.compressobj(zlib.Z_BEST_COMPRESSION, zlib.DEFLATED, -zlib.MAX_WBITS, zdict=window)
    sizes = []
    for one in data:
        compressor = fresh.copy()  # reading the dictionary costs more than a hunk
        sizes.append(len(compressor.compress(one)) + len(compressor.flush()))
    return sizes
