"""What is observed: whole pairs, whole commits, and who they belong to."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from fingerprint.development.influence_config import InfluenceConfig
from fingerprint.development.pairs.store import Pair
from fingerprint.development.samples import SamplesError, author_samples, pair_samples
from fingerprint.passage import Passage, passage_from_lines


def pair(task: str, right: str, wrong: str, *, is_subtle: bool = True) -> Pair:
    at = next(i for i, (a, b) in enumerate(zip(right, wrong, strict=False)) if a != b)
    return Pair(task, "boundary", right, wrong, (at, at + 1), (at, at + 1), 1, "not true", 1, 3, is_subtle)


def few_pairs(n: int) -> list[Pair]:
    return [
        pair(f"own/t{i}", f"def t{i}(a):\n    return a + {i}\n", f"def t{i}(a):\n    return a - {i}\n")
        for i in range(n)
    ]


def test_pairs_are_whole_and_in_one_order_on_both_sides(tiny_base):
    long = pair("own/long", "def f(a):\n" + "    a = a + 1\n" * 60, "def f(a):\n" + "    a = a - 1\n" * 60)
    blunt = pair("own/blunt", "x = 1\n", "x = 2\n", is_subtle=False)
    pairs = [long, blunt, *few_pairs(6), few_pairs(1)[0]]
    found = pair_samples(tiny_base, pairs, InfluenceConfig(n_sequences=14, sequence_tokens=96))
    assert len(found.names) == 14
    assert found.names[:7] == found.names[7:]
    assert not any("long" in name or "blunt" in name for name in found.names)
    assert found.group.tolist() == [0] * 7 + [1] * 7
    assert found.unit[:7].tolist() == found.unit[7:].tolist()
    assert found.unit[0] == found.unit[6]  # two mutants of one task are one unit
    assert len(found.windows) == 14
    assert found.of(1).tolist() == list(range(7, 14))


def test_scoring_the_change_leaves_fewer_tokens(tiny_base):
    whole, change = (
        pair_samples(
            tiny_base, few_pairs(5), InfluenceConfig(n_sequences=10, sequence_tokens=96, scored=scored)
        )
        for scored in ("program", "change")
    )
    assert np.all(change.tokens_by_sample < whole.tokens_by_sample)
    assert np.all(change.tokens_by_sample > 0)


def test_too_few_pairs_are_refused(tiny_base):
    with pytest.raises(SamplesError, match="at least 4 pairs of at most 96 tokens, got 3"):
        pair_samples(tiny_base, few_pairs(3), InfluenceConfig(sequence_tokens=96))


def commits(whose: str, n: int, n_hunks: int = 2) -> list[Passage]:
    return [
        passage_from_lines(
            [(False, "import os"), (True, f"value_{i} = {i}"), (True, f"print(value_{i} + {h})")],
            path="a.py", language="Python", group=f"{whose}-{i}", author=whose, written_at=float(i),
            first_line=h + 1,
        )
        for i in range(n) for h in range(n_hunks)
    ]  # fmt: skip


def test_commits_are_taken_whole_and_evenly_over_time(tiny_base):
    config = InfluenceConfig(n_sequences=16, sequence_tokens=64)
    found = author_samples(tiny_base, commits("ann", 20), commits("bob", 10), config)
    assert Counter(found.group.tolist()) == {0: 4, 1: 4}  # eight windows of two each
    assert found.names[0] == "ann-0"
    assert found.names[3] == "ann-19"
    assert Counter(found.sample_of.tolist()) == dict.fromkeys(range(8), 2)
    assert len(set(found.unit.tolist())) == 8
    assert found.tokens_by_sample.sum() == found.n_tokens.sum()
    assert all(not window.scored[:2].any() for window in found.windows)  # context is read, not scored


def test_too_few_commits_are_refused(tiny_base):
    with pytest.raises(SamplesError, match="commits of the team to observe, got 2"):
        author_samples(tiny_base, commits("ann", 9), commits("bob", 2), InfluenceConfig(sequence_tokens=64))
