from __future__ import annotations

import numpy as np
import pytest
import torch

from fingerprint.evaluation.pair_readings import ngram_directions, pair_leans, training_directions
from fingerprint.evaluation.pairs import compare_sides, lean_test, match_pairs
from fingerprint.lm.pair import RoutedModel, add_weights
from fingerprint.lm.routes import random_routes
from fingerprint.lm.tokens import mean_loss, pad_batch, tokenize_passages
from fingerprint.passage import Passage, passage_from_lines

SHAPES = (
    ("def {a}({b}):", "    {c} = {a}({b})", "    return {c}", "", "if {b} > 1:", "    {a}({b})"),
    ("for {a} in {b}:", "    print({a}, {b})", "    yield {a}.{c}", "else:", "    raise {b}({c})"),
    ("with {a}({b}) as {c}:", "    {c}.{a} = {b}[1]", "    assert {c}", "    del {c}", "import {a}"),
)


def hunk(author: str, shape: int, number: int, *, commit: str | None = None, when: float = 0.0) -> Passage:
    """One of three shapes, in names of the author's own; all names are of one length class."""
    names = {
        "ann": ("load", "path", "conf"),
        "bob": ("pull", "opts", "resu"),
        "cy": ("grab", "args", "answ"),
    }
    a, b, c = (f"{name}{number}" for name in names[author])
    lines = [(True, line.format(a=a, b=b, c=c)) for line in SHAPES[shape]]
    return passage_from_lines(
        lines, path=f"{author}{number}.py", language="python", author=author,
        group=commit or f"{author}-{number}", written_at=when,
    )  # fmt: skip


def test_hunks_are_matched_by_shape_across_authors():
    code = [hunk("ann", 0, 1), hunk("ann", 1, 2), hunk("bob", 0, 3), hunk("bob", 1, 4), hunk("ann", 0, 5)]
    found = match_pairs(code)
    assert [pair.likeness for pair in found.pairs] == [1.0, 1.0]
    for pair in found.pairs:
        first, second = found.passages[pair.first], found.passages[pair.second]
        assert (first.author, second.author) == ("ann", "bob")
        assert len(first.marked.splitlines()) == len(second.marked.splitlines())
    assert found.names == ("ann / bob",)
    assert len({side for pair in found.pairs for side in (pair.first, pair.second)}) == 4
    own = match_pairs([hunk("ann", 0, 1, when=5.0), hunk("ann", 0, 2, when=2.0)], same_author=True)
    assert [own.passages[side].written_at for side in (own.pairs[0].first, own.pairs[0].second)] == [2.0, 5.0]


def test_copies_other_shapes_and_short_hunks_are_no_pairs():
    copy = hunk("ann", 0, 1)
    other = Passage(copy.text, copy.spans, "b.py", "python", "c", "bob")
    assert len(match_pairs([copy, other])) == 0
    assert len(match_pairs([hunk("ann", 0, 1), hunk("bob", 1, 2)])) == 0
    assert len(match_pairs([hunk("ann", 0, 1), hunk("bob", 0, 2)], least_shingles=500)) == 0
    assert len(match_pairs([])) == 0


def test_pairs_that_share_a_commit_are_one_cluster():
    code = [
        hunk("ann", 0, 1, commit="x"), hunk("bob", 0, 2), hunk("ann", 1, 3, commit="x"), hunk("bob", 1, 4),
        hunk("ann", 2, 5), hunk("bob", 2, 6),
    ]  # fmt: skip
    found = match_pairs(code)
    assert len(found) == 3
    assert len(set(found.cluster.tolist())) == 2


def matched(n: int, seed: int = 0):
    rng = np.random.default_rng(seed)
    code = [hunk("ann", int(s), i) for i, s in enumerate(rng.integers(0, 3, n))]
    code += [hunk("bob", int(s), 100 + i) for i, s in enumerate(rng.integers(0, 3, n))]
    return match_pairs(code)


def test_planted_sides_are_told_and_no_sides_are_not():
    found = matched(30)
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(len(found.passages), 40))
    is_ann = np.array([passage.author == "ann" for passage in found.passages])
    planted = noise + np.where(is_ann, 2.0, -2.0)[:, None] * np.eye(40)[0]
    right = compare_sides(found, planted, n_flips=999)
    assert right is not None
    assert right.told > 0.9 and right.told_p == 0.001 and right.agreement_p == 0.001
    assert right.agreement > 5
    # over repeats without sides: p-values at .05 are no more frequent than that
    below = 0
    for seed in range(60):
        drawn = compare_sides(
            found, np.random.default_rng(seed).normal(size=noise.shape), n_flips=199, seed=seed
        )
        assert drawn is not None
        below += drawn.agreement_p <= 0.05
    assert below <= 8  # Binomial(60, .05): above 8 in 0.3 % of cases


def test_a_lone_pair_is_told_by_nothing():
    found = match_pairs([hunk("ann", 0, 1), hunk("bob", 0, 2)])
    assert compare_sides(found, np.eye(2)) is None
    several = matched(10)
    assert compare_sides(several, np.ones((len(several.passages), 3))) is None  # all hunks alike


def test_leans_flip_by_clusters():
    share, mean, p = lean_test(np.array([1.0, 2.0, 1.0, 1.0]), np.array([0, 1, 2, 3]), n_flips=9_999)
    assert (share, mean) == (1.0, 1.25)
    assert p == pytest.approx(1 / 16, abs=0.01)
    assert lean_test(np.ones(40), np.zeros(40, int), n_flips=999)[2] == pytest.approx(0.5, abs=0.05)


def test_directions_are_gradients_of_the_text_s_log_probability(tiny_base):
    """Against autograd, and an adapter of one gradient step favours its author's hunk."""
    routed = RoutedModel(tiny_base, random_routes(tiny_base, 2, 0))
    code = [hunk("ann", 0, 1), hunk("bob", 0, 2)]
    zero = routed.zero_weights()
    found = training_directions(routed, zero, code)
    expected = []
    for passage in code:
        (window,) = tokenize_passages(tiny_base, [passage])
        with routed.at(zero, zero, 0.0):
            loss = mean_loss(routed.model, pad_batch([window], [0]))
            gradients = torch.autograd.grad(-loss * window.n_scored, list(routed.parameters.values()))
        expected.append(torch.cat([g.T.flatten() for g in gradients]).numpy())
    np.testing.assert_allclose(found, np.stack(expected), rtol=1e-3, atol=1e-4)

    pairs = match_pairs(code)
    order = [code.index(passage) for passage in pairs.passages]
    states = {}
    for author, row in zip(("ann", "bob"), found[order], strict=True):
        step, start = {}, 0
        for site, b in zero.items():
            step[site] = torch.from_numpy(row[start : start + b.numel()]).reshape(b.shape[::-1]).T * 0.01
            start += b.numel()
        states[author] = add_weights(zero, step)
    leans = pair_leans(routed, states, pairs)
    swapped = pair_leans(routed, {"ann": states["bob"], "bob": states["ann"]}, pairs)
    assert leans[0] > 0
    assert swapped[0] == pytest.approx(-leans[0], rel=1e-4)
    assert pair_leans(routed, {"ann": states["ann"], "bob": states["ann"]}, pairs)[0] == 0
    assert pair_leans(routed, {"ann": states["ann"]}, pairs) == {}


def test_n_grams_see_names():
    found = matched(20)
    told = compare_sides(found, ngram_directions(found.passages), n_flips=199)
    assert told is not None and told.told == 1.0 and told.told_p == 0.005
