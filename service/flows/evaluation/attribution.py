"""Closed-set attribution of later hunks: n-grams, per-author perplexity and the routes, on the same texts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fingerprint.evaluation.attribution import SampleRows, alm_scores, scan_samples, token_log_probs
from fingerprint.evaluation.combine import (
    AuthorLogistic,
    SiteWeights,
    cross_fit,
    fit_author_logistic,
    fit_site_weights,
    remove_bias,
    sum_sites,
)
from fingerprint.evaluation.evidence import Texts, judge_evidence
from fingerprint.evaluation.gating import cell_scores, classify_ids
from fingerprint.evaluation.protocol import Sample
from fingerprint.evaluation.results import ContrastRow, EvidenceRow, SystemRow
from fingerprint.evaluation.tables import ClosedSet
from service.flows.evaluation.backend import KINDS, ROUTES, Donation
from service.flows.evaluation.baselines import (
    B1,
    B6,
    B8,
    B9,
    TEXT_SYSTEMS,
    Scores,
    gradient_scores,
    hidden_scores,
    stack_systems,
    text_scores,
    tokenize,
)
from service.flows.evaluation.setup import Setup

ALM = "per-author perplexity (B7, ALM)"
BY_CELL = "perplexity by kind of token"
SCAN = "routes, scan summed"
SCAN_UNBIASED = "routes, scan summed, past mean removed"
SITES = "routes, shared site weights"
LOGISTIC = "routes, sites x authors logistic"
FUSED = "B6 + routes, stacked"
EVERYTHING = "B6 + perplexity by kind + B8 + routes, stacked"
REFERENCE = "reference"
_AS_EVIDENCE = (B1, B6, ALM, BY_CELL, SITES, FUSED, EVERYTHING)
_CONTRASTS = (
    (SITES, ALM), (SITES, B6), (SITES, B1), (SCAN, ALM), (LOGISTIC, B6), (ALM, B6), (BY_CELL, ALM),
    (BY_CELL, B6), (B6, B1), (FUSED, B6), (EVERYTHING, B6),
)  # fmt: skip


@dataclass(frozen=True)
class Attribution:
    """Rows of every system, paired contrasts and worth as evidence of the main ones, and the nulls' rows."""

    attribution: tuple[SystemRow, ...] = ()
    contrasts: tuple[ContrastRow, ...] = ()
    evidence: tuple[EvidenceRow, ...] = ()
    null_attribution: tuple[SystemRow, ...] = ()


def attribute(setup: Setup) -> tuple[Attribution, Donation]:
    """Score the past slice and the test slice by every system; judge on test.

    Returns:
        The rows, and what other repositories' back-ends may learn here.
    """
    material = setup.material
    read = {"past": tokenize(setup, material.past), "test": tokenize(setup, material.test)}
    with setup.clock.phase("text baselines"):
        scores = text_scores(setup)
    with setup.clock.phase("per-author perplexity"):
        perplexity, kinds = _perplexity_scores(setup, read)
        scores |= perplexity
    with setup.clock.phase("hidden states"):
        scores[B8] = hidden_scores(setup, read)
    with setup.clock.phase("gradients at the base"):
        scores[B9] = gradient_scores(setup, read)
    with setup.clock.phase("routes"):
        scan = {part: _scan(setup, part, rows) for part, rows in read.items()}
        own = {part: values[:, : len(material.authors)] for part, values in scan.items()}
        scores |= _route_scores(setup, own["past"], own["test"])
    text = {name: scores[name] for name in TEXT_SYSTEMS}
    scores[FUSED] = stack_systems(setup, text | {SITES: scores[SITES]})
    scores[EVERYTHING] = stack_systems(setup, text | {name: scores[name] for name in (BY_CELL, B8, SITES)})
    past, closed = (
        _closed_set(setup, *part) for part in ((material.past, read["past"]), (material.test, read["test"]))
    )
    with setup.clock.phase("intervals"):
        test = {name: values for name, (_, values) in scores.items()}
        rows = [row for name, values in test.items() for row in closed.judge(name, values)]
        contrasts = [row for first, second in _CONTRASTS for row in closed.contrast(test, first, second)]
        evidence = [row for name in _AS_EVIDENCE for row in _evidence(name, past, closed, scores[name])]
        nulls = _null_rows(setup, scan["test"], test[ALM], closed)
    setup.notes.append(_scan_note(own["test"], test[ALM]))
    donation = Donation(
        setup.history.name,
        {ROUTES: remove_bias(own["past"], own["past"]), KINDS: kinds[0]},
        {ROUTES: remove_bias(own["test"], own["past"]), KINDS: kinds[1]},
        past.labels,
        closed,
        {name: test[name] for name in (ALM, B6, SITES, BY_CELL)},
    )
    return Attribution(tuple(rows), tuple(contrasts), tuple(evidence), tuple(nulls)), donation


