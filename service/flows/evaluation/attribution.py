"""Closed-set attribution of later hunks: n-grams, per-author perplexity and the routes, on the same texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from fingerprint.evaluation.attribution import (
    SampleRows,
    alm_scores,
    sample_log_probs,
    scan_samples,
    tokenize_samples,
)
from fingerprint.evaluation.combine import (
    fit_author_logistic,
    fit_site_weights,
    remove_bias,
    sum_sites,
)
from fingerprint.evaluation.protocol import Sample
from fingerprint.evaluation.results import ContrastRow, SystemRow
from fingerprint.evaluation.stack import fit_stack
from fingerprint.evaluation.tables import ClosedSet
from service.flows.evaluation.setup import Setup
from service.flows.evaluation.text import fit_ngrams

B1 = "n-grams (B1), train slice"
B1_ALL = "n-grams (B1), all before the cut"
ALM = "per-author perplexity (B7, ALM)"
ALM_UNBIASED = "B7, dev mean removed"
SCAN = "routes, scan summed"
SCAN_UNBIASED = "routes, scan summed, dev mean removed"
SITES = "routes, shared site weights"
LOGISTIC = "routes, sites x authors logistic"
FUSED = "B1 (train slice) + routes, shared weights"
_ROUTES = (SCAN, SCAN_UNBIASED, SITES, LOGISTIC)


def attribute(setup: Setup) -> tuple[list[SystemRow], list[ContrastRow], list[SystemRow]]:
    """Rows of every system, paired contrasts of the main ones, and rows of the null adapters."""
    material, config = setup.material, setup.config
    labels = {"dev": material.labels(material.dev), "test": material.labels(material.test)}
    groups = tuple(sample.group for sample in material.dev)
    texts = {"dev": material.dev, "test": material.test}
    read = {name: _read(setup, part) for name, part in texts.items()}
    with setup.clock.phase("n-grams"):
        ngrams = _ngram_scores(setup)
    with setup.clock.phase("per-author perplexity"):
        alm = {name: _alm(setup, name, rows) for name, rows in read.items()}
    with setup.clock.phase("routes"):
        scan = {name: _scan(setup, name, rows) for name, rows in read.items()}
        own = {name: values[:, : len(material.authors)] for name, values in scan.items()}
        routes = _route_scores(own["dev"], own["test"], labels["dev"], groups)
    fused = fit_stack({B1: ngrams["dev"], SITES: routes[SITES][0]}, labels["dev"], groups)
    scores = {
        B1: ngrams["test"],
        B1_ALL: ngrams["test_all"],
        ALM: alm["test"],
        ALM_UNBIASED: remove_bias(alm["test"], alm["dev"]),
        **{name: values for name, (_, values) in routes.items()},
        FUSED: fused.score({B1: ngrams["test"], SITES: routes[SITES][1]}),
    }
    weights = np.maximum(read["test"].n_scored, 1).astype(float)
    closed = ClosedSet(
        labels["test"], tuple(sample.group for sample in material.test), weights, config.n_draws
    )
    with setup.clock.phase("intervals"):
        rows = [row for name, values in scores.items() for row in closed.judge(name, values)]
        pairs = ((SITES, ALM), (SITES, B1), (LOGISTIC, B1), (ALM, B1), (FUSED, B1), (SCAN, ALM))
        contrasts = [row for first, second in pairs for row in closed.contrast(scores, first, second)]
        nulls = _null_rows(setup, scan["test"], alm["test"], closed)
    setup.notes.append(_scan_note(own["test"], alm["test"]))
    return rows, contrasts, nulls


def _read(setup: Setup, samples: Sequence[Sample]) -> SampleRows:
    return tokenize_samples(
        setup.bench.routed,
        samples,
        max_tokens=setup.bench.config.adapter.max_passage_tokens,
        most_scored=setup.config.sample_tokens,
    )


def _ngram_scores(setup: Setup) -> dict[str, np.ndarray]:
    """B1 from the train slice on dev and test, and from everything before the cut on test."""
    material = setup.material
    test = [sample.text for sample in material.test]

    def compute() -> Mapping[str, np.ndarray]:
        model = fit_ngrams(material, material.train, setup.config)
        dev = model.score([sample.text for sample in material.dev])
        every = fit_ngrams(material, material.before, setup.config)
        return {"dev": dev, "test": model.score(test), "test_all": every.score(test)}

    return setup.arrays("n-grams", compute)


def _alm(setup: Setup, name: str, read: SampleRows) -> np.ndarray:
    """ALM scores [n, K] of one slice's samples."""
    states = {author: setup.trained.authors[author].state for author in setup.material.authors}
    states = {"team": setup.trained.team.state} | states

    def compute() -> Mapping[str, np.ndarray]:
        step = f"perplexity under every author, {name}"
        count = setup.bench.counter(step, read.n_tokens * len(states))
        found = sample_log_probs(setup.bench.routed, states, read, count)
        return {"scores": alm_scores(found, setup.material.authors, "team", read.n_scored)}

    return setup.arrays(f"perplexity {name}", compute)["scores"]


def _scan(setup: Setup, name: str, read: SampleRows) -> np.ndarray:
    """Site contributions [n, K + nulls, S] per scored token: the authors' columns, then the nulls'."""
    trained = setup.trained
    differences = [trained.authors[author].weights for author in setup.material.authors]
    differences += [adapter.weights for adapter in trained.nulls.values()]

    def compute() -> Mapping[str, np.ndarray]:
        count = setup.bench.counter(f"scan, {name}", read.n_tokens)
        routed, team = setup.bench.routed, trained.team.state
        return {"sites": scan_samples(routed, team, differences, read, progress=count)}

    return setup.arrays(f"scan {name}", compute)["sites"]


def _route_scores(
    dev: np.ndarray, test: np.ndarray, labels: np.ndarray, groups: Sequence[str]
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """(dev, test) scores of every combination of the site contributions; weights are fitted on dev alone."""
    shared = fit_site_weights(remove_bias(dev, dev), labels, groups)
    logistic = fit_author_logistic(dev, labels, groups)
    return {
        SCAN: (sum_sites(dev), sum_sites(test)),
        SCAN_UNBIASED: (sum_sites(remove_bias(dev, dev)), sum_sites(remove_bias(test, dev))),
        SITES: (shared.score(remove_bias(dev, dev)), shared.score(remove_bias(test, dev))),
        LOGISTIC: (logistic.score(dev), logistic.score(test)),
    }


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
