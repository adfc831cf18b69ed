import numpy as np
import pytest

from fingerprint import FingerprintError
from fingerprint.evaluation.likelihood import (
    RatioCalibration,
    Temperature,
    abstention_threshold,
    c_at_1,
    calibration_error,
    cllr,
    fit_ratios,
    fit_temperature,
    min_cllr,
    top_confidence,
)

RNG = np.random.default_rng(0)


def test_cllr_of_perfect_and_of_empty_evidence() -> None:
    assert cllr(np.full(3, 800.0), np.full(2, -800.0)) == 0
    assert cllr(np.zeros(3), np.zeros(2)) == pytest.approx(1)
    assert cllr(np.full(3, -5.0), np.full(2, 5.0)) > 1
    assert np.isnan(cllr(np.zeros(0), np.zeros(2)))


def test_cllr_by_hand() -> None:
    # likelihood ratio 3 for a true claim: log2(4/3); 1/7 for a false one: log2(8/7); the mean of the two
    assert cllr(np.array([np.log(3)]), np.array([-np.log(7)])) == pytest.approx(np.log2(4 / 3 * 8 / 7) / 2)


def test_min_cllr_sees_order_only() -> None:
    assert min_cllr(np.array([0.3, 0.4]), np.array([0.1, 0.2])) == 0
    assert min_cllr(np.ones(4), np.ones(3)) == pytest.approx(1)
    # the wrong way round no monotone map helps
    assert min_cllr(np.array([0.1, 0.2]), np.array([0.3, 0.4])) == pytest.approx(1)
    target, other = RNG.normal(1, 1, 200), RNG.normal(0, 1, 300)
    assert min_cllr(target, other) == pytest.approx(min_cllr(np.exp(target), np.exp(other)))


def test_min_cllr_by_hand() -> None:
    # order n t n t: blocks {n}, {t n} at 1/2, {t}: half of each kind costs one bit, the rest none
    assert min_cllr(np.array([2.0, 4.0]), np.array([1.0, 3.0])) == pytest.approx(0.5)


def test_true_log_ratios_are_calibrated_already() -> None:
    # N(1, 1) against N(0, 1): the log-ratio of x is x - 1/2
    target, other = RNG.normal(1, 1, 20_000), RNG.normal(0, 1, 20_000)
    true = RatioCalibration(1.0, -0.5)
    cost = cllr(true.ratios(target), true.ratios(other))
    assert min_cllr(target, other) <= cost
    assert cost - min_cllr(target, other) < 0.005
    found = fit_ratios(target, other)
    assert (found.slope, found.offset) == (pytest.approx(1, abs=0.05), pytest.approx(-0.5, abs=0.04))


def test_calibration_ignores_how_many_claims_are_false() -> None:
    found = fit_ratios(RNG.normal(1, 1, 2000), RNG.normal(0, 1, 40_000))
    assert (found.slope, found.offset) == (pytest.approx(1, abs=0.1), pytest.approx(-0.5, abs=0.1))


def test_calibration_at_the_edges() -> None:
    separable = fit_ratios(np.array([2.0, 3.0]), np.array([0.0, 1.0]))
    assert 0 < separable.slope < 100
    wrong_way = fit_ratios(np.array([0.0, 1.0]), np.array([2.0, 3.0]))
    assert wrong_way.slope == 0
    assert wrong_way.ratios(np.array([5.0])) == pytest.approx([0], abs=1e-4)
    constant = fit_ratios(np.ones(5), np.ones(9))
    assert constant.ratios(np.ones(1)) == pytest.approx([0], abs=0.2)
    with pytest.raises(FingerprintError, match="0 true and 2 false"):
        fit_ratios(np.zeros(0), np.zeros(2))


def labels_from(probabilities: np.ndarray) -> np.ndarray:
    return (probabilities.cumsum(axis=1) < RNG.uniform(size=(len(probabilities), 1))).sum(axis=1)


def test_temperature_is_recovered() -> None:
    scores = RNG.normal(size=(8000, 4)) + 100 * RNG.normal(size=(8000, 1))
    labels = labels_from(Temperature(2.5).probabilities(scores))
    assert fit_temperature(scores, labels).scale == pytest.approx(2.5, rel=0.06)
    # the same texts scored in other units
    assert fit_temperature(scores / 40, labels).scale == pytest.approx(100, rel=0.06)


