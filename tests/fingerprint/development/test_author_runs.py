"""The author form on a tiny base: references that are what they claim, and the model left as it was."""

from __future__ import annotations

import numpy as np
import torch

from fingerprint.config import AdapterConfig
from fingerprint.development.author_runs import (
    BASE,
    MEMORY,
    NGRAMS,
    TEAM,
    ProbeWindows,
    ngram_log_probs,
    probe_author,
    read_references,
)
from fingerprint.development.checkpoints import state_series
from fingerprint.lm.pair import RoutedModel, scored_log_probs
from fingerprint.lm.routes import random_routes
from fingerprint.lm.tokens import tokenize_passages
from fingerprint.passage import Passage


def windows(base, *texts: str):
    return tokenize_passages(base, [Passage(t, ((0, len(t)),), "a.py", "Python") for t in texts])


def test_a_recorded_training_lies_between_its_references(tiny_base):
    routed = RoutedModel(tiny_base, random_routes(tiny_base, 2, 0))
    team = {site: 0.1 * torch.ones_like(b) for site, b in routed.weights().items()}
    states = {0: team, 5: {site: 2 * b for site, b in team.items()}}
    series = state_series(routed, states, {0: 0, 5: 50})
    text = "def add(first, second):\n    return first + second\n"
    probe = ProbeWindows(
        own=windows(tiny_base, text), others=windows(tiny_base, "x = [1, 2]\n", "y = {}\n"),
        train=windows(tiny_base, text * 2),
    )  # fmt: skip
    before = routed.weights()
    config = AdapterConfig(learning_rate=1e-2)
    references = read_references(routed, probe, team, config)
    run = probe_author(routed, series, probe, references, "ada")
    assert all(torch.equal(before[site], b) for site, b in routed.weights().items())
    assert set(run.references) == {BASE, TEAM, MEMORY, NGRAMS} and run.losses.shape == (2, 2)
    np.testing.assert_allclose(run.trajectory.outputs[0], run.references[TEAM], rtol=1e-6)
    own = probe.own[0].n_scored
    bare = np.concatenate(scored_log_probs(routed, [*probe.own, *probe.others]))
    np.testing.assert_allclose(run.references[BASE], bare, rtol=1e-6)
    assert run.references[MEMORY][:own].mean() > run.references[TEAM][:own].mean()  # known by heart
    np.testing.assert_allclose(
        run.losses[0, 0], -run.trajectory.outputs[0, own : own + probe.others[0].n_scored].mean()
    )


def test_ngrams_know_what_they_have_read_and_give_every_scored_token_a_probability(tiny_base):
    read = windows(tiny_base, "def add(first, second):\n    return first\n" * 8)
    other = windows(tiny_base, "zebra ** 77\n")
    known, unknown = ngram_log_probs(read, read), ngram_log_probs(read, other)
    assert len(known) == sum(w.n_scored for w in read) and (known <= 0).all()
    assert known.mean() > unknown.mean() + 1
    assert np.isfinite(unknown).all()
