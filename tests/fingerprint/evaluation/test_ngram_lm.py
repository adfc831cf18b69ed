import numpy as np
import pytest

from fingerprint import FingerprintError
from fingerprint.evaluation.metrics import centre_rows, macro_auroc
from fingerprint.evaluation.ngram_lm import code_tokens, fit_author_trigrams


def test_tokens_are_names_numbers_operators_and_layout() -> None:
    assert code_tokens("if a >= 0x1f:\n\t  b_2 = 'x y'  \n\n") == [
        "if", "a", ">=", "0x1f", ":", "\n", "\t  ", "b_2", "=", "'", "x", "y", "'", "\n", "\n",
    ]  # fmt: skip


def test_kneser_ney_by_hand() -> None:
    """Two authors, "a b a b a" and "a c", each after two boundaries "|".

    Ids: unknown, |, a, b, c; so 3 bits, and the uniform floor is 1/8. The first author's counts:
    trigrams ||a |ab aba aba bab: D = 3 / (3 + 2 * 1) = 3/5.
    bigrams by distinct left contexts |a: 1, ab: 2, ba: 1: D = 2 / (2 + 2 * 1) = 1/2.
    unigrams by distinct left contexts a: 2, b: 1: D = 1 / (1 + 2 * 1) = 1/3.
    """
    a = (2 - 1 / 3) / 3 + (1 / 3 * 2 / 3) / 8
    b = (1 - 1 / 3) / 3 + (1 / 3 * 2 / 3) / 8
    unknown = (1 / 3 * 2 / 3) / 8
    a_after_b = a_after_start = 1 / 2 + 1 / 2 * a
    b_after_a = (2 - 1 / 2) / 2 + (1 / 2 * 1 / 2) * b
    first = 2 / 5 + 3 / 5 * a_after_start  # a after | |
    second = 2 / 5 + 3 / 5 * b_after_a  # b after | a
    third = (2 - 3 / 5) / 2 + (3 / 5 * 1 / 2) * a_after_b  # a after a b
    assert (a, b, unknown, third) == pytest.approx((7 / 12, 1 / 4, 1 / 36, 15 / 16))

    model = fit_author_trigrams(["a b a b a", "a c"], np.array([0, 1]), 2)
    found = model.score(["a b a", "z", ""])
    expected = [np.log([first, second, third]).mean(), np.log(3 / 5 * 1 / 2 * unknown), 0]
    assert found[:, 0] == pytest.approx(expected)
    # the second author's trigrams, bigrams and unigrams all occur once: D = 1, all mass on the floor
    assert found[:, 1] == pytest.approx([np.log(1 / 8), np.log(1 / 8), 0])


def test_texts_do_not_run_into_each_other() -> None:
    model = fit_author_trigrams(["x y z\n"] * 3 + ["z y x\n"] * 3, np.repeat([0, 1], 3), 2)
    together, alone = model.score(["x y z\n", "z y x\n"]), [model.score([t]) for t in ("x y z\n", "z y x\n")]
    np.testing.assert_allclose(together, np.concatenate(alone))


def test_word_order_tells_authors_apart() -> None:
    """The same words in the same shares: only who follows whom differs."""
    rng = np.random.default_rng(0)
    words = [f"w{i}" for i in range(6)]
    follow = [np.roll(words, -1), np.roll(words, 1), np.roll(words, 2)]

    def write(author: int) -> str:
        line = [rng.choice(words)]
        for _ in range(30):
            habit = follow[author][words.index(line[-1])]
            line.append(habit if rng.random() < 0.5 else rng.choice(words))
        return " ".join(line)

    labels = np.repeat(np.arange(3), 20)
    model = fit_author_trigrams([write(int(k)) for k in labels], labels, 3)
    assert macro_auroc(centre_rows(model.score([write(int(k)) for k in labels])), labels) > 0.95


def test_only_the_newest_tokens_are_read() -> None:
    texts, labels = ["old old old", "new x new y new x", "other"], np.array([0, 0, 1])
    newest = fit_author_trigrams(texts, labels, 2, most_tokens=2 + 6)  # the boundaries count
    alone = fit_author_trigrams(texts[1:], labels[1:], 2)
    np.testing.assert_allclose(newest.score(["new x", "y new"]), alone.score(["new x", "y new"]))
    every = fit_author_trigrams(texts, labels, 2)
    assert every.score(["old"])[0, 0] > newest.score(["old"])[0, 0] + 1


def test_absent_authors_get_the_rows_least_score() -> None:
    scores = fit_author_trigrams(["a b c", "c b a"], np.array([0, 2]), 4).score(["a b", "c b", "q"])
    np.testing.assert_array_equal(scores[:, [1, 3]], np.repeat(scores.min(axis=1, keepdims=True), 2, axis=1))


def test_one_author_is_refused() -> None:
    with pytest.raises(FingerprintError, match="at least two authors, got 1"):
        fit_author_trigrams(["a b", "b c"], np.array([1, 1]), 2)