def test_temperature_at_the_edges() -> None:
    labels = np.arange(6) % 3
    right = np.eye(3)[labels]
    assert 0 < fit_temperature(right, labels).scale < 100
    assert fit_temperature(-right, labels).scale == 0
    assert Temperature(0.0).probabilities(right)[0].tolist() == [1 / 3] * 3
    with pytest.raises(FingerprintError, match="larger share"):
        fit_temperature(np.zeros((0, 3)), np.zeros(0, dtype=int))


def test_a_known_miscalibration_is_measured() -> None:
    # constant: .8 claimed, .6 kept
    assert calibration_error(np.full(10, 0.8), np.arange(10) < 6) == pytest.approx(0.2)
    # two groups, .9 claimed and .5 kept, .1 claimed and .2 kept
    confidence = np.repeat([0.9, 0.1], 10)
    is_right = np.concatenate([np.arange(10) < 5, np.arange(10) < 2])
    assert calibration_error(confidence, is_right) == pytest.approx((0.4 + 0.1) / 2)
    # errors of one sign over the whole range
    confidence = RNG.uniform(0.5, 1, size=30_000)
    is_right = RNG.uniform(size=30_000) < confidence - 0.2
    assert calibration_error(confidence, is_right) == pytest.approx(0.2, abs=0.01)


def test_calibrated_confidence_errs_by_noise_alone() -> None:
    confidence = RNG.uniform(0.5, 1, size=30_000)
    found = calibration_error(confidence, RNG.uniform(size=30_000) < confidence)
    noise = np.mean(np.sqrt(2 * confidence * (1 - confidence) * 15 / (np.pi * 30_000)))
    assert found == pytest.approx(noise, rel=0.6)


def test_bins_hold_equal_mass() -> None:
    # three texts a bin; each bin is wrong by .1, in turn too high and too low: no cancelling between bins
    confidence = np.linspace(0.3, 0.7, 30)
    target = np.where(np.arange(30) // 3 % 2 == 0, 1.0, 0.0)
    bins = np.abs(np.add.reduceat(target - confidence, np.arange(0, 30, 3))).sum() / 30
    assert calibration_error(confidence, target.astype(bool), n_bins=10) == pytest.approx(bins)


def test_past_temperature_mends_overconfidence() -> None:
    scores = RNG.normal(size=(6000, 3))
    labels = labels_from(Temperature(0.7).probabilities(scores))
    past, test = np.arange(3000), np.arange(3000, 6000)
    raw = calibration_error(*top_confidence(Temperature(3.0).probabilities(scores[test]), labels[test]))
    fitted = fit_temperature(scores[past], labels[past])
    mended = calibration_error(*top_confidence(fitted.probabilities(scores[test]), labels[test]))
    assert raw > 0.2
    assert mended < 0.04


def test_the_top_must_stand_alone() -> None:
    confidence, is_right = top_confidence(np.array([[0.6, 0.4], [0.6, 0.4], [0.5, 0.5]]), np.array([0, 1, 0]))
    assert confidence.tolist() == [0.6, 0.6, 0.5]
    assert is_right.tolist() == [True, False, False]


def test_c_at_1_by_hand() -> None:
    is_right = np.array([True] * 6 + [False] * 4)
    assert c_at_1(is_right, np.ones(10, dtype=bool)) == 0.6
    # two wrong answers withheld: (6 + 2 * .6) / 10
    assert c_at_1(is_right, np.arange(10) < 8) == pytest.approx(0.72)
    assert c_at_1(is_right, np.zeros(10, dtype=bool)) == 0
    assert np.isnan(c_at_1(np.zeros(0, dtype=bool), np.zeros(0, dtype=bool)))


def test_abstention_is_set_where_answers_pay() -> None:
    confidence = np.array([0.2, 0.3, 0.4, 0.6, 0.7, 0.8])
    is_right = np.array([False, False, False, True, True, True])
    assert abstention_threshold(confidence, is_right) == 0.6
    assert abstention_threshold(confidence, ~is_right) == 0.2
    with pytest.raises(FingerprintError, match="no texts"):
        abstention_threshold(np.zeros(0), np.zeros(0, dtype=bool))
