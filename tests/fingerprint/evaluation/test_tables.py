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
