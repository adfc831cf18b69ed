from __future__ import annotations

import json

import numpy as np
import pytest

from fingerprint import FingerprintError
from fingerprint.drift.calibrate import judged_p_values
from fingerprint.drift.reference import build_team_signature, calibration_cells, cap_commits, newest_commits
from fingerprint.passage import Corpus, passage_from_lines
from fingerprint.routing.extract import Measures
from fingerprint.routing.team import Normaliser, TeamSlices


def test_signature_holds_what_scoring_needs(toy) -> None:
    signature = toy.signature
    facts = json.loads(json.dumps(signature.facts))
    assert facts["languages"] == ["python"]
    assert facts["least_tokens"] >= 60
    assert [point["n_tokens"] for point in facts["power_curve"]] == [60, 120]
    assert facts["power_curve"][-1]["power"] > 0.9
    assert {entry["level"] for entry in facts["realised"]} == {0.05, 0.1}
    assert facts["realised"][0]["n"] > 0
    assert len(signature.readings["calibration_all"]) == facts["n_calibration"]["all"]
    assert Normaliser.of_team(signature).combination == facts["combination"]
    assert facts["separation"][facts["combination"]] > 0.9
    _check_stream(facts, signature.readings["calibration_all"])
    Normaliser.of_null(signature)


def _check_stream(facts: dict, scores: np.ndarray) -> None:
    """A calibration commit stands among the others; held-out p-values are those of the realised share."""
    own = [entry for entry in facts["stream"] if entry["slice"] == "calibration"]
    assert [entry["score"] for entry in own] == pytest.approx(scores.tolist())
    for i, entry in enumerate(own):
        others = np.delete(scores, i)
        assert entry["p_value"] == pytest.approx((1 + (others >= scores[i]).sum()) / (1 + len(others)))
    held_out = judged_p_values(facts["stream"], facts["least_tokens"])
    assert len(held_out) == facts["realised"][0]["n"]
    for level in facts["realised"]:
        assert sum(p <= level["level"] for p in held_out) == level["n_flagged"]


def test_too_short_a_history_says_how_much_is_needed(toy) -> None:
    short = Corpus(toy.slices.calibration.passages[:3])
    slices = TeamSlices(toy.slices.train, toy.slices.dev, short, short)
    with pytest.raises(FingerprintError, match="calibration commits with at least 60"):
        build_team_signature(
            slices, routed=toy.routed, team_weights=toy.team_weights, config=toy.config,
            provenance=toy.signature.provenance, authors=(),
        )  # fmt: skip


def test_an_adapter_that_learned_nothing_is_said_to_say_nothing(toy) -> None:
    assert not any("say nothing" in warning for warning in toy.signature.facts["warnings"])
    silent = build_team_signature(
        toy.slices, routed=toy.routed, team_weights=toy.routed.zero_weights(), config=toy.config,
        provenance=toy.signature.provenance, authors=(),
    )  # fmt: skip
    assert "the verdict rests on n-grams alone" in silent.facts["warnings"][0]


def test_cells_leave_small_commits_out() -> None:
    measures = Measures(
        ("a", "b", "c"), ("go", "python", "go"), np.array([100.0, 20.0, 70.0]), np.zeros(3), np.zeros((3, 2)),
        np.zeros((3, 6)), np.zeros(3),
    )  # fmt: skip
    cells = calibration_cells(measures, np.array([1.0, 2.0, 3.0]), 60)
    assert {name: values.tolist() for name, values in cells.items()} == {"all": [1.0, 3.0], "go": [1.0, 3.0]}


def test_of_a_long_slice_the_newest_commits_are_measured() -> None:
    corpus = Corpus.of(
        passage_from_lines([(True, "x")], path="a", language="python", group=f"c{i}", written_at=float(i))
        for i in range(9)
    )
    assert newest_commits(corpus, 3).groups == ("c6", "c7", "c8")
    assert newest_commits(corpus, 9) is corpus


def test_huge_commits_are_capped() -> None:
    corpus = Corpus(tuple(
        passage_from_lines([(True, "x" * 99)], path="a", language="python", group=group)
        for group in "aaaab"
    ))  # fmt: skip
    assert [passage.group for passage in cap_commits(corpus, 60)] == ["a", "a", "b"]


def test_one_huge_file_is_capped_too() -> None:
    lines = [(True, "x" * 29)] * 1_000
    corpus = Corpus((passage_from_lines(lines, path="a", language="python", group="a"),))
    (kept,) = cap_commits(corpus, 60)
    assert len(kept.marked) == 180
