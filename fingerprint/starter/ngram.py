"""An interpolated Kneser-Ney n-gram model over token ids, vectorised: the peer the base must beat.

Kneser and Ney (1995) in the interpolated form of Chen and Goodman (1999) with one discount an order,
D = n1 / (n1 + 2 n2). The highest order uses counts, lower orders the number of distinct left contexts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fingerprint import FingerprintError


@dataclass(frozen=True)
class _Order:
    """One order's tables: sorted keys and their counts, and per context the total and the number of types."""

    keys: np.ndarray
    counts: np.ndarray
    contexts: np.ndarray
    totals: np.ndarray
    n_types: np.ndarray
    discount: float


class KneserNey:
    """An n-gram model fitted on one array of token ids.

    Args:
        tokens: ids [n], each below ``2 ** bits``.
        order: length of the longest n-gram.
        bits: bits of one id; ``order * bits`` must not exceed 63.
    """

    def __init__(self, tokens: np.ndarray, order: int = 5, bits: int = 11) -> None:
        if order * bits > 63:
            raise FingerprintError(
                f"order {order} with {bits}-bit ids needs {order * bits} bits, at most 63 fit"
            )
        self.order, self.bits = order, bits
        keys, counts = np.unique(_grams(tokens, order, bits), return_counts=True)
        orders = [self._tables(keys, counts)]
        for length in range(order - 1, 0, -1):
            mask = np.uint64((1 << (length * bits)) - 1)
            keys, counts = np.unique(keys & mask, return_counts=True)  # distinct left extensions
            orders.append(self._tables(keys, counts))
        self._orders = orders[::-1]

    def _tables(self, keys: np.ndarray, counts: np.ndarray) -> _Order:
        contexts, first = np.unique(keys >> np.uint64(self.bits), return_index=True)
        n1, n2 = (counts == 1).sum(), (counts == 2).sum()
        return _Order(
            keys,
            counts.astype(np.float64),
            contexts,
            np.add.reduceat(counts, first).astype(np.float64),
            np.diff(np.append(first, len(keys))).astype(np.float64),
            float(n1 / max(n1 + 2 * n2, 1)) or 0.5,
        )

    def log2_probs(self, tokens: np.ndarray) -> np.ndarray:
        """Return log2 p(token | up to order-1 before it) [n]; the first tokens see what there is."""
        probs = np.full(len(tokens), 1.0 / (1 << self.bits))
        for length, table in enumerate(self._orders, start=1):
            grams = _grams(tokens, length, self.bits)
            count = _look_up(table.keys, table.counts, grams)
            context = grams >> np.uint64(self.bits)
            total = _look_up(table.contexts, table.totals, context)
            types = _look_up(table.contexts, table.n_types, context)
            seen, lower = total > 0, probs[length - 1 :]
            safe = np.where(seen, total, 1.0)
            mixed = np.maximum(count - table.discount, 0) / safe + table.discount * types / safe * lower
            probs[length - 1 :] = np.where(seen, mixed, lower)
        return np.log2(probs)


def _grams(tokens: np.ndarray, length: int, bits: int) -> np.ndarray:
    """Pack every window of ``length`` ids into one integer, oldest id in the highest bits."""
    n = len(tokens) - length + 1
    packed = np.zeros(max(n, 0), dtype=np.uint64)
    for offset in range(length):
        packed = (packed << np.uint64(bits)) | tokens[offset : offset + n].astype(np.uint64)
    return packed


def _look_up(keys: np.ndarray, values: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[place] == wanted, values[place], 0.0)
