import json

import numpy as np

from fingerprint.evaluation.results import Evaluation, Figure
from fingerprint.evaluation.tables import ClosedSet, Detection, number


def a_set() -> ClosedSet:
    labels = np.array([0, 0, 1, 1])
    return ClosedSet(labels, ("a", "a", "b", "c"), np.array([1.0, 3.0, 1.0, 1.0]), n_draws=50)


def test_rows_by_hunk_and_by_commit() -> None:
    scores = np.array([[0.0, 1.0], [2.0, 0.0], [0.0, 3.0], [1.0, 4.0]])
    hunk, commit = a_set().judge("s", scores)
    assert (hunk.unit, hunk.n, hunk.auroc.value, hunk.balanced.value) == ("hunk", 4, 1.0, 0.75)
    # commit a: (-.5 * 1 + 1 * 3) / 4 > 0 for author 0: right once pooled
    assert (commit.unit, commit.n, commit.auroc.value, commit.balanced.value) == ("commit", 3, 1.0, 1.0)
    assert (hunk.top3, hunk.n_authors) == (None, 2)


def test_a_system_does_not_differ_from_itself() -> None:
    scores = np.random.default_rng(0).normal(size=(4, 2))
    for row in a_set().contrast({"x": scores, "y": scores.copy()}, "x", "y"):
        assert row.auroc == Figure(value=0, low=0, high=0)


def test_detection_row_by_hand() -> None:
    sides = Detection("others", "commit", ("a", "b", "c"), ("d", "e"), n_draws=50)
    row = sides.judge("s", np.array([0.0, 1.0, 2.0]), np.array([1.5, 9.0]))
    assert (row.n_team, row.n_strangers, row.tpr_at_1) == (3, 2, 0.5)
    assert row.auroc.value == number(5 / 6)


def test_what_only_size_tells_is_nothing_among_texts_of_one_size() -> None:
    sizes = np.array([100.0, 110.0, 120.0, 900.0, 100.0, 120.0, 127.0, 1000.0])
    commits = tuple("abcd"), tuple("efgh")
    sides = Detection("others", "commit", *commits, n_draws=50, sizes=sizes)
    # 3 x 3 pairs of 64 to 127 tokens, 1 x 1 of 512 to 1,023
    row = sides.judge("s", np.array([1.0, 2.0, 3.0, 50.0]), np.array([2.0, 4.0, 5.0, 9.0]))
    assert row.matched is not None and row.matched.value == number((1.5 + 3 + 3 + 0) / 10)
    assert row.auroc.value == number((1.5 + 3 + 3 + 3) / 16)
    smaller = Detection("others", "commit", *commits, n_draws=50, sizes=np.repeat([900.0, 100.0], 4))
    row = smaller.judge("s", np.zeros(4), np.ones(4))
    assert (row.auroc.value, row.matched) == (1.0, Figure(value=None, low=None, high=None))


def test_an_evaluation_is_valid_json_without_nan() -> None:
    found = Evaluation(
        repository="r", foreign=None, setting={}, history={}, authors=(), drift={"x": float("nan")}
    )
    text = found.model_dump_json()
    assert json.loads(text)["drift"] == {"x": None}
    assert Evaluation.model_validate_json(text).repository == "r"


def test_bags_of_ten_commits_stand_beside_hunks_where_two_authors_have_them() -> None:
    labels = np.repeat([0, 1], 25)
    scores = np.random.default_rng(0).normal(size=(50, 2)) + np.eye(2)[labels]
    rows = ClosedSet(labels, tuple(f"c{i}" for i in range(50)), np.ones(50), n_draws=20).judge("s", scores)
    assert [(row.unit, row.n) for row in rows] == [("hunk", 50), ("commit", 50), ("ten commits", 4)]
    assert rows[2].auroc.value == 1.0
