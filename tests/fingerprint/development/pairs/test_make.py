"""Pairs made of tasks: killed, balanced, the same for a seed."""

from __future__ import annotations

from collections import Counter

import pytest

from fingerprint.development.pairs.make import PairConfig, PairError, digest_pairs, make_pairs
from fingerprint.development.pairs.prove import run_tests
from fingerprint.development.pairs.store import HEADER, Pair, PairSet, StoredPairsError, pair_passages
from fingerprint.development.pairs.task import Task, load_bank
from fingerprint.lm.load import load_base
from fingerprint.lm.tokens import tokenize_passages

FEW = PairConfig(per_task=2, trials=4)


def tasks(*names: str) -> list[Task]:
    return [task for task in load_bank() if task.name in names]


@pytest.fixture(scope="module")
def made() -> PairSet:
    return make_pairs(tasks("clamp", "overlap", "dedupe"), FEW)


def test_every_pair_is_told_apart_by_its_tests(made):
    assert len(made.pairs) == 6
    by_name = {f"bank/{task.name}": task for task in load_bank()}
    for pair in made.pairs[:3]:
        tests = by_name[pair.task].tests
        assert run_tests(pair.correct, tests).verdict == "passes"
        assert run_tests(pair.incorrect, tests).is_killed


def test_operators_are_balanced(made):
    assert max(Counter(pair.operator for pair in made.pairs).values()) <= 2
    assert sum(tally.kept for tally in made.tallies) == 6
    assert sum(tally.tried for tally in made.tallies) == 12
    assert all(t.killed + t.survived + t.no_import == t.tried for t in made.tallies)


def test_a_seed_makes_the_same_pairs_and_another_makes_others(made):
    assert make_pairs(tasks("clamp", "overlap", "dedupe"), FEW) == made
    other = FEW.model_copy(update={"seed": 1})
    assert digest_pairs(tasks("clamp"), other) != digest_pairs(tasks("clamp"), FEW)
    assert [p.incorrect for p in make_pairs(tasks("dedupe"), other).pairs] != [
        p.incorrect for p in made.pairs if p.task == "bank/dedupe"
    ]


def test_survivors_and_tasks_that_fail_themselves_are_left_out():
    lax = Task("lax", "own", "def lax(a, b):\n    return a < b\n", "assert lax(1, 2)\n")
    wrong = Task("wrong", "own", "def wrong(a):\n    return a\n", "assert wrong(1) == 2\n")
    found = make_pairs([lax, wrong], FEW)
    assert found.refused == ("own/wrong",)
    assert sum(tally.survived for tally in found.tallies) >= 1  # <= passes lax's only test
    assert all("<=" not in pair.incorrect for pair in found.pairs)
    with pytest.raises(PairError, match="do not pass: own/wrong"):
        make_pairs([wrong], FEW)


def test_pairs_come_back_as_they_were_stored(made, tmp_path):
    made.save(tmp_path)
    assert PairSet.load(tmp_path) == made
    (tmp_path / "pairs.json").write_text('{"format": 99}')
    with pytest.raises(StoredPairsError, match="format 99"):
        PairSet.load(tmp_path)
    with pytest.raises(StoredPairsError, match="No readable pairs"):
        PairSet.load(tmp_path / "none")


def test_passages_mark_the_program_or_the_change(made):
    for scored in ("program", "change"):
        for side in pair_passages(made.pairs, scored):
            assert all(passage.marked.strip() for passage in side)
    right, wrong = (
        "def f(a, b):\n    if a < b:\n        return a\n",
        "def f(a, b):\n    if a <= b:\n        return a\n",
    )
    pair = Pair("own/f", "boundary", right, wrong, (22, 23), (22, 24), 1, "not true", 1, 2, True)
    (first,), (second,) = pair_passages([pair], "change")
    assert (first.marked, second.marked) == ("< b:\n", "<= b:\n")
    (first,), (second,) = pair_passages([pair])
    assert (HEADER + first.marked, HEADER + second.marked) == (first.text, second.text)
    assert first.group == second.group == "own/f"


def test_a_deletion_marks_what_follows_it_or_the_last_line():
    right, wrong = "def f(a):\n    a = 1\n    return a\n", "def f(a):\n    return a\n"
    pair = Pair("own/f", "deleted statement", right, wrong, (14, 24), (14, 14), 4, "not true", 1, 2, False)
    (first,), (second,) = pair_passages([pair], "change")
    assert (first.marked.lstrip(), second.marked) == ("a = 1\n    return a\n", "return a\n")
    end = Pair(
        "own/f",
        "deleted statement",
        right,
        "def f(a):\n    a = 1\n",
        (24, 33),
        (20, 20),
        3,
        "raises",
        1,
        1,
        False,
    )
    assert pair_passages([end], "change")[1][0].marked == "    a = 1\n"


def test_where_only_brackets_are_left_of_a_line_those_before_are_scored_too():
    right, wrong = "def f(a):\n    return g(set(), a + 1)\n", "def f(a):\n    return g(set())\n"
    pair = Pair("own/f", "dropped argument", right, wrong, (28, 35), (28, 28), 3, "not true", 1, 2, True)
    (first,), (second,) = pair_passages([pair], "change")
    assert (first.marked, second.marked) == (", a + 1)\n", "())\n")
    rows = tokenize_passages(load_base("starter"), [first, second])
    assert all(row.n_scored for row in rows)


@pytest.mark.slow
def test_the_bank_gives_two_hundred_pairs_of_many_operators():
    found = make_pairs(load_bank(), PairConfig())
    assert found.refused == ()
    assert len(found.pairs) >= 200
    assert sum(pair.is_subtle for pair in found.pairs) >= 150
    counts = Counter(pair.operator for pair in found.pairs)
    assert len(counts) >= 15
    assert min(counts.values()) >= 8
    assert max(counts.values()) <= 30
