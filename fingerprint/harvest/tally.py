"""Sums over tokens of what fires: the same in any order and any chunks, because everything is an integer.

Counted are scored tokens, each of them once; position 0, an attention sink, has a count of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Int, Int64, UInt64
from scipy import sparse

from fingerprint.harvest.config import HarvestConfig
from fingerprint.harvest.firings import Firings
from fingerprint.harvest.sample import lowest, name_window, priorities, windows_around

STRENGTH_UNIT = 2**20
"""Strengths are summed in millionths, so that sums are exact."""
DENSE = 0.02
"""Share of components firing on a token from which pairs are counted with dense matrices."""


@runtime_checkable
class Window(Protocol):
    """A token window, as ``tokenize_passages`` makes them."""

    @property
    def ids(self) -> Int[np.ndarray, " t"]:
        """Token ids, the base's first token in front."""
        ...

    @property
    def scored(self) -> Bool[np.ndarray, " t"]:
        """Tokens that count."""
        ...


@dataclass(eq=False)
class Examples:
    """A bottom-k sample of firings.

    Attributes:
        owner: component (or 0 for the background). priority: of the firing. tokens: the window around it.
        strength: of the firing, or 0. others: everything that fires on the token, for the background.
    """

    owner: Int64[np.ndarray, " e"]
    priority: UInt64[np.ndarray, " e"]
    tokens: Int[np.ndarray, "e w"]
    strength: Int64[np.ndarray, " e"]
    others: list[np.ndarray]

    @classmethod
    def none(cls, width: int) -> Examples:
        """No example yet."""
        whole = np.zeros(0, np.int64)
        return cls(whole, np.zeros(0, np.uint64), np.zeros((0, width), np.int32), whole, [])

    def with_more(self, more: Examples, n_each: int) -> Examples:
        """The lowest of both."""
        owner = np.concatenate([self.owner, more.owner])
        priority = np.concatenate([self.priority, more.priority])
        kept = lowest(owner, priority, n_each)
        others = [*self.others, *more.others]
        return Examples(
            owner[kept],
            priority[kept],
            np.concatenate([self.tokens, more.tokens])[kept],
            np.concatenate([self.strength, more.strength])[kept],
            [others[i] for i in kept] if others else [],
        )


@dataclass(eq=False)
class Tally:
    """Running sums over text.

    Attributes:
        firings, strength: by component, over counted tokens. at_first: windows at whose position 0 it fires.
        inputs: [component, token] firings on the token. outputs: the same by the next token of the text.
        pairs: [component, component] tokens on which both fire.
        n_counted, n_followed: counted tokens, and those with a next token. n_windows: windows read.
        tokens, next_tokens: how often each token is counted, and is the next one.
    """

    n_components: int
    n_vocabulary: int
    config: HarvestConfig
    n_counted: int = 0
    n_followed: int = 0
    n_windows: int = 0
    firings: Int64[np.ndarray, " c"] = field(init=False)
    strength: Int64[np.ndarray, " c"] = field(init=False)
    at_first: Int64[np.ndarray, " c"] = field(init=False)
    tokens: Int64[np.ndarray, " v"] = field(init=False)
    next_tokens: Int64[np.ndarray, " v"] = field(init=False)
    inputs: sparse.csr_array = field(init=False)
    outputs: sparse.csr_array = field(init=False)
    pairs: sparse.csr_array = field(init=False)
    examples: Examples = field(init=False)
    background: Examples = field(init=False)

    def __post_init__(self) -> None:
        c, v, width = self.n_components, self.n_vocabulary, 2 * self.config.radius + 1
        self.firings, self.strength, self.at_first = (np.zeros(c, np.int64) for _ in range(3))
        self.tokens, self.next_tokens = np.zeros(v, np.int64), np.zeros(v, np.int64)
        self.inputs, self.outputs = (
            sparse.csr_array((c, v), dtype=np.int64),
            sparse.csr_array((c, v), dtype=np.int64),
        )
        self.pairs = sparse.csr_array((c, c), dtype=np.int64)
        self.examples, self.background = Examples.none(width), Examples.none(width)

    def add(self, windows: Sequence[Window], fired: Firings) -> None:
        """Count a batch of windows and what fires on them."""
        places = _Places.of(windows)
        self.n_windows += len(windows)
        self.at_first += np.bincount(fired.component[fired.column == 0], minlength=self.n_components)
        counted = places.number[fired.row, fired.column]
        keep = counted >= 0
        token, component = counted[keep], fired.component[keep]
        strength = np.rint(fired.strength[keep].astype(np.float64) * STRENGTH_UNIT).astype(np.int64)
        self._count(places, token, component, strength)
        self._sample(places, (token, component, strength))

    def _count(
        self, places: _Places, token: Int[np.ndarray, " f"], component: Int[np.ndarray, " f"],
        strength: Int64[np.ndarray, " f"],
    ) -> None:  # fmt: skip
        c, v, n = self.n_components, self.n_vocabulary, len(places.ids)
        has_next = places.following >= 0
        self.n_counted += n
        self.n_followed += int(has_next.sum())
        self.tokens += np.bincount(places.ids, minlength=v)
        self.next_tokens += np.bincount(places.following[has_next], minlength=v)
        self.firings += np.bincount(component, minlength=c)
        np.add.at(self.strength, component, strength)
        ones = np.ones(len(token), np.int64)
        fires = sparse.csr_array((ones, (token, component)), shape=(n, c))
        self.pairs = self.pairs + together(fires, c)
        self.inputs = self.inputs + fires.T @ _one_hot(places.ids, v)
        self.outputs = self.outputs + fires.T @ _one_hot(places.following, v)

    def _sample(
        self, places: _Places,
        fired: tuple[Int[np.ndarray, " f"], Int[np.ndarray, " f"], Int64[np.ndarray, " f"]],
    ) -> None:  # fmt: skip
        token, component, strength = fired
        seed, radius = self.config.seed, self.config.radius
        priority = priorities(seed, places.window_name[token], places.column[token], component)
        kept = lowest(component, priority, self.config.n_examples)

        def shown(tokens: Int[np.ndarray, " e"]) -> Int[np.ndarray, "e w"]:
            return windows_around(places.table, places.row[tokens], places.column[tokens], radius)

        own = Examples(component[kept], priority[kept], shown(token[kept]), strength[kept], [])
        self.examples = self.examples.with_more(own, self.config.n_examples)
        nobody = np.full(len(places.ids), self.n_components, np.int64)
        priority = priorities(seed, places.window_name, places.column, nobody)
        kept = lowest(np.zeros(len(nobody), np.int64), priority, self.config.n_background)
        order = np.argsort(token, kind="stable")
        in_order = token[order]
        first, last = np.searchsorted(in_order, kept, "left"), np.searchsorted(in_order, kept, "right")
        others = [np.sort(component[order[a:b]]) for a, b in zip(first, last, strict=True)]
        zeros = np.zeros(len(kept), np.int64)
        drawn = Examples(zeros, priority[kept], shown(kept), zeros, others)
        self.background = self.background.with_more(drawn, self.config.n_background)


