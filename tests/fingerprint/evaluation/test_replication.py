import numpy as np
import pytest

from fingerprint import FingerprintError
from fingerprint.evaluation.replication import half_similarity, icc1, identify_halves

# six targets, four ratings each: table 2 of Shrout and Fleiss 1979, whose ICC(1, 1) is .17
PUBLISHED = np.array([
    [9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7],
], dtype=float)  # fmt: skip


def test_icc_of_the_published_example() -> None:
    assert icc1(PUBLISHED) == pytest.approx(0.17, abs=0.005)


def test_icc_by_hand() -> None:
    # means 1, 4, 7: MSB = 2 (9 + 0 + 9) / 2 = 18; each one off by 1: MSW = 6 / 3 = 2; (18 - 2) / (18 + 2)
    assert icc1(np.array([[0.0, 2.0], [3.0, 5.0], [6.0, 8.0]])) == pytest.approx(0.8)


def test_icc_of_each_component() -> None:
    exact = np.array([[1.0, 1.0], [2.0, 2.0]])
    opposed = np.array([[1.0, -1.0], [-1.0, 1.0]])
    silent = np.zeros((2, 2))
    found = icc1(np.stack([exact, opposed, silent], axis=2))
    assert found.shape == (3,)
    assert found[:2].tolist() == [1, -1]
    assert np.isnan(found[2])


def test_icc_of_noise_is_near_zero() -> None:
    found = icc1(np.random.default_rng(0).normal(size=(12, 2, 400)))
    assert abs(found.mean()) < 3.5 * found.std() / 20


def test_icc_needs_repeats() -> None:
    with pytest.raises(FingerprintError, match="3 authors and 1 repeats"):
        icc1(np.zeros((3, 1)))


def test_identification_by_hand() -> None:
    # own .9, .2, .5 against six others: .9 beats 6, .2 beats 2 (.1 twice), .5 beats 4, ties 1
    similarity = np.array([[0.9, 0.1, 0.5], [0.6, 0.2, 0.1], [0.3, 0.4, 0.5]])
    found = identify_halves(similarity)
    assert found.auroc == pytest.approx((6 + 2 + 4 + 0.5) / 18)
    assert (found.top1, found.n_authors) == (pytest.approx(2 / 3), 3)
    assert found.p_value == pytest.approx(
        2 / 6
    )  # of six deals one more, own .5, .6, .4, has as large an area


def test_halves_of_the_same_signature_are_found_beside_a_large_common_part() -> None:
    rng = np.random.default_rng(1)
    own, common = rng.normal(size=(10, 50)), 100 * rng.normal(size=50)
    first, second = (common + own + 0.3 * rng.normal(size=own.shape) for _ in range(2))
    found = identify_halves(half_similarity(first, second))
    assert (found.auroc, found.top1) == (1, 1)
    assert found.p_value == pytest.approx(1 / 2_001)


def test_unrelated_halves_are_at_chance() -> None:
    rng = np.random.default_rng(2)
    found = [identify_halves(half_similarity(*rng.normal(size=(2, 8, 30)))) for _ in range(60)]
    areas = np.array([each.auroc for each in found])
    assert 0.35 < np.mean([each.p_value for each in found]) < 0.65
    assert abs(areas.mean() - 0.5) < 3.5 * areas.std() / np.sqrt(60)
    assert abs(np.mean([each.top1 for each in found]) - 1 / 8) < 3.5 * np.sqrt(7 / 64 / 480)


def test_a_silent_signature_is_like_none() -> None:
    signatures = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 0.0]])
    assert half_similarity(signatures, signatures)[2].tolist() == [0, 0, 0]
