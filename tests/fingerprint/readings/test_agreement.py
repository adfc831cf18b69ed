from __future__ import annotations

import numpy as np
import pytest

from fingerprint import FingerprintError
from fingerprint.readings.agreement import agree, agreements
from fingerprint.readings.answer import answer, summarise
from fingerprint.readings.part import Absence, Part, absences_of, gather, parts_of
from fingerprint.readings.report import AuthorReads
from tests.fingerprint.readings.planted import MATRICES, NULLS, of_matrices, of_tokens, signature

PLACES = tuple(f"layers.0.k{i}" for i in range(20))


def test_a_part_says_what_its_values_are_of():
    with pytest.raises(FingerprintError, match=r"routes/tokens: expected 3 values"):
        Part("routes", "tokens", "nats", ("a", "b", "c"), np.ones(2), (), np.zeros((0, 2)))


def test_what_is_beyond_the_nulls_is_by_hand():
    own, null = np.array([2.0, 4.0]), np.array([[1.0, 2.0], [3.0, 2.0]])
    signed = Part("latents", "latents", "", ("a", "b"), own, ("n", "m"), null, is_signed=True)
    assert signed.beyond().tolist() == [0.0, 2.0]
    assert signed.null_beyond("n").tolist() == [-2.0, 0.0]
    floor = 0.01 * 2.0  # of the nulls' mean over places
    token = Part("routes", "tokens", "", ("a", "b"), own, ("n", "m"), null)
    assert token.beyond().tolist() == [0.0, 2.0]
    size = Part("routes", "matrices", "", ("a", "b"), own, ("n", "m"), null)
    assert size.beyond() == pytest.approx([0.0, np.log((4 + floor) / (2 + floor))])
    assert [values.tolist() for values in size.band] == [[1.0, 2.0], [3.0, 2.0]]


def test_a_habit_at_few_tokens_is_seen():
    """Twenty of a thousand tokens: ranks over all of them would drown it."""
    signal = np.zeros(1_000)
    signal[::50] = 2.0
    (found,) = agreements([of_tokens("routes", signal, 1), of_tokens("latents", signal, 2)])
    assert found.verdict == "agree" and found.is_author_s and found.beyond is not None and found.beyond > 0.5


def test_reads_that_share_a_signal_agree_and_others_do_not():
    rng = np.random.default_rng(0)
    signal = rng.normal(size=len(MATRICES))
    same = agree(of_matrices("routes", signal, 1), of_matrices("edits", signal, 2))
    other = agree(of_matrices("routes", signal, 1), of_matrices("edits", rng.normal(size=len(MATRICES)), 3))
    assert same is not None and same.beyond is not None and same.p_value is not None
    assert same.beyond > 0.8 and same.p_value <= 0.002 and same.n_nulls == len(NULLS)
    assert other is not None and other.p_value is not None and other.p_value > 0.05


def test_opposite_reads_disagree():
    signal = np.random.default_rng(0).normal(size=len(MATRICES))
    (found,) = agreements([of_matrices("routes", signal, 1), of_matrices("edits", -signal, 2)])
    assert found.verdict == "disagree" and not found.is_author_s


def test_large_matrices_are_no_agreement():
    """Any adapter moves some kinds of matrix more: raw values correlate, and nothing is the author's."""
    kinds = np.array([3.0 * (place.endswith("down_proj")) for place in MATRICES])
    (found,) = agreements(
        [of_matrices(read, 0.0 * kinds, seed, kinds) for seed, read in enumerate(("routes", "edits"))]
    )
    assert found.correlation > 0.4 and found.verdict == "not shown"


def test_a_kind_of_matrix_that_both_reads_find_is_no_agreement():
    """Beyond the nulls, and yet only about the kind: permuted within it, chance shows as much."""
    kinds = np.array([3.0 * (place.endswith("down_proj")) for place in MATRICES])
    found = [
        agree(of_matrices("routes", kinds, 2 * i), of_matrices("edits", kinds, 2 * i + 1)) for i in range(20)
    ]
    told = [(one.beyond, one.expected, one.p_value) for one in found if one is not None]
    assert all(own is not None and own > 0.1 for own, _, _ in told)
    assert all(expected is not None and expected > 0.2 for _, expected, _ in told)
    assert sum(p is not None and p <= 0.05 for _, _, p in told) <= 4