def _closed_set(setup: Setup, samples: Sequence[Sample], read: SampleRows) -> ClosedSet:
    return ClosedSet(
        setup.material.labels(samples),
        tuple(sample.group for sample in samples),
        np.maximum(read.n_scored, 1).astype(float),
        setup.config.n_draws,
    )


def _evidence(system: str, past: ClosedSet, test: ClosedSet, scores: Scores) -> Iterator[EvidenceRow]:
    """By hunk and by commit, where the past slice holds two authors or more."""
    for unit in ("hunk", "commit"):
        before, after = (
            Texts(*part.by_unit(values, unit)) for part, values in zip((past, test), scores, strict=True)
        )
        if len(np.unique(before.labels)) > 1:
            yield judge_evidence(system, unit, before, after, n_draws=test.n_draws)


def _perplexity_scores(
    setup: Setup, read: Mapping[str, SampleRows]
) -> tuple[dict[str, Scores], tuple[np.ndarray, np.ndarray]]:
    """ALM and the same resolved by kind of token, with the features [n, K, F] of past and test."""
    authors, routed = setup.material.authors, setup.bench.routed
    past, test = (_log_probs(setup, part, rows) for part, rows in read.items())
    vocabulary = [str(routed.base.tokenizer.decode([i])) for i in range(len(routed.base.tokenizer))]
    classes = classify_ids(vocabulary)

    def sums(found: Mapping[str, np.ndarray], rows: SampleRows) -> np.ndarray:
        n = len(rows.n_scored)
        whole = {name: np.bincount(rows.token_owner, values, n) for name, values in found.items()}
        return alm_scores(whole, authors, REFERENCE, rows.n_scored)

    def cells(found: Mapping[str, np.ndarray], rows: SampleRows) -> np.ndarray:
        own = np.stack([found[author] for author in authors])
        return cell_scores(
            own, found[REFERENCE], classes[rows.token_ids], rows.token_owner, len(rows.n_scored)
        )

    values = cells(past, read["past"]), cells(test, read["test"])
    scores = {
        ALM: (sums(past, read["past"]), sums(test, read["test"])),
        BY_CELL: _fitted(setup, fit_site_weights, values),
    }
    return scores, values


def _log_probs(setup: Setup, part: str, read: SampleRows) -> dict[str, np.ndarray]:
    """Log-probabilities of one slice's tokens, by author and at the reference."""
    trained = setup.trained
    assert trained.reference is not None, "there are authors"
    states = {author: trained.authors[author].state for author in setup.material.authors}
    states = {REFERENCE: trained.reference.state} | states

    def compute() -> Mapping[str, np.ndarray]:
        step = f"perplexity under every author, {part}"
        count = setup.bench.counter(step, read.n_tokens * len(states))
        found = token_log_probs(setup.bench.routed, states, read, count)
        return {name: values.astype(np.float32) for name, values in found.items()}

    return setup.arrays(f"log-probabilities by token, {part}", compute)


