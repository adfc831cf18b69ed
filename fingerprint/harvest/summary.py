"""A tally as tables with one row a component: the shape in which it is stored and paged. Torch-free."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int, Int64
from scipy import sparse

from fingerprint.harvest.config import HarvestConfig
from fingerprint.harvest.tally import STRENGTH_UNIT, Examples, Tally

COMPONENT_TABLES = (
    *("firings", "followed", "strength", "at_first"),
    *("input_tokens", "input_counts", "input_pmi", "output_tokens", "output_counts", "output_pmi"),
    *("partners", "partner_counts", "example_tokens", "example_strength"),
)
"""Names of the tables with a row a component."""


def component_tables(tally: Tally) -> dict[str, np.ndarray]:
    """Arrays by name whose first axis is the component; unused places hold -1, or 0 where they count."""
    config = tally.config
    n_out = np.asarray(tally.outputs.sum(axis=1)).ravel()
    inputs = _top_tokens(tally.inputs, tally.firings, tally.tokens, tally.n_counted, config)
    outputs = _top_tokens(tally.outputs, n_out, tally.next_tokens, tally.n_followed, config)
    partners, together = _partners(tally.pairs, tally.firings, config.n_partners)
    tokens, strength = _by_owner(tally.examples, tally.n_components, config.n_examples)
    return {
        "firings": tally.firings,
        "followed": n_out,
        "strength": tally.strength,
        "at_first": tally.at_first,
        **{f"input_{name}": values for name, values in inputs.items()},
        **{f"output_{name}": values for name, values in outputs.items()},
        "partners": partners,
        "partner_counts": together,
        "example_tokens": tokens,
        "example_strength": strength,
    }


def background_tables(tally: Tally) -> dict[str, np.ndarray]:
    """The sampled tokens, and what fires on each: components[offsets[i]:offsets[i + 1]]."""
    drawn = tally.background
    sizes = np.array([len(found) for found in drawn.others], np.int64)
    fired = np.concatenate([np.zeros(0, np.int64), *drawn.others])
    return {
        "background_tokens": drawn.tokens,
        "background_offsets": np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        "background_components": fired,
        "token_counts": tally.tokens,
        "next_token_counts": tally.next_tokens,
    }


def pmi(
    together: Int64[np.ndarray, " k"],
    n_component: int,
    n_token: Int64[np.ndarray, " k"],
    n_all: int,
) -> Float[np.ndarray, " k"]:
    """Pointwise mutual information, nats: ln(n(c, v) n / (n(c) n(v)))."""
    return np.log(together * (n_all / n_component) / n_token)


def _top_tokens(
    counts: sparse.csr_array,
    n_component: Int64[np.ndarray, " c"],
    n_token: Int64[np.ndarray, " v"],
    n_all: int,
    config: HarvestConfig,
) -> dict[str, np.ndarray]:
    """Tokens with the largest share of a component's PMI: n(c, v) PMI(c, v), where PMI is positive.

    PMI alone would name a token that it fires on three times in three; weighed by count, what explains its
    firings comes first.
    """
    shape = (len(n_component), config.n_tokens)
    tokens, kept = np.full(shape, -1, np.int32), np.zeros(shape, np.int64)
    information = np.zeros(shape, np.float32)
    for component in np.flatnonzero(n_component).tolist():
        columns, n = _row(counts, component)
        often = n >= config.least_count
        columns, n = columns[often], n[often]
        told = pmi(n, int(n_component[component]), n_token[columns], n_all)
        order = np.lexsort((columns, -n * told))[: config.n_tokens]
        order = order[told[order] > 0]
        tokens[component, : len(order)] = columns[order]
        kept[component, : len(order)] = n[order]
        information[component, : len(order)] = told[order]
    return {"tokens": tokens, "counts": kept, "pmi": information}


def _partners(
    pairs: sparse.csr_array, firings: Int64[np.ndarray, " c"], n_partners: int
) -> tuple[Int[np.ndarray, "c p"], Int64[np.ndarray, "c p"]]:
    """Components that fire on the same tokens, nearest by Jaccard first, and how often they do."""
    shape = (len(firings), n_partners)
    partners, together = np.full(shape, -1, np.int32), np.zeros(shape, np.int64)
    for component in np.flatnonzero(firings).tolist():
        columns, n = _row(pairs, component)
        is_other = columns != component
        columns, n = columns[is_other], n[is_other]
        jaccard = n / (firings[component] + firings[columns] - n)
        order = np.lexsort((columns, -jaccard))[:n_partners]
        partners[component, : len(order)] = columns[order]
        together[component, : len(order)] = n[order]
    return partners, together


def _row(matrix: sparse.csr_array, row: int) -> tuple[Int[np.ndarray, " k"], Int64[np.ndarray, " k"]]:
    """Columns and values of one row."""
    start, end = matrix.indptr[row], matrix.indptr[row + 1]
    return matrix.indices[start:end], matrix.data[start:end]


def _by_owner(
    examples: Examples, n_components: int, n_each: int
) -> tuple[Int[np.ndarray, "c e w"], Float[np.ndarray, "c e"]]:
    """The sample in fixed places; examples are sorted by owner already."""
    width = examples.tokens.shape[1]
    tokens = np.full((n_components, n_each, width), -1, np.int32)
    strength = np.zeros((n_components, n_each), np.float32)
    place = np.arange(len(examples.owner)) - np.searchsorted(examples.owner, examples.owner)
    tokens[examples.owner, place] = examples.tokens
    strength[examples.owner, place] = examples.strength / STRENGTH_UNIT
    return tokens, strength
