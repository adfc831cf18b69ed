"""Closed-set attribution of later hunks: n-grams, per-author perplexity and the routes, on the same texts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from fingerprint.evaluation.attribution import SampleRows, alm_scores, scan_samples, token_log_probs
from fingerprint.evaluation.combine import (
    fit_author_logistic,
    fit_site_weights,
    remove_bias,
    sum_sites,
)
from fingerprint.evaluation.evidence import Texts, judge_evidence
from fingerprint.evaluation.gating import cell_scores, classify_ids
from fingerprint.evaluation.protocol import Sample
from fingerprint.evaluation.results import ContrastRow, EvidenceRow, SystemRow
from fingerprint.evaluation.systems import (
    ALM,
    B1,
    B6,
    B8,
    B9,
    B10,
    BY_CELL,
    EVERYTHING,
    FISHER,
    FUSED,
    FUSED_FISHER,
    FUSED_LOGISTIC,
    LOGISTIC,
    REFITTED,
    SCAN,
    SCAN_UNBIASED,
    SITES,
    TEXT_LOGISTIC,
    TEXT_SYSTEMS,
)  # fmt: skip
from fingerprint.evaluation.tables import ClosedSet
from service.flows.evaluation.backend import KINDS, ROUTES, Donation
from service.flows.evaluation.baselines import (
    Scores,
    gradient_scores,
    hidden_scores,
    judge_scores,
    stack_systems,
    text_scores,
    tokenize,
)
from service.flows.evaluation.combining import REFERENCE, fitted, stacks
from service.flows.evaluation.fisher import PlacedTexts, place_texts
from service.flows.evaluation.nulls import null_contrasts, null_rows, whole_sets
from service.flows.evaluation.refit import refit
from service.flows.evaluation.setup import Setup

_AS_EVIDENCE = (B1, B6, ALM, BY_CELL, SITES, FISHER, FUSED, FUSED_FISHER, EVERYTHING)
_CONTRASTS = (
    (SITES, ALM), (SITES, B6), (SITES, B1), (SCAN, ALM), (LOGISTIC, B6), (ALM, B6), (BY_CELL, ALM),
    (BY_CELL, B6), (B6, B1), (FUSED, B6), (FUSED_LOGISTIC, B6), (EVERYTHING, B6), (LOGISTIC, TEXT_LOGISTIC),
    (TEXT_LOGISTIC, B6), (ALM, B10), (FUSED, B10), (FISHER, B1), (FISHER, B6), (FISHER, ALM),
    (FUSED_FISHER, B6),
)  # fmt: skip
_REFIT_CONTRASTS = (
    (B6 + REFITTED, B6), (B6 + REFITTED, B1 + REFITTED), (ALM + REFITTED, ALM),
    *((name + REFITTED, B6 + REFITTED)
      for name in (ALM, SCAN, SITES, LOGISTIC, TEXT_LOGISTIC, FISHER, FUSED, FUSED_LOGISTIC, FUSED_FISHER,
                   EVERYTHING)),
    (LOGISTIC + REFITTED, TEXT_LOGISTIC + REFITTED), (FISHER + REFITTED, B1 + REFITTED),
    (FISHER + REFITTED, ALM + REFITTED),
)  # fmt: skip


@dataclass(frozen=True)
class Attribution:
    """Rows of every system, paired contrasts and worth as evidence of the main ones, and the nulls' rows.

    Attributes:
        attribution: systems that read the train slice. refitted: the same once they have read everything
            before the cut, combined by weights that the past slice gave the former.
    """

    attribution: tuple[SystemRow, ...] = ()
    refitted: tuple[SystemRow, ...] = ()
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
    past, closed = (
        _closed_set(setup, *part) for part in ((material.past, read["past"]), (material.test, read["test"]))
    )
    before, after = _measure(setup, read)
    scores = _combine(setup, before, after)
    placed = None if "base" in setup.config.skip else _of_base(setup, read, scores)
    scores |= stacks(setup, scores)
    again = _refitted(setup, before, read["test"], placed, scores)
    with setup.clock.phase("intervals"):
        test, refitted = ({name: values for name, (_, values) in part.items()} for part in (scores, again))
        test |= judge_scores(setup)
        both = test | {name + REFITTED: values for name, values in refitted.items()}
        shuffled = whole_sets(setup, before.nulls, after.nulls, scores)
        both |= {name: values for name, (_, values) in shuffled.items()}
        wanted = (*_CONTRASTS, *_REFIT_CONTRASTS, *null_contrasts(shuffled))
        pairs = [pair for pair in wanted if both.keys() >= set(pair)]
        contrasts = [row for pair in pairs for row in closed.contrast(both, *pair)]
        known = [name for name in _AS_EVIDENCE if name in scores]
        evidence = [row for name in known for row in _evidence(name, past, closed, scores[name])]
        nulls = list(null_rows(setup, after.nulls, sum_sites(after.sites), test[ALM], closed))
        nulls += () if placed is None else _null_kernels(placed, closed)
        nulls += [row for name, (_, values) in shuffled.items() for row in closed.judge(name, values)]
        found = Attribution(
            tuple(row for name, values in test.items() for row in closed.judge(name, values)),
            tuple(row for name, values in refitted.items() for row in closed.judge(name, values)),
            tuple(contrasts),
            tuple(evidence),
            tuple(nulls),
        )
    setup.notes.append(_scan_note(after.sites, test[ALM]))
    donation = Donation(
        setup.history.name,
        {ROUTES: remove_bias(before.sites, before.sites), KINDS: before.kinds},
        {ROUTES: remove_bias(after.sites, before.sites), KINDS: after.kinds},
        past.labels,
        closed,
        {name: test[name] for name in (ALM, B6, SITES, BY_CELL)},
    )
    return found, donation


def _of_base(setup: Setup, read: Mapping[str, SampleRows], scores: dict[str, Scores]) -> PlacedTexts:
    """Add the systems that need no adapter to ``scores``."""
    with setup.clock.phase("hidden states"):
        scores[B8] = hidden_scores(setup, read)
    with setup.clock.phase("gradients at the base"):
        scores[B9] = gradient_scores(setup, read)
    with setup.clock.phase("Fisher kernel"):
        placed = place_texts(setup, read)
        scores[FISHER] = _by_routes(placed, setup.material.train)
    return placed


def _refitted(
    setup: Setup, past: _Measured, test: SampleRows, placed: PlacedTexts | None, scores: Mapping[str, Scores]
) -> dict[str, Scores]:
    """Every system again once it has read everything before the cut; adapters only unless that is skipped."""
    if "refits" in setup.config.skip:
        late = replace(setup, material=replace(setup.material, train=setup.material.before))
        with setup.clock.phase("text baselines"):
            found = _of_text(setup, past.text, text_scores(late, ("test",))["test"])
    else:
        with setup.clock.phase("refitting"):
            late = refit(setup)
        found = _combine(setup, past, *_measure(late, {"test": test}))
    if placed is None:
        return found | stacks(setup, found)
    with setup.clock.phase("Fisher kernel"):
        found[FISHER] = (scores[FISHER][0], placed.score("test", late.material.train))
    return found | stacks(setup, {B8: scores[B8]} | found)


def _by_routes(placed: PlacedTexts, train: Sequence[Sample]) -> Scores:
    return placed.score("past", train), placed.score("test", train)


def _null_kernels(placed: PlacedTexts, closed: ClosedSet) -> Iterator[SystemRow]:
    """Classifiers of authors shuffled over commits within quarters: what is time and topic, not author."""
    train = placed.setup.material.train
    for number in range(placed.setup.config.n_null_sets):
        labels = placed.shuffled(train, number)
        if labels is None:
            placed.setup.notes.append(
                "the Fisher kernel has no null: shuffled within quarters, commits stay with their authors"
            )
            return
        scores = placed.score("test", train, labels)
        yield from closed.judge(f"shuffled authors, set {number}: Fisher kernel", scores)


@dataclass(frozen=True, eq=False)
class _Measured:
    """What one slice's texts show under one set of adapters, before anything is combined.

    Attributes:
        text: scores [n, K] of B1-B4. perplexity: ALM [n, K]. kinds: the same by kind of token [n, K, F].
        sites: the scan's contributions [n, K, S] per scored token. nulls: of the null adapters [n, N, S].
    """

    text: dict[str, np.ndarray]
    perplexity: np.ndarray
    kinds: np.ndarray
    sites: np.ndarray
    nulls: np.ndarray


def _measure(setup: Setup, read: Mapping[str, SampleRows]) -> list[_Measured]:
    """Every part of ``read`` in order."""
    n_authors = len(setup.material.authors)
    with setup.clock.phase("text baselines"):
        text = text_scores(setup, tuple(read))
    with setup.clock.phase("per-author perplexity"):
        perplexity = [_perplexity(setup, part, rows) for part, rows in read.items()]
    with setup.clock.phase("routes"):
        scans = [_scan(setup, part, rows) for part, rows in read.items()]
    return [
        _Measured(text[part], *found, scan[:, :n_authors], scan[:, n_authors:])
        for part, found, scan in zip(read, perplexity, scans, strict=True)
    ]


def _combine(setup: Setup, past: _Measured, test: _Measured) -> dict[str, Scores]:
    """Every system but the base's own; what is fitted is fitted on the past slice alone."""
    before, after = remove_bias(past.sites, past.sites), remove_bias(test.sites, past.sites)
    return {
        **_of_text(setup, past.text, test.text),
        ALM: (past.perplexity, test.perplexity),
        BY_CELL: fitted(setup, fit_site_weights, (past.kinds, test.kinds)),
        SCAN: (sum_sites(past.sites), sum_sites(test.sites)),
        SCAN_UNBIASED: (sum_sites(before), sum_sites(after)),
        SITES: fitted(setup, fit_site_weights, (before, after)),
        LOGISTIC: fitted(setup, fit_author_logistic, (past.sites, test.sites)),
    }


