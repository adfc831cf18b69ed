"""Influence at checkpoints of a tiny model: what is stored, refused, and zero where nothing differs."""

from __future__ import annotations

import json

import numpy as np
import pytest

from fingerprint.development.config import SamplerConfig
from fingerprint.development.influence import InfluenceError
from fingerprint.development.influence_config import InfluenceConfig
from fingerprint.development.losses import windows_of_length
from fingerprint.development.observables import ROUTES, route_energies
from fingerprint.development.plots import plot_influence
from fingerprint.development.samples import Samples, author_samples, pair_samples
from fingerprint.development.stagewise import LOSSES, read_curves, read_stage, sample_losses
from fingerprint.lm.pair import RoutedModel
from fingerprint.lm.routes import random_routes
from fingerprint.lm.tokens import tokenize_passages
from tests.fingerprint.development.test_samples import commits, few_pairs

CONFIG = InfluenceConfig(
    sampler=SamplerConfig(
        n_chains=2, n_draws=12, burn_in=2, gradient_batches=2, curvature_rounds=2, n_beta=50.0, gamma=1000.0
    ),
    n_sequences=12, sequence_tokens=64, n_train=8, batch_rows=2, n_shuffles=50, blocks_per_chain=3,
)  # fmt: skip


def test_a_base_is_read_by_groups_and_its_matrix_is_a_correlation(tiny_base, tmp_path):
    samples = pair_samples(tiny_base, few_pairs(6), CONFIG)
    train = windows_of_length(tiny_base, commits("ann", 30), 16)
    trace = sample_losses(tiny_base, train, samples, CONFIG, label="1")
    assert trace.of(LOSSES).shape == (2, 12, 12)
    stage = read_stage(trace, train, samples, CONFIG, 1, 100)
    assert [(g.source, g.target) for g in stage.groups] == [
        ("correct", "correct"), ("correct", "incorrect"), ("incorrect", "incorrect"),
    ]  # fmt: skip
    assert stage.contrast is not None
    assert stage.contrast.difference.value > 0  # a program shares most tokens with its own mutant
    assert np.allclose(np.diag(stage.R), 1)
    assert np.allclose(stage.R, stage.R.T)
    assert json.loads(json.dumps(stage.to_json()))["groups"][0]["bif"]["n_parts"] == 6
    again = sample_losses(tiny_base, train, samples, CONFIG, label="1")
    assert np.array_equal(again.of(LOSSES), trace.of(LOSSES))
    later = read_stage(trace, train, samples, CONFIG, 4, 400)
    curves = read_curves([stage, later, later])
    assert [curve.flips for curve in curves] == [(), (), ()]
    assert all(curve.monotone is not None and curve.monotone.p_value > 0.05 for curve in curves)
    plot_influence([stage, later], tmp_path / "x.svg", "tiny")
    assert "normalised BIF" in (tmp_path / "x.svg").read_text()


@pytest.fixture
def routed(tiny_base) -> RoutedModel:
    return RoutedModel(tiny_base, random_routes(tiny_base, 4, seed=1))


def author_world(routed: RoutedModel) -> tuple[list, Samples]:
    own = commits("ann", 12, 1)
    return tokenize_passages(routed.base, own, 64), author_samples(
        routed.base, own, commits("bob", 8, 1), CONFIG
    )


def test_an_adapter_alone_moves_and_its_sites_are_read(routed):
    train, samples = author_world(routed)
    before = {name: w.clone() for name, w in routed.base.model.named_parameters()}
    observe = route_energies(routed, train[:2])
    trace = sample_losses(routed, train, samples, CONFIG, label="2", also=observe)
    assert all((w == before[name]).all() for name, w in routed.base.model.named_parameters())
    assert not any(b.any() for b in routed.weights().values())  # and comes back as it was
    stage = read_stage(trace, train, samples, CONFIG, 2, None)
    assert stage.contrast is None
    assert stage.on_observables[ROUTES].shape == (len(samples.names), len(routed.sites))
    assert stage.groups[1].target == "team"


def test_memorising_commits_are_refused(routed):
    train, samples = author_world(routed)
    trace = sample_losses(routed, train, samples, CONFIG, label="2")
    strict = CONFIG.model_copy(update={"most_self_effect": 1e-12})
    with pytest.raises(InfluenceError, match="step 7"):
        read_stage(trace, train, samples, strict, 7, None)


def test_no_stage_no_curve():
    assert read_curves([]) == ()
