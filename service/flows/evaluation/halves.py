"""Does an author's signature come back from other code of theirs? Half A against half B, true and shuffled.

Every author's training commits are dealt into two halves, each trains an adapter of its own, and half A must
find half B. Readings of the text alone and of the base stand beside it: they say how much of an "author" is
what the author happened to work on. Shuffled authors say what chance looks like (evaluation.md section 4.6).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from sklearn.preprocessing import normalize

from fingerprint.adapters.population import shuffle_authors
from fingerprint.evaluation.attribution import scan_samples, token_log_probs
from fingerprint.evaluation.baselines import ngram_profiles
from fingerprint.evaluation.fisher import fit_fisher_space
from fingerprint.evaluation.hidden import pool_hidden_states
from fingerprint.evaluation.protocol import Sample, cap_newest, cap_spread, samples_of
from fingerprint.evaluation.replication import half_similarity, icc1, identify_halves
from fingerprint.evaluation.results import ReplicationRow
from fingerprint.passage import Corpus, Passage
from service.flows.bench import Bench
from service.flows.evaluation.baselines import tokenize
from service.flows.evaluation.setup import Setup
from service.flows.training import Trained, refit_authors

WEIGHTS = "adapter weights"
ROUTES = "routes, by site on common texts"
LOSSES = "losses of common texts"
NGRAMS = "control: n-grams of the half's text"
FISHER = "routes at the base, Fisher scores of the half's text"
HIDDEN = "control: base's states on the half's text"


def replicate(setup: Setup) -> list[ReplicationRow]:
    """Identification of every reading, for true authors and for shuffled ones; none without two authors."""
    if len(setup.material.authors) < 2:
        return []
    known = set(setup.trained.authors)
    code = Corpus(tuple(passage for passage in setup.slices.train if passage.author in known))
    shuffled = Corpus.of(shuffle_authors(code, setup.config.seed))
    with setup.clock.phase("halves"):
        return [
            row
            for labels, corpus in (("true", code), ("shuffled", shuffled))
            for row in _identify(setup, labels, corpus)
        ]


def _identify(setup: Setup, labels: str, code: Corpus) -> list[ReplicationRow]:
    halves = deal(code)
    bench = _half_bench(setup)
    trained = [refit_authors(bench, half, setup.slices.dev, setup.trained) for half in halves]
    authors = [author for author in trained[0].authors if author in trained[1].authors]
    if len(authors) < 2:
        setup.notes.append(f"halves, {labels}: fewer than two authors have enough code for two adapters")
        return []
    readings = _readings(setup, labels, trained, authors) | _of_text(setup, labels, halves, authors)
    rows = []
    for name, (first, second) in readings.items():
        found = identify_halves(half_similarity(first, second))
        icc = icc1(np.stack([first, second], axis=1)) if name == ROUTES else None
        rows.append(
            ReplicationRow(
                reading=name, labels=labels, n_authors=found.n_authors, auroc=found.auroc, top1=found.top1,
                icc=None if icc is None else float(np.nanmedian(icc)), p_value=found.p_value,
            )
        )  # fmt: skip
    return rows


def deal(code: Corpus) -> tuple[Corpus, Corpus]:
    """Every author's commits in turn to half A and half B, so that both span the same time."""
    order: defaultdict[str, dict[str, int]] = defaultdict(dict)
    halves: tuple[list[Passage], list[Passage]] = ([], [])
    for passage in code:
        commits = order[passage.author]
        halves[commits.setdefault(passage.group, len(commits)) % 2].append(passage)
    return Corpus(tuple(halves[0])), Corpus(tuple(halves[1]))


def _half_bench(setup: Setup) -> Bench:
    """Half of everything: the budget of an author, and what is enough code."""
    config = setup.bench.config
    adapter = config.adapter.model_copy(
        update={
            "author_tokens": max(1, setup.trained.budget // 2),
            "least_author_tokens": max(1, config.adapter.least_author_tokens // 2),
        }
    )
    return replace(setup.bench, config=config.model_copy(update={"adapter": adapter}))


Pair = tuple[np.ndarray, np.ndarray]
"""Signatures [k, p] of halves A and of halves B."""


def _readings(
    setup: Setup, labels: str, trained: Sequence[Trained], authors: Sequence[str]
) -> dict[str, Pair]:
    """What the adapters show: their weights, and on texts that nobody was trained on what these do."""
    config, reference = setup.config, setup.trained.reference
    assert reference is not None, "there are authors"
    probe = tokenize(setup, cap_spread(setup.material.past, config.probe_samples, config.seed))
    adapters = [half.authors[author] for half in trained for author in authors]
    step = f"halves, {labels}"

    def compute() -> Mapping[str, np.ndarray]:
        routed, count = setup.bench.routed, setup.bench.counter(step, probe.n_tokens * (len(adapters) + 1))
        sites = scan_samples(routed, reference.state, [a.weights for a in adapters], probe, progress=count)
        states = {str(i): adapter.state for i, adapter in enumerate(adapters)}
        log_probs = token_log_probs(routed, states, probe, count)
        sizes = np.maximum(probe.n_scored, 1)
        return {
            "sites": sites.mean(axis=0),
            "losses": np.stack(
                [np.bincount(probe.token_owner, x, len(sizes)) / sizes for x in log_probs.values()]
            ),
        }

    digests = [half.digests for half in trained]
    found = setup.arrays(step, compute, adapters=("reference",), halves=digests, authors=list(authors))
    weights = torch.stack([torch.cat([b.flatten() for b in a.weights.values()]) for a in adapters])
    k = len(authors)
    named = {WEIGHTS: weights.float().cpu().numpy(), ROUTES: found["sites"], LOSSES: found["losses"]}
    return {name: (values[:k], values[k:]) for name, values in named.items()}


def _of_text(setup: Setup, labels: str, halves: Sequence[Corpus], authors: Sequence[str]) -> dict[str, Pair]:
    """The halves' own text, without any adapter: the base's routes, n-grams and the base's states."""
    config, k = setup.config, len(authors)
    own: list[list[Sample]] = [
        cap_newest(samples_of(half.where_author(author)), config.probe_samples)
        for half in halves
        for author in authors
    ]
    grams = ngram_profiles([[sample.text for sample in samples] for samples in own])
    owner = np.repeat(np.arange(len(own)), [len(samples) for samples in own])
    read = tokenize(setup, [sample for samples in own for sample in samples])
    step = f"halves, {labels}: the base on their text"

    def compute() -> Mapping[str, np.ndarray]:
        routed = setup.bench.routed
        states = pool_hidden_states(routed, read)
        return {
            "states": states.reshape(len(states), -1), "routes": fit_fisher_space(routed, read).place(read)
        }  # fmt: skip

    found = setup.arrays(
        step, compute, adapters=(), halves=[half.digest for half in halves], authors=list(authors)
    )
    states = found["states"]
    scaled = (states - states.mean(axis=0)) / (states.std(axis=0) + 1e-6)
    placed = normalize(found["routes"].astype(np.float32) - found["routes"].mean(axis=0, dtype=np.float32))
    means = {
        name: np.stack([values[owner == i].mean(axis=0) for i in range(len(own))])
        for name, values in {FISHER: placed, HIDDEN: scaled}.items()
    }
    return {name: (values[:k], values[k:]) for name, values in (means | {NGRAMS: grams}).items()}