def _of_text(
    setup: Setup, past: Mapping[str, np.ndarray], test: Mapping[str, np.ndarray]
) -> dict[str, Scores]:
    """B1-B4, their stack, and the author-wise logistic over them."""
    text = {name: (past[name], test[name]) for name in TEXT_SYSTEMS}
    by_system = (_side_by_side(past), _side_by_side(test))
    return {
        **text,
        B6: stack_systems(setup, text),
        TEXT_LOGISTIC: fitted(setup, fit_author_logistic, by_system),
    }


def _side_by_side(text: Mapping[str, np.ndarray]) -> np.ndarray:
    """Scores of B1-B4 as features [n, K, 4]."""
    return np.stack([text[name] for name in TEXT_SYSTEMS], axis=2)


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


def _perplexity(setup: Setup, part: str, read: SampleRows) -> tuple[np.ndarray, np.ndarray]:
    """ALM [n, K] of one slice's texts, and the same resolved by kind of token [n, K, F]."""
    authors, base = setup.material.authors, setup.bench.routed.base
    found, n = _log_probs(setup, part, read), len(read.n_scored)
    classes = classify_ids([str(base.tokenizer.decode([i])) for i in range(len(base.tokenizer))])
    whole = {name: np.bincount(read.token_owner, values, n) for name, values in found.items()}
    own = np.stack([found[author] for author in authors])
    kinds = cell_scores(own, found[REFERENCE], classes[read.token_ids], read.token_owner, n)
    return alm_scores(whole, authors, REFERENCE, read.n_scored), kinds


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

    return setup.arrays(f"log-probabilities by token, {part}", compute, adapters=tuple(states))


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


def _scan_note(scan: np.ndarray, alm: np.ndarray) -> str:
    """How near the first-order scan comes to exact scoring."""
    first, exact = (values - values.mean(axis=1, keepdims=True) for values in (sum_sites(scan), alm))
    correlation = np.corrcoef(first.ravel(), exact.ravel())[0, 1]
    return (
        "row-centred scores of the first-order scan and of exact perplexity correlate at "
        f"{correlation:.3f} on test"
    )
