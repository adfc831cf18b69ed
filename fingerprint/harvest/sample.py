"""Uniform samples of firings that do not depend on the order or the chunks in which text is read.

Every token has a name made from its text and place. A hash of it, the component and the seed is the firing's
priority, and the lowest are kept: a bottom-k sample (Broder 1997), uniform over firings of distinct windows.
"""

from __future__ import annotations

import hashlib

import numpy as np
from jaxtyping import Int, Int32, UInt64

_MIX = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
_STEP = 0x9E3779B97F4A7C15


def name_window(ids: Int[np.ndarray, " t"]) -> int:
    """64 bits of a window's own text."""
    digest = hashlib.blake2b(ids.astype("<i4").tobytes(), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def priorities(
    seed: int,
    window: UInt64[np.ndarray, " f"],
    column: Int[np.ndarray, " f"],
    component: Int[np.ndarray, " f"],
) -> UInt64[np.ndarray, " f"]:
    """Pseudo-random priorities, the same for the same firing (splitmix64, Steele et al. 2014)."""
    with np.errstate(over="ignore"):
        state = window + np.uint64((seed + 1) * _STEP % 2**64)
        state = _mixed(state + column.astype(np.uint64))
        return _mixed(state + component.astype(np.uint64) * np.uint64(_STEP))


def _mixed(state: UInt64[np.ndarray, " f"]) -> UInt64[np.ndarray, " f"]:
    state = (state ^ (state >> np.uint64(30))) * np.uint64(_MIX[0])
    state = (state ^ (state >> np.uint64(27))) * np.uint64(_MIX[1])
    return state ^ (state >> np.uint64(31))


def lowest(
    owner: Int[np.ndarray, " f"], priority: UInt64[np.ndarray, " f"], n_each: int
) -> Int[np.ndarray, " kept"]:
    """Positions of each owner's ``n_each`` lowest distinct priorities, by owner and priority."""
    order = np.lexsort((priority, owner))
    sorted_owner, sorted_priority = owner[order], priority[order]
    is_new = np.ones(len(order), bool)
    is_new[1:] = (sorted_owner[1:] != sorted_owner[:-1]) | (sorted_priority[1:] != sorted_priority[:-1])
    order, sorted_owner = order[is_new], sorted_owner[is_new]
    first = np.searchsorted(sorted_owner, sorted_owner)
    return order[np.arange(len(order)) - first < n_each]


def windows_around(
    ids: Int[np.ndarray, "r t"], row: Int[np.ndarray, " e"], column: Int[np.ndarray, " e"], radius: int
) -> Int32[np.ndarray, "e w"]:
    """Tokens around places in rows padded with -1; -1 beyond the text, to which column 0 does not belong."""
    wide = np.full((ids.shape[0], ids.shape[1] + 2 * radius), -1, np.int32)
    wide[:, radius + 1 : radius + ids.shape[1]] = ids[:, 1:]
    return wide[row[:, None], column[:, None] + np.arange(2 * radius + 1)]
