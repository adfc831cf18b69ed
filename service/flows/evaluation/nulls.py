"""Shuffled authors' adapters read as the true ones are: what is time, topic and training, not author."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from fingerprint.evaluation.combine import fit_author_logistic, fit_site_weights, remove_bias, sum_sites
from fingerprint.evaluation.results import SystemRow
from fingerprint.evaluation.systems import B6, FUSED, FUSED_LOGISTIC, LOGISTIC, SITES, TEXT_SYSTEMS
from fingerprint.evaluation.tables import ClosedSet
from service.flows.evaluation.baselines import Scores
from service.flows.evaluation.combining import fitted, stacks
from service.flows.evaluation.setup import Setup

SHUFFLED = ", authors shuffled"
"""Behind the name of a system that took its routes from shuffled authors' adapters; then the set's number."""
_SYSTEMS = (FUSED, FUSED_LOGISTIC, SITES, LOGISTIC)


def sets_of(setup: Setup) -> dict[int, list[str]]:
    """Authors who take part, in their order, by the number of the null set that holds a shuffled one."""
    found: dict[int, list[str]] = {}
    for name in setup.trained.nulls:
        author, _, number = name.rpartition("/")
        if author in setup.material.authors:
            found.setdefault(int(number), []).append(author)
    at = setup.material.authors.index
    return {number: sorted(found[number], key=at) for number in sorted(found)}


def whole_sets(
    setup: Setup, past: np.ndarray, test: np.ndarray, scores: dict[str, Scores]
) -> dict[str, Scores]:
    """The routes' systems and their stacks with text once more, on adapters of shuffled authors.

    What a stack gains on text with these it gains without knowing who wrote what the adapters read.

    Args:
        past, test: contributions of the null adapters, [n, N, S]. scores: of the text systems, at least.

    Only sets that hold as many shuffled authors as take part: fewer classes are another question.
    """
    authors, nulls = setup.material.authors, list(setup.trained.nulls)
    found: dict[str, Scores] = {}
    for number, members in sets_of(setup).items():
        if len(members) < len(authors):
            continue
        columns = [nulls.index(f"{author}/{number}") for author in authors]
        own = past[:, columns], test[:, columns]
        unbiased = remove_bias(own[0], own[0]), remove_bias(own[1], own[0])
        systems = {name: scores[name] for name in TEXT_SYSTEMS}
        systems[SITES] = fitted(setup, fit_site_weights, unbiased)
        systems[LOGISTIC] = fitted(setup, fit_author_logistic, own)
        systems |= stacks(setup, systems)
        found |= {f"{name}{SHUFFLED} {number}": systems[name] for name in _SYSTEMS}
    return found


def null_contrasts(names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Pairs of systems of ``whole_sets``: each true one with its null, and null stacks with text alone."""
    for name in names:
        true = name.partition(SHUFFLED)[0]
        yield true, name
        if true in {FUSED, FUSED_LOGISTIC}:
            yield name, B6


def null_rows(
    setup: Setup, null_sites: np.ndarray, summed: np.ndarray, alm: np.ndarray, closed: ClosedSet
) -> Iterator[SystemRow]:
    """Shuffled authors' adapters, and the true ones, on the texts of the authors each null set holds."""
    authors, nulls = setup.material.authors, list(setup.trained.nulls)
    for number, members in sets_of(setup).items():
        at = [authors.index(author) for author in members]
        kept = np.flatnonzero(np.isin(closed.labels, at))
        if len(members) < 2 or not len(kept):
            continue
        columns = [nulls.index(f"{author}/{number}") for author in members]
        part = ClosedSet(
            np.array([at.index(label) for label in closed.labels[kept]], dtype=int),
            tuple(closed.groups[i] for i in kept),
            closed.weights[kept],
            closed.n_draws,
        )
        shuffled = sum_sites(null_sites)[kept][:, columns]
        yield from part.judge(f"shuffled authors, set {number}: scan summed", shuffled)
        yield from part.judge(f"the same {len(members)} authors, true: scan summed", summed[kept][:, at])
        yield from part.judge(f"the same {len(members)} authors, true: perplexity (B7)", alm[kept][:, at])
