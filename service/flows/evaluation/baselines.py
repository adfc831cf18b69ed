"""The routes' simple peers on the same hunks: text alone (B1-B4, B6), the base (B8), gradients (B9)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np

from fingerprint.evaluation.attribution import SampleRows, tokenize_samples
from fingerprint.evaluation.baselines import fit_ngram_classifier
from fingerprint.evaluation.combine import cross_fit
from fingerprint.evaluation.compression import fit_author_dictionaries
from fingerprint.evaluation.gradient import align_gradients
from fingerprint.evaluation.hidden import fit_hidden, pool_hidden_states
from fingerprint.evaluation.judge import judge_hunk, reference_hunks
from fingerprint.evaluation.layout import fit_layout
from fingerprint.evaluation.ngram_lm import fit_author_trigrams
from fingerprint.evaluation.protocol import Sample, cap_newest
from fingerprint.evaluation.stack import fit_stack
from fingerprint.evaluation.systems import B1, B2, B3, B4, B10, TEXT_SYSTEMS
from fingerprint.provenance import digest_of
from service.flows.evaluation.setup import Setup
from service.flows.labelling import endpoint_of
from service.settings import Settings

Scores = tuple[np.ndarray, np.ndarray]
"""A system's scores of the past slice and of test, [n, K] each; of past texts that it was not fitted on."""
_FITS = {
    B1: fit_ngram_classifier, B2: fit_layout, B3: fit_author_trigrams, B4: fit_author_dictionaries,
}  # fmt: skip


def text_scores(setup: Setup, parts: Sequence[str]) -> dict[str, dict[str, np.ndarray]]:
    """B1-B4, fitted on the training samples: [n, K] by part ("past", "test"), then by system."""
    material = setup.material
    train = cap_newest(material.train, setup.config.ngram_samples)
    texts, labels = [sample.text for sample in train], material.labels(train)
    judged = {part: [sample.text for sample in getattr(material, part)] for part in parts}
    digest = digest_of([texts, labels.tolist(), judged])

    def compute(name: str) -> Mapping[str, np.ndarray]:
        model = _FITS[name](texts, labels, len(material.authors))
        return {part: model.score(some) for part, some in judged.items()}

    found = {
        name: setup.arrays(name, partial(compute, name), adapters=(), texts=digest) for name in TEXT_SYSTEMS
    }
    return {part: {name: scores[part] for name, scores in found.items()} for part in parts}


def stack_systems(setup: Setup, systems: Mapping[str, Scores]) -> Scores:
    """Systems as one, weighted on the past slice."""
    material = setup.material
    labels, groups = material.labels(material.past), [sample.group for sample in material.past]
    past, test = ({name: scores[part] for name, scores in systems.items()} for part in (0, 1))

    def fit(rows: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
        some = {name: scores[rows] for name, scores in past.items()}
        stack = fit_stack(some, labels[rows], [groups[i] for i in rows])
        return lambda other: stack.score({name: scores[other] for name, scores in past.items()})

    return cross_fit(fit, labels, groups), fit_stack(past, labels, groups).score(test)


def hidden_scores(setup: Setup, read: Mapping[str, SampleRows]) -> Scores:
    """B8: discriminants of the base's hidden states, the layer chosen on the past slice."""
    material = setup.material
    train = cap_newest(material.train, setup.config.hidden_samples)
    labels = material.labels(train)
    states = {"train": _states(setup, "train", tokenize(setup, train))}
    states |= {part: _states(setup, part, rows) for part, rows in read.items()}
    model = fit_hidden(
        states["train"], labels, len(material.authors), dev_states=states["past"],
        dev_labels=material.labels(material.past),
    )  # fmt: skip
    return model.score(states["past"]), model.score(states["test"])


_ASKED_TOGETHER = 50
"""Hunks whose answers are kept together: a killed run asks for no more of them again."""


def judge_scores(setup: Setup) -> dict[str, np.ndarray]:
    """B10 on the test slice [n, K], where it is asked for: a language model sees five hunks of each author.

    Raises:
        ServiceError: the settings name no model. EndpointError: it does not answer; what it did is kept.
    """
    if not setup.config.judge:
        return {}
    endpoint = endpoint_of(setup.bench.settings or Settings())
    material, seed = setup.material, setup.config.seed
    references = reference_hunks(material.train, material.authors)
    parts: list[np.ndarray] = []
    for start in range(0, len(material.test), _ASKED_TOGETHER):
        rows = range(start, min(start + _ASKED_TOGETHER, len(material.test)))

        def compute(rows: range = rows) -> Mapping[str, np.ndarray]:
            asked = (
                judge_hunk(endpoint, references, material.test[row].text, np.random.default_rng((seed, row)))
                for row in rows
            )
            return {"scores": np.stack(list(asked))}

        step = f"{B10}, {rows.start}-{rows.stop - 1}"
        found = setup.arrays(step, compute, adapters=(), endpoint=endpoint.url, model=endpoint.model)
        parts.append(found["scores"])
    return {B10: np.concatenate(parts)}


def tokenize(setup: Setup, samples: Sequence[Sample]) -> SampleRows:
    """Samples as every model reads them."""
    return tokenize_samples(
        setup.bench.routed, samples, max_tokens=setup.bench.config.adapter.max_passage_tokens,
        most_scored=setup.config.sample_tokens,
    )  # fmt: skip


def _states(setup: Setup, part: str, read: SampleRows) -> np.ndarray:
    step = f"hidden states of the base, {part}"

    def compute() -> Mapping[str, np.ndarray]:
        count = setup.bench.counter(step, read.n_tokens)
        return {"states": pool_hidden_states(setup.bench.routed, read, progress=count)}

    return setup.arrays(step, compute, adapters=(), n_samples=len(read.n_scored))["states"]


def gradient_scores(setup: Setup, read: Mapping[str, SampleRows]) -> Scores:
    """B9: the authors' adapters against each text's own gradient at the base."""
    authors = setup.material.authors
    states = {k: setup.trained.authors[author].state for k, author in enumerate(authors)}
    aligned = align_gradients(setup.bench.routed, states, len(authors))

    def score(part: str) -> np.ndarray:
        step = f"gradient alignment, {part}"

        def compute() -> Mapping[str, np.ndarray]:
            return {"scores": aligned.score(read[part], setup.bench.counter(step, read[part].n_tokens))}

        return setup.arrays(step, compute, adapters=authors)["scores"]

    return score("past"), score("test")