@dataclass(frozen=True, eq=False)
class _Places:
    """The counted tokens of a batch, side by side.

    Attributes:
        row, column: where. ids: the token. following: the next one, -1 at a window's end. window_name: of
            its window. table: the batch's tokens, padded with -1. number: [row, column] position in this
            list, -1 where not counted.
    """

    row: Int[np.ndarray, " n"]
    column: Int[np.ndarray, " n"]
    ids: Int[np.ndarray, " n"]
    following: Int[np.ndarray, " n"]
    window_name: UInt64[np.ndarray, " n"]
    table: Int[np.ndarray, "r u"]
    number: Int[np.ndarray, "r t"]

    @classmethod
    def of(cls, windows: Sequence[Window]) -> _Places:
        """Lay a batch out."""
        n_columns = max(len(window.ids) for window in windows)
        ids = np.full((len(windows), n_columns + 1), -1, np.int64)
        scored = np.zeros((len(windows), n_columns), bool)
        for row, window in enumerate(windows):
            ids[row, : len(window.ids)], scored[row, : len(window.ids)] = window.ids, window.scored
        row, column = scored.nonzero()
        number = np.full(scored.shape, -1, np.int64)
        number[row, column] = np.arange(len(row))
        names = np.array([name_window(window.ids) for window in windows], np.uint64)
        return cls(row, column, ids[row, column], ids[row, column + 1], names[row], ids, number)


def together(fires: sparse.csr_array, n_components: int) -> sparse.csr_array:
    """[component, component] tokens on which both fire, of [token, component].

    A sparse product costs the square of what fires on a token: many times a dense one where much does.
    """
    n_cells = (len(fires.indptr) - 1) * n_components
    if fires.nnz <= DENSE * n_cells:
        return (fires.T @ fires).tocsr()
    dense = fires.toarray().astype(np.float32)  # exact: a batch has fewer than 2^24 tokens
    return sparse.csr_array((dense.T @ dense).astype(np.int64))


def _one_hot(ids: Int[np.ndarray, " n"], n_vocabulary: int) -> sparse.csr_array:
    """[n, vocabulary], an empty row where the id is -1."""
    rows = np.flatnonzero(ids >= 0)
    ones = np.ones(len(rows), np.int64)
    return sparse.csr_array((ones, (rows, ids[rows])), shape=(len(ids), n_vocabulary))
