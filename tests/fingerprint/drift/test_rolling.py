"""Calibration that rolls on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fingerprint import FingerprintError
from fingerprint.drift.calibrate import judged_p_values, realised_shares
from fingerprint.drift.nonconformity import Nonconformity
from fingerprint.drift.reference import cap_commits
from fingerprint.drift.rolling import roll_cells, roll_signature
from fingerprint.drift.stream import conformal_alarms
from fingerprint.lm.pair import ModelPair
from fingerprint.passage import Corpus
from fingerprint.routing.extract import Measures, measure_passages, with_log_ratio
from tests.fingerprint.drift.conftest import foreign_lines, make_commits


def measured(toy, passages) -> tuple[Measures, Measures]:
    """Commits under the team's adapter and under the null's."""
    texts = cap_commits(Corpus.of(passages), toy.config.commit_tokens)
    pair = ModelPair(toy.routed, toy.routed.zero_weights(), toy.team_weights)
    found = measure_passages(pair, texts, toy.config)
    pair = ModelPair(toy.routed, toy.routed.zero_weights(), toy.null_weights)
    null = with_log_ratio(found, pair, texts, toy.config).by_group()
    return Nonconformity.of_team(toy.signature).read(found, texts).by_group(), null


def test_newer_commits_are_judged_and_then_calibrate(toy) -> None:
    signature, config = toy.signature, toy.config.model_copy(update={"slice_commits": 25})
    commits, null = measured(toy, make_commits(foreign_lines, 40, seed=9))
    rolled = roll_signature(signature, commits, null, config)
    stream, n_before = rolled.facts["stream"], signature.facts["n_rolled"]
    assert [entry["slice"] for entry in stream[:n_before]] == ["calibration"] * n_before
    later = [entry for entry in stream if entry["slice"] == "later"]
    assert 20 <= len(later) <= 40
    waiting = [entry["score"] for entry in stream[n_before:] if entry["slice"] == "held-out"]
    past = np.concatenate([signature.readings["calibration_all"], waiting])[-25:]
    scores = np.array([entry["score"] for entry in later])
    known = conformal_alarms(past, scores, 0.05, window=25).p_values
    assert [entry["p_value"] for entry in later] == pytest.approx(known.tolist())
    assert rolled.readings["calibration_all"] == pytest.approx(np.concatenate([past, scores])[-25:])
    assert rolled.readings["calibration_python"] == pytest.approx(rolled.readings["calibration_all"])
    for name in signature.facts["part_names"]:
        own = [entry["parts"][name] for entry in later]
        assert rolled.readings[f"{name}_calibration_all"][-len(own) :] == pytest.approx(own[-25:])
    assert rolled.facts["n_calibration"] == {"all": 25, "python": 25}
    assert rolled.null["calibration_all"] != pytest.approx(signature.null["calibration_all"])
    # what lasts stops being flagged, and the share of all that were judged says how often it was
    assert known[0] < 0.05 < known[-1]
    assert rolled.facts["realised"] == realised_shares(stream, signature.facts["least_tokens"])
    assert rolled.facts["realised"][0]["n"] > signature.facts["realised"][0]["n"]


def test_nothing_new_lets_the_held_out_commits_in_once(toy) -> None:
    none = measured(toy, make_commits(foreign_lines, 1, seed=9))[0].take(np.array([], dtype=int))
    once = roll_signature(toy.signature, none, None, toy.config)
    n_waiting = len(toy.signature.facts["stream"]) - toy.signature.facts["n_rolled"]
    assert n_waiting > 0
    grown = len(once.readings["calibration_all"]) - len(toy.signature.readings["calibration_all"])
    assert grown == n_waiting
    twice = roll_signature(once, none, None, toy.config)
    assert twice.readings["calibration_all"] == pytest.approx(once.readings["calibration_all"])


def test_small_commits_and_other_languages_are_passed_over(toy) -> None:
    commits, null = measured(toy, make_commits(foreign_lines, 10, seed=9))
    strange = replace(commits, languages=("cobol",) * len(commits))
    tiny = replace(commits, n_scored=np.minimum(commits.n_scored, 5))
    for left_out in (strange, tiny):
        found = roll_signature(toy.signature, left_out, null, toy.config)
        assert not any(entry["slice"] == "later" for entry in found.facts["stream"])


def test_cells_keep_their_newest_and_a_new_language_begins_one() -> None:
    cells = {"all": np.array([1.0, 2.0, 3.0]), "go": np.array([2.0])}
    grown = roll_cells(cells, "rust", 9.0, 3)
    assert {name: values.tolist() for name, values in grown.items()} == {
        "all": [2.0, 3.0, 9.0], "go": [2.0], "rust": [9.0],
    }  # fmt: skip
    assert cells["all"].tolist() == [1.0, 2.0, 3.0]


def test_only_what_was_judged_before_it_calibrated_counts() -> None:
    stream = [
        {"slice": "calibration", "p_value": 0.01, "n_tokens": 500},
        {"slice": "held-out", "p_value": 0.01, "n_tokens": 500},
        {"slice": "held-out", "p_value": 0.02, "n_tokens": 50},
        {"slice": "later", "p_value": 0.5, "n_tokens": 500},
    ]
    assert judged_p_values(stream, 100).tolist() == [0.01, 0.5]
    assert [share["share"] for share in realised_shares(stream, 100)] == [0.5, 0.5]


def test_a_signature_of_before_says_to_profile_again(toy) -> None:
    commits, null = measured(toy, make_commits(foreign_lines, 2, seed=9))
    facts = {name: fact for name, fact in toy.signature.facts.items() if name != "calibrates_from"}
    with pytest.raises(FingerprintError, match="Profile again"):
        roll_signature(replace(toy.signature, facts=facts), commits, null, toy.config)