def _scan(setup: Setup, name: str, read: SampleRows) -> np.ndarray:
    """Site contributions [n, K + nulls, S] per scored token: the authors' columns, then the nulls'."""
    trained = setup.trained
    differences = [trained.authors[author].weights for author in setup.material.authors]
    differences += [adapter.weights for adapter in trained.nulls.values()]

    def compute() -> Mapping[str, np.ndarray]:
        count = setup.bench.counter(f"scan, {name}", read.n_tokens)
        assert trained.reference is not None, "there are authors"
        # at the reference, which D starts from, not at B: .59 against .57 on liam (README.md)
        routed, start = setup.bench.routed, trained.reference.state
        return {"sites": scan_samples(routed, start, differences, read, progress=count)}

    return setup.arrays(f"scan {name}", compute)["sites"]


def _route_scores(setup: Setup, past: np.ndarray, test: np.ndarray) -> dict[str, Scores]:
    """Every combination of the site contributions; weights are fitted on the past slice alone."""
    before, after = remove_bias(past, past), remove_bias(test, past)

    return {
        SCAN: (sum_sites(past), sum_sites(test)),
        SCAN_UNBIASED: (sum_sites(before), sum_sites(after)),
        SITES: _fitted(setup, fit_site_weights, (before, after)),
        LOGISTIC: _fitted(setup, fit_author_logistic, (past, test)),
    }


def _fitted(
    setup: Setup,
    fit: Callable[[np.ndarray, np.ndarray, Sequence[str]], SiteWeights | AuthorLogistic],
    values: tuple[np.ndarray, np.ndarray],
) -> Scores:
    """A combination of features [n, K, F] of the past slice and of test, fitted on the past slice."""
    past, test = values
    labels = setup.material.labels(setup.material.past)
    groups = [sample.group for sample in setup.material.past]

    def part(rows: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
        model = fit(past[rows], labels[rows], [groups[i] for i in rows])
        return lambda other: model.score(past[other])

    return cross_fit(part, labels, groups), fit(past, labels, groups).score(test)


def _null_rows(setup: Setup, scan: np.ndarray, alm: np.ndarray, closed: ClosedSet) -> list[SystemRow]:
    """Shuffled authors' adapters, and the true ones, on the texts of the authors each null set holds."""
    authors, nulls = setup.material.authors, list(setup.trained.nulls)
    rows: list[SystemRow] = []
    for number in sorted({name.rpartition("/")[2] for name in nulls}):
        members = [name.rpartition("/")[0] for name in nulls if name.rpartition("/")[2] == number]
        members = [author for author in members if author in authors]
        at = [authors.index(author) for author in members]
        kept = np.flatnonzero(np.isin(closed.labels, at))
        if len(members) < 2 or not len(kept):
            continue
        columns = [len(authors) + nulls.index(f"{author}/{number}") for author in members]
        part = ClosedSet(
            np.array([at.index(label) for label in closed.labels[kept]], dtype=int),
            tuple(closed.groups[i] for i in kept),
            closed.weights[kept],
            closed.n_draws,
        )
        summed = sum_sites(scan)[kept]
        rows += part.judge(f"shuffled authors, set {number}: scan summed", summed[:, columns])
        rows += part.judge(f"the same {len(members)} authors, true: scan summed", summed[:, at])
        rows += part.judge(f"the same {len(members)} authors, true: perplexity (B7)", alm[kept][:, at])
    return rows


def _scan_note(scan: np.ndarray, alm: np.ndarray) -> str:
    """How near the first-order scan comes to exact scoring."""
    first, exact = (values - values.mean(axis=1, keepdims=True) for values in (sum_sites(scan), alm))
    correlation = np.corrcoef(first.ravel(), exact.ravel())[0, 1]
    return (
        "row-centred scores of the first-order scan and of exact perplexity correlate at "
        f"{correlation:.3f} on test"
    )
