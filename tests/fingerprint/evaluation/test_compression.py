import zlib

import numpy as np
import pytest

from fingerprint import FingerprintError
from fingerprint.evaluation.compression import WINDOW, fit_author_dictionaries


def random_lines(seed: int, n_bytes: int) -> str:
    """Text that does not compress by itself much below four bits a character."""
    rng = np.random.default_rng(seed)
    lines = ["".join(rng.choice(list("abcdefghijklmnop"), 40)) for _ in range(n_bytes // 41)]
    return "\n".join(lines) + "\n"


def test_a_copied_text_costs_next_to_nothing() -> None:
    own, other = random_lines(0, 20_000), random_lines(1, 20_000)
    model = fit_author_dictionaries([own, other], np.array([0, 1]), 2)
    scores = model.score([own[5_000:7_000], other[:3_000]])
    assert scores[0, 0] > -0.02 and scores[1, 1] > -0.02
    assert scores[0, 1] < -0.5 and scores[1, 0] < -0.5


def test_a_score_is_the_size_that_zlib_gives() -> None:
    own, text = random_lines(0, 3_000), random_lines(2, 500) + "a = 1\n" * 9
    model = fit_author_dictionaries([own, "else"], np.array([0, 1]), 2)
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15, zdict=own.encode())
    size = len(compressor.compress(text.encode()) + compressor.flush())
    assert model.score([text])[0, 0] == pytest.approx(-size / len(text))


def test_every_window_is_tried_newest_first() -> None:
    old, new, other = (random_lines(seed, WINDOW + 41) for seed in range(3))
    texts, labels = [old[:WINDOW], new[: WINDOW - 1], other[:99]], np.array([0, 0, 1])
    both, newest = (fit_author_dictionaries(texts, labels, 2, n_windows=n) for n in (2, 1))
    assert [len(own) for own in both.windows] == [2, 1]
    assert both.windows[0] == ((("\n" + new)[:WINDOW]).encode(), old[:WINDOW].encode())
    copied = [old[1_000:2_000], new[1_000:2_000]]
    assert (both.score(copied)[:, 0] > -0.05).all()
    assert newest.score(copied)[1, 0] > -0.05 > -0.5 > newest.score(copied)[0, 0]


def test_absent_authors_get_the_rows_least_score() -> None:
    model = fit_author_dictionaries(["alpha beta", "gamma delta"], np.array([1, 2]), 4)
    scores = model.score(["alpha beta", "delta", "", "é\ud800"])
    np.testing.assert_array_equal(scores[:, [0, 3]], np.repeat(scores.min(axis=1, keepdims=True), 2, axis=1))
    assert np.isfinite(scores).all()


def test_one_author_is_refused() -> None:
    with pytest.raises(FingerprintError, match="at least two authors, got 1"):
        fit_author_dictionaries(["a", "b"], np.array([1, 1]), 2)
