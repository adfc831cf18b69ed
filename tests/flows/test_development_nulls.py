"""Shuffled authors beside an author's transient structure and susceptibility, read in the same way."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fingerprint.development.config import SamplerConfig, SusceptibilityConfig
from service.flows.development.record import Recording, record_author, record_nulls
from service.flows.development.shifts import AUTHOR, TEAM, gather_texts
from service.flows.development.sources import recorded_series
from service.flows.development.susceptibility import Sampling, measure_nulls, measure_susceptibility
from service.flows.development.transient import measure_author
from service.flows.opened import OpenedProfile

ANN = "human:ann-other"
SAMPLER = SamplerConfig(
    n_chains=2,
    n_draws=20,
    burn_in=1,
    gradient_batches=2,
    curvature_rounds=2,
    gamma=1e4,
    preconditioner="none",
)
CONFIG = SusceptibilityConfig(
    sampler=SAMPLER, train_windows=2, windows=8, window_tokens=64, batch_rows=2, n_nulls=9, n_blocks=4
)


@pytest.fixture(scope="module")
def nulls(opened: OpenedProfile) -> tuple[Recording, ...]:
    record_author(opened, ANN, 3)
    return record_nulls(opened, 1, 3)


def test_a_shuffled_author_lies_in_the_same_plane_on_the_same_probe(
    opened: OpenedProfile, nulls: tuple[Recording, ...], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("service.flows.development.transient.PROBE_TOKENS", 1_200)
    monkeypatch.setattr("service.flows.development.transient.MEMORY_TOKENS", 200)
    found = measure_author(opened, ANN, nulls)
    own, null = found.runs
    assert (own.name, null.name) == (ANN, "shuffled 1")
    assert own.references == null.references  # one probe, one basis
    assert own.losses[0] == null.losses[0]  # both start at the base
    assert own.losses[-1] != null.losses[-1]


def test_a_shuffled_author_answers_to_the_same_data_sets(
    opened: OpenedProfile, nulls: tuple[Recording, ...], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("service.flows.development.shifts.LIBRARY_TOKENS", 2_000)
    bench = opened.bench
    assert bench.record is not None
    sampling = Sampling(CONFIG, bench.store, bench.report)
    texts = gather_texts(opened, ANN, None)
    found = measure_susceptibility(recorded_series(opened, ANN, 2), texts, sampling)
    found = replace(found, nulls=measure_nulls(opened, nulls, texts, 2, sampling))
    (null,) = found.nulls
    assert [len(one.responses) for one in (found, null)] == [2, 2]
    assert null.tokens == found.tokens  # the very same texts are shifted to
    first, other = found.responses[0], null.responses[0]
    assert {AUTHOR, TEAM} <= set(first.sets) and first.components == other.components
    assert first.trace.at_star["loss"] != other.trace.at_star["loss"]  # but another training text
    assert np.isfinite(other.contrast(AUTHOR, TEAM).z).all()
