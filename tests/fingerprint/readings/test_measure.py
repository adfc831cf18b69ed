"""The base reads zero in every part, nulls are read by the same lines, and totals agree with other code."""

from __future__ import annotations

import numpy as np
import pytest

from fingerprint import FingerprintError
from fingerprint.attribution.config import AttributionConfig
from fingerprint.attribution.nodes import NodeSpace
from fingerprint.attribution.question import ask
from fingerprint.lm.pair import ModelPair
from fingerprint.lm.tokens import tokenize_passages
from fingerprint.passage import Passage
from fingerprint.readings.measure import (
    Text,
    read_alive_sets,
    read_attribution,
    read_edits,
    read_latents,
    read_routes,
    read_spectrum,
)
from fingerprint.routing.contributions import measure_contributions
from fingerprint.vpd.alive_set import compare_alive_sets
from fingerprint.vpd.config import AliveSetConfig, VpdConfig
from fingerprint.vpd.language import decompose_edit
from fingerprint.vpd.targets import edit_target

BRIEF = VpdConfig.tiny().model_copy(
    update={"steps": 2, "rows": 2, "row_tokens": 16, "gate_width": 8, "pgd_steps": (0,)}
)


@pytest.fixture(scope="module")
def read(routed, text) -> Text:
    return Text.of(routed.base, text)


def test_places_are_the_scored_tokens_in_order(routed, text, read):
    rows = tokenize_passages(routed.base, text)
    assert read.n_tokens == sum(row.n_scored for row in rows) and read.n_commits == 8
    assert read.places[0].endswith("@0") and read.places[-1].endswith(f"@{read.n_tokens - 1}")
    seen = np.concatenate([places for _, places in read.batches(routed.device)])
    assert sorted(seen.tolist()) == list(range(read.n_tokens))
    for batch, places in read.batches(routed.device):
        ids = batch.ids[batch.scored].tolist()
        names = [read.places[p].rpartition("@")[0] for p in places]
        assert [routed.base.token_text(i) for i in ids] == names


def test_without_a_mark_there_is_nothing_to_read(routed):
    with pytest.raises(FingerprintError, match="no marked token"):
        Text.of(routed.base, [Passage("x = 1\n", (), "a.py", "python")])


def test_the_base_reads_zero_everywhere(routed, latents, dictionary, read):
    zero = {"ann": routed.zero_weights(), "null": routed.zero_weights()}
    parts = [
        *read_routes(routed, routed.zero_weights(), zero, read), read_spectrum(routed, zero),
        *read_latents(latents, routed, zero, read), *read_alive_sets(dictionary, zero, read),
    ]  # fmt: skip
    assert {part.read for part in parts} == {"routes", "spectrum", "latents", "alive sets"}
    assert all(not part.own.any() and not part.null.any() and part.null_names == ("null",) for part in parts)


def test_the_author_as_null_reads_the_same(routed, latents, dictionary, read, state):
    both = {"ann": state(1), "null": state(1)}
    start = routed.zero_weights()
    parts = [
        *read_routes(routed, start, both, read), *read_latents(latents, routed, both, read),
        *read_alive_sets(dictionary, both, read), read_spectrum(routed, both),
    ]  # fmt: skip
    assert all(part.own.any() and np.array_equal(part.own, part.null[0]) for part in parts)
    assert all(not part.beyond().any() for part in parts)


def test_routes_bound_the_passages_contributions(routed, text, read, state):
    """Sums of |site| by token are at least |the sum over tokens| that measure_contributions has."""
    start, end = routed.zero_weights(), state(2)
    matrices, tokens = read_routes(routed, start, {"ann": end}, read)
    assert matrices.own.sum() * read.n_tokens == pytest.approx(tokens.own.sum())
    rows = tokenize_passages(routed.base, text)
    found = measure_contributions(ModelPair(routed, start, end), text, rows, n_points=2)
    assert (matrices.own * read.n_tokens >= np.abs(found.by_route.sum(axis=(0, 2))) - 1e-5).all()


def test_alive_sets_are_those_of_the_diff(routed, text, dictionary, read, state):
    end = state(3)
    config = AliveSetConfig(n_flips=99, n_draws=10, least_events=1, least_clusters=1)
    diff = compare_alive_sets(ModelPair(routed, routed.zero_weights(), end), dictionary, text, config=config)
    matrices, _, components = read_alive_sets(dictionary, {"ann": end}, read)
    counts = [row.n_components for row in diff.change.matrices]
    assert matrices.own / counts == pytest.approx(
        [row.mean_absolute_change for row in diff.change.matrices], rel=1e-6
    )
    change = dict(zip(components.places, components.own, strict=True))
    for one in diff.components:
        assert change[f"{one.matrix}:{one.component}"] == pytest.approx(one.change, abs=1e-9)


def test_singular_values_are_those_of_the_whole_matrix(routed, state):
    import torch

    weights = state(4)
    found = read_spectrum(routed, {"ann": weights})
    site = found.places[0]
    whole = routed.scale * weights[site] @ routed.routes.A[site]
    assert found.own[0] == pytest.approx(float(torch.linalg.svdvals(whole)[0]), rel=1e-4)


def test_edits_are_silent_where_there_is_no_edit(routed, text, read, state):
    runs = {
        name: (edit_target(routed, weights), decompose_edit(routed, weights, [(1.0, text)], text[:2], BRIEF))
        for name, weights in (("ann", state(5)), ("null", routed.zero_weights()))
    }
    matrices, tokens = read_edits(runs, read)
    assert matrices.own.sum() * read.n_tokens == pytest.approx(tokens.own.sum())
    assert matrices.own.any() and not matrices.null.any() and not tokens.null.any()


def test_attribution_sums_nodes_by_matrix(routed, state):
    question = ask(routed.base, "def add(first", ",")
    start = routed.zero_weights()

    def space_of(weights):
        return NodeSpace.of_routes(ModelPair(routed, start, weights), "")

    config = AttributionConfig(n_steps=4, most_steps=4)
    states = {"ann": state(6), "null": start}
    found = read_attribution(space_of, states, [question, question], config)
    assert found.places == tuple(routed.sites) and found.own.any() and not found.null.any()
    once = read_attribution(space_of, states, [question], config)
    assert found.own == pytest.approx(once.own)
