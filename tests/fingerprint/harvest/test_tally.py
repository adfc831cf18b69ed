from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from scipy import sparse, stats

from fingerprint.harvest.summary import background_tables, component_tables, pmi
from fingerprint.harvest.tally import together
from tests.fingerprint.harvest.conftest import (
    ALWAYS,
    BEFORE_FIVE,
    CONFIG,
    NEVER,
    ON_THREE,
    SINK,
    HandMade,
    tallied,
)


def test_counts_of_a_hand_made_corpus(corpus):
    tally = tallied([corpus])
    assert (tally.n_counted, tally.n_followed, tally.n_windows) == (11, 8, 4)
    assert tally.firings.tolist() == [0, 5, 3, 11, 0]  # position 0 is no counted token
    assert tally.at_first.tolist() == [4, 0, 0, 0, 0]
    assert tally.tokens.tolist() == [0, 3, 1, 5, 0, 2, 0, 0]
    # next tokens: 1 5 | 5 | 3 1 5 | 3 3; the last token of a window has none
    assert tally.next_tokens.tolist() == [0, 2, 0, 3, 0, 3, 0, 0]
    assert tally.inputs.toarray()[ON_THREE].tolist() == [0, 0, 0, 5, 0, 0, 0, 0]
    assert tally.inputs.toarray()[BEFORE_FIVE].tolist() == [0, 2, 0, 1, 0, 0, 0, 0]
    assert tally.outputs.toarray()[BEFORE_FIVE].tolist() == [0, 0, 0, 0, 0, 3, 0, 0]
    assert tally.pairs.toarray()[ON_THREE].tolist() == [0, 5, 1, 5, 0]
    assert tally.strength[ON_THREE] == 5 * 2**19


@pytest.mark.parametrize("share", [0.01, 0.6])
def test_pairs_are_counted_alike_whether_little_fires_or_much(share):
    fires = np.random.default_rng(0).random((50, 40)) < share
    expected = [[int((fires[:, a] & fires[:, b]).sum()) for b in range(40)] for a in range(40)]
    found = together(sparse.csr_array(fires.astype(np.int64)), 40)
    assert found.toarray().tolist() == expected
    assert found.dtype == np.int64


def test_pmi_and_its_order(corpus):
    found = component_tables(tallied([corpus]))
    # BEFORE_FIVE fires 3 times of 11 tokens; twice on token 1 (3 of 11), once on token 3 (5 of 11)
    assert found["input_tokens"][BEFORE_FIVE].tolist() == [1, -1, -1]  # on 3 it fires less than by chance
    assert found["input_pmi"][BEFORE_FIVE, 0] == pytest.approx(math.log(2 * 11 / (3 * 3)))
    # outputs are counted where there is a next token: 3 of 8 times
    assert found["output_tokens"][BEFORE_FIVE].tolist() == [5, -1, -1]
    assert found["output_pmi"][BEFORE_FIVE, 0] == pytest.approx(math.log(3 * 8 / (3 * 3)))
    assert found["input_tokens"][ALWAYS].tolist() == [-1, -1, -1]  # what fires always tells nothing
    assert found["partners"][ON_THREE].tolist() == [ALWAYS, BEFORE_FIVE]  # 5 / 11 against 1 / 7
    assert found["partner_counts"][ON_THREE].tolist() == [5, 1]
    assert (found["input_tokens"][[SINK, NEVER]] == -1).all()
    assert pmi(np.array([4]), 8, np.array([4]), 16)[0] == pytest.approx(math.log(2))


def test_any_chunks_in_any_order_give_the_same(corpus):
    rng = np.random.default_rng(0)
    corpus = corpus + [HandMade.of(*rng.integers(1, 8, rng.integers(2, 9))) for _ in range(60)]
    whole = tallied([corpus])
    expected = component_tables(whole) | background_tables(whole)
    for _ in range(5):
        order = [corpus[i] for i in rng.permutation(len(corpus))]
        cuts = [0, *sorted(rng.choice(np.arange(1, len(order)), 4, replace=False)), len(order)]
        other = tallied([order[a:b] for a, b in pairwise(cuts)])
        found = component_tables(other) | background_tables(other)
        assert found.keys() == expected.keys()
        for name, table in expected.items():
            np.testing.assert_array_equal(found[name], table, err_msg=name)


def test_examples_are_windows_around_firings(corpus):
    found = component_tables(tallied([corpus]))
    shown = {tuple(row) for row in found["example_tokens"][BEFORE_FIVE].tolist() if row[2] >= 0}
    assert shown == {(-1, 3, 1, 5, -1), (-1, -1, 3, 5, -1), (2, 3, 1, 5, -1)}
    assert (found["example_tokens"][ON_THREE][:, 2] == 3).sum() == 4  # of five firings, as many as are kept
    assert found["example_strength"][ON_THREE].tolist() == [0.5] * 4
    assert (found["example_tokens"][NEVER] == -1).all()


def test_a_window_read_twice_is_one_example():
    found = component_tables(tallied([[HandMade.of(1, 3)] * 3, [HandMade.of(1, 3)]]))
    assert found["firings"][ON_THREE] == 4
    assert (found["example_strength"][ON_THREE] > 0).sum() == 1


def test_examples_are_a_uniform_sample():
    """Every firing is as likely to be kept, over seeds."""
    corpus = [HandMade.of(3, *[1] * (1 + i)) for i in range(20)]
    kept = np.zeros(20)
    for seed in range(300):
        config = CONFIG.model_copy(update={"seed": seed, "radius": 25})
        rows = component_tables(tallied([corpus], config))["example_tokens"][ON_THREE]
        for row in rows:
            kept[(row >= 0).sum() - 2] += 1
    assert kept.sum() == 300 * 4
    assert stats.chisquare(kept).pvalue > 0.001


def test_the_background_says_what_fires(corpus):
    drawn = background_tables(tallied([corpus]))
    assert len(drawn["background_tokens"]) == 6
    for i, row in enumerate(drawn["background_tokens"]):
        a, b = drawn["background_offsets"][i : i + 2]
        fired = set(drawn["background_components"][a:b].tolist())
        assert ALWAYS in fired and SINK not in fired
        assert (ON_THREE in fired) == (row[2] == 3)
        assert (BEFORE_FIVE in fired) == (row[3] == 5)