def test_under_the_null_p_values_are_uniform():
    rng, found = np.random.default_rng(2), []
    for i in range(100):
        one, two = (
            of_matrices(read, rng.normal(size=len(MATRICES)), 10 * i + j) for j, read in enumerate("ab")
        )
        found.append(agree(one, two))
    p_values = np.array([one.p_value for one in found if one is not None])
    assert 0.0 <= (p_values <= 0.05).mean() <= 0.12 and 0.4 < p_values.mean() < 0.6


def test_runs_of_tokens_are_no_agreement():
    """Neighbours are alike in both reads: turned round, sequences show as much by chance."""
    rng, rejected = np.random.default_rng(3), 0
    slow = [np.zeros(300), np.zeros(300)]
    for i in range(40):
        slow = [np.repeat(rng.normal(size=12), 25) for _ in range(2)]
        found = agree(of_tokens("routes", slow[0], 2 * i), of_tokens("latents", slow[1], 2 * i + 1))
        assert found is not None and found.p_value is not None
        rejected += found.p_value <= 0.05
    assert rejected <= 6
    same = agree(of_tokens("routes", slow[0], 1), of_tokens("latents", slow[0], 2))
    assert same is not None and same.p_value is not None and same.p_value < 0.02
    assert same.shared and all("@" not in word for word in same.shared)


def test_too_few_places_and_missing_nulls_are_not_tested():
    signal = np.arange(len(MATRICES), dtype=float)
    few = of_matrices("routes", signal, 1).at(MATRICES[:7])
    assert agree(few, of_matrices("edits", signal, 2)) is None
    bare = of_matrices("edits", signal, 2, n_nulls=0)
    found = agree(of_matrices("routes", signal, 1), bare)
    assert found is not None and found.verdict == "not tested" and found.p_value is None
    assert found.correlation > 0.8
    alone = [f"model.layers.0.kind{i}" for i in range(9)]  # one matrix of a kind: nothing to permute
    one, two = (of_matrices(read, np.arange(9.0), 1, places=alone) for read in ("routes", "edits"))
    unpermuted = agree(one, two)
    assert unpermuted is not None and unpermuted.verdict == "not tested"


def test_the_signature_gathers_parts_with_their_nulls_and_names_what_is_absent():
    parts = [of_matrices("routes", np.zeros(len(MATRICES)), 1), of_tokens("latents", np.zeros(300), 2)]
    absent = [Absence("edits", "not decomposed yet", "routeprint decompose edit")]
    found = gather(signature(), parts, absent, {"n_tokens": 300})
    assert found.readings["difference_by_route"].shape == (2, 3)  # what the profile read stays
    assert found.null["routes/matrices"].shape == (len(NULLS), len(MATRICES))
    again = parts_of(found)
    assert [part.name for part in again] == ["routes/matrices", "latents/tokens"]
    assert np.array_equal(again[0].null, parts[0].null) and again[1].places == parts[1].places
    assert absences_of(found) == tuple(absent)


def test_the_answer_counts_what_stands_out():
    null = np.random.default_rng(5).uniform(1, 2, size=(3, 20))
    own = np.where(np.arange(20) < 5, 9.0, 1.5)
    part = Part("routes", "matrices", "nats", PLACES, own, NULLS[:3], null)
    found = summarise(part)
    highest = null.max(axis=0)
    assert found.n_above == int((own > highest).sum()) and found.expected_above == 5.0
    assert {place.place for place in found.top[:5]} == set(PLACES[:5])
    assert all(place.is_beyond for place in found.top[:5])
    told = answer("ann", [part], [Absence("edits", "none", "do it")], n_tokens=9, n_commits=2)
    assert told == AuthorReads.model_validate_json(told.model_dump_json())
    assert "No two reads could be compared" in told.statement and told.missing[0].command == "do it"
