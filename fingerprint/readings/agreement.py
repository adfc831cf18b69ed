"""Do two reads of an author point at the same places? Rank correlation, and a permutation null. Torch-free.

Every adapter moves large matrices and rare tokens more, so two reads of anybody's adapter agree. Compared is
therefore what each read shows of the author *beyond* null adapters (``Part.beyond``), and the same for every
null beyond the others stands beside it.

Over matrices the correlation is Spearman's. Over tokens it is Pearson's: a habit stands at a few of thousands
of tokens, which ranks would not see. Permuted are the places of one read, in ways that keep what makes places
alike: matrices within their kind (all ``down_proj`` among themselves), tokens by turning the sequence round,
which keeps neighbours together.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from math import factorial, prod

import numpy as np
from jaxtyping import Float, Int
from scipy.stats import rankdata

from fingerprint.evaluation.significance import benjamini_hochberg
from fingerprint.readings.part import COMMON_AXES, Axis, Part
from fingerprint.readings.report import SAME_WEIGHTS, Agreement, Verdict

N_DRAWS = 1_999
LEAST_PLACES = 8
"""Fewer common places are not compared."""
LEAST_ORDERS = 40
"""Fewer permutations cannot give a p-value of .05 on both sides."""
FALSE_DISCOVERIES = 0.05
_STILL = 1e-9
"""Share of their size below which values do not vary."""
N_SHARED = 8
"""Places named of a pair, at most."""


def agreements(parts: Sequence[Part], seed: int = 0) -> tuple[Agreement, ...]:
    """Every pair of reads on every common axis, with q-values over all of them."""
    compared = [
        found
        for axis in COMMON_AXES
        for first, second in combinations([part for part in parts if part.axis == axis], 2)
        if (found := agree(first, second, seed)) is not None
    ]
    tested = {i: one.p_value for i, one in enumerate(compared) if one.p_value is not None}
    q_values = benjamini_hochberg(tested, FALSE_DISCOVERIES) if tested else {}
    return tuple(
        one if i not in q_values else one.model_copy(
            update={"q_value": q_values[i].adjusted, "verdict": _verdict(one, q_values[i].is_found)}
        )
        for i, one in enumerate(compared)
    )  # fmt: skip


def agree(first: Part, second: Part, seed: int = 0) -> Agreement | None:
    """Two reads on their common places; None with fewer than eight of these.

    The p-value is two-sided: the share of permutations whose correlation is at least as far from the
    permutations' mean, the observed one counted. None where either read has no null, or orders are too few.
    """
    assert first.axis == second.axis, "an axis is what two reads have in common"
    known = set(second.places)
    places = [place for place in first.places if place in known]
    if len(places) < LEAST_PLACES:
        return None
    a, b = first.at(places), second.at(places)
    orders = _orders(a, N_DRAWS, seed)
    told = {
        "first": a.read, "second": b.read, "axis": a.axis, "n_places": len(places),
        "correlation": _correlation(a.own, b.own, a.axis),
        "is_same_source": frozenset((a.read, b.read)) in SAME_WEIGHTS,
    }  # fmt: skip
    if orders is None or not len(a.null) or not len(b.null):
        return Agreement(**told)
    x, y = a.beyond(), b.beyond()
    own, permuted = _correlation(x, y, a.axis), _permuted(x, y, orders, a.axis)
    away = np.abs(permuted - permuted.mean()) >= abs(own - permuted.mean()) - 1e-12
    nulls = _null_correlations(a, b)
    return Agreement(
        **told, beyond=own, expected=float(permuted.mean()),
        p_value=float((1 + away.sum()) / (1 + len(permuted))),
        null_low=min(nulls, default=None), null_high=max(nulls, default=None), n_nulls=len(nulls),
        shared=_shared(places, x, y),
    )  # fmt: skip


def _verdict(one: Agreement, is_found: bool) -> Verdict:
    if not is_found or one.beyond is None or one.expected is None:
        return "not shown"
    return "agree" if one.beyond > one.expected else "disagree"


def _orders(part: Part, n_draws: int, seed: int) -> Int[np.ndarray, "k p"] | None:
    """Permutations of the places; None where there are too few."""
    n, rng = len(part.places), np.random.default_rng(seed)
    if part.axis == "tokens":
        shifts = rng.permutation(np.arange(1, n))[:n_draws]
        return None if len(shifts) < LEAST_ORDERS else (np.arange(n)[None] + shifts[:, None]) % n
    kinds = np.unique([place.rpartition(".")[2] for place in part.places], return_inverse=True)[1]
    groups = [np.flatnonzero(kinds == kind) for kind in range(kinds.max() + 1)]
    if prod(factorial(min(len(group), 10)) for group in groups) < LEAST_ORDERS:
        return None
    found = np.tile(np.arange(n), (n_draws, 1))
    for row in found:
        for group in groups:
            row[group] = rng.permutation(group)
    return found


def _permuted(
    x: Float[np.ndarray, " p"], y: Float[np.ndarray, " p"], orders: Int[np.ndarray, "k p"], axis: Axis
) -> Float[np.ndarray, " k"]:
    """The correlation of x with y in every order."""
    return _standard(y, axis)[orders] @ _standard(x, axis)


def _correlation(x: Float[np.ndarray, " p"], y: Float[np.ndarray, " p"], axis: Axis) -> float:
    """Spearman's over matrices, Pearson's else; 0 where either does not vary."""
    return float(_standard(x, axis) @ _standard(y, axis))


def _standard(values: Float[np.ndarray, " p"], axis: Axis) -> Float[np.ndarray, " p"]:
    """Values, or ranks of matrices, centred and of length 1; 0 where nothing varies."""
    found = rankdata(values) if axis == "matrices" else values
    centred = found - found.mean()
    length = np.linalg.norm(centred)
    return centred / length if length > _STILL * np.linalg.norm(found) else np.zeros_like(centred)


def _null_correlations(a: Part, b: Part) -> list[float]:
    """The same correlation for every null adapter that both reads have, each beyond the other nulls."""
    both = [name for name in a.null_names if name in b.null_names]
    if min(len(both), len(a.null), len(b.null)) < 2:
        return []
    return [_correlation(a.null_beyond(name), b.null_beyond(name), a.axis) for name in both]


def _shared(places: Sequence[str], x: Float[np.ndarray, " p"], y: Float[np.ndarray, " p"]) -> tuple[str, ...]:
    """Places high in both: by the lower of the two ranks, each name once."""
    strength = np.minimum(rankdata(x), rankdata(y))
    ordered = [shown(places[int(i)]) for i in np.argsort(-strength, kind="stable")]
    return tuple(dict.fromkeys(ordered))[:N_SHARED]


def shown(place: str) -> str:
    """A place's name without what only tells it from others of the name ("config" of "config@217")."""
    return place.rpartition("@")[0] or place
