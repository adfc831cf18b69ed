from __future__ import annotations

import numpy as np
import pytest

from fingerprint.labels.label import Label
from fingerprint.labels.offline import label_tokens
from fingerprint.labels.scoring import CHANCE, LabelScore, ScoringText, dealt_out, mean_auroc, score_label
from fingerprint.labels.store import Labels, LabelsError
from tests.fingerprint.labels.conftest import N_COMPONENTS, N_INPUT, N_NOISE, N_OUTPUT

N_PLANTED = N_INPUT + N_OUTPUT


def scored(labels, harvest) -> list[LabelScore | None]:
    text, components = ScoringText.of(harvest), harvest.components(0, N_COMPONENTS)
    return [score_label(label, components[label.component], text, n_draws=50) for label in labels]


@pytest.fixture
def labels(make_planted) -> list[Label]:
    return [label_tokens(one) for one in make_planted(0).components(0, N_COMPONENTS)]


def test_planted_detectors_score_above_nine_tenths_on_other_text(labels, make_planted):
    found = [score for score in scored(labels, make_planted(1)) if score is not None]
    assert len(found) == N_COMPONENTS
    for score in found[:N_PLANTED]:
        assert score.auroc.value > 0.9
        assert score.balanced.value > 0.9
        assert score.auroc.low > 0.8
        assert score.intruder is not None and score.intruder > 0.9
    for score in found[-N_NOISE:]:  # an unclear label says no of every window
        assert score.auroc.value == 0.5
        assert score.balanced.value == 0.5
        assert score.intruder == pytest.approx(CHANCE)


def test_shuffled_labels_score_chance(labels, make_planted):
    harvest = make_planted(1)
    right = [score for score in scored(labels[:N_PLANTED], harvest) if score]
    wrong = [
        score for seed in range(5) for score in scored(dealt_out(labels[:N_PLANTED], seed), harvest) if score
    ]
    assert all(
        a.inputs != b.inputs or a.outputs != b.outputs
        for a, b in zip(labels, dealt_out(labels[:N_PLANTED]), strict=False)
    )
    assert mean_auroc(right) > 0.9
    assert abs(mean_auroc(wrong) - 0.5) < 0.05
    assert abs(np.mean([score.intruder or 0.0 for score in wrong]) - CHANCE) < 0.06


def test_too_few_firings_have_no_score(labels, make_planted):
    harvest = make_planted(1)
    one = harvest.components(0, 1)[0]
    bare = type(one)(**{**vars(one), "examples": one.examples[:4]})
    assert score_label(labels[0], bare, ScoringText.of(harvest)) is None


def test_labels_are_kept_with_their_scores(labels, make_planted, tmp_path):
    found = scored(labels, make_planted(1))
    kept = Labels(tuple(labels), {s.component: s for s in found if s}, 0.9, float("nan"))
    kept.save(tmp_path / "labels.json")
    again = Labels.load(tmp_path / "labels.json")
    assert (again.labels, again.scores, again.mean_auroc) == (kept.labels, kept.scores, 0.9)
    assert np.isnan(again.dealt_auroc)
    assert again.n_clear == N_PLANTED
    with pytest.raises(LabelsError, match="No readable labels"):
        Labels.load(tmp_path / "none.json")
