from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import TfidfVectorizer

from fingerprint import FingerprintError
from fingerprint.drift.lexical import (
    LexicalView,
    SizeTrend,
    fit_ngram_neighbours,
    read_counts,
    team_texts,
)
from fingerprint.passage import Corpus, Passage, passage_from_lines
from fingerprint.routing.extract import Measures

WORDS = ["alpha", "beta", "gamma", "delta", "omega", "sigma", "kappa", "zeta"]
SHAPES = ("{a}_{b} = {c}", "{a}{B}={c}")


def write(hand: int, n_lines: int, rng: np.random.Generator) -> str:
    """Lines of one of two hands: snake_case = 1 or camelCase=1."""
    rows = []
    for _ in range(n_lines):
        a, b, c = rng.choice(WORDS, 3)
        rows.append(SHAPES[hand].format(a=a, b=b, c=c, B=b.title()) + "\n")
    return "".join(rows)


def texts(hand: int, n: int, seed: int, n_lines: int = 6) -> list[str]:
    rng = np.random.default_rng(seed)
    return [write(hand, n_lines, rng) for _ in range(n)]


def a_passage(text: str, group: str, path: str = "a.py") -> Passage:
    lines = [(True, line) for line in text.splitlines()]
    return passage_from_lines(lines, path=path, language="python", group=group)


def measures_of(passages: list[Passage]) -> Measures:
    n = len(passages)
    return Measures(
        tuple(p.group for p in passages), ("python",) * n, np.array([len(p.marked) / 3 for p in passages]),
        np.zeros(n), np.zeros((n, 2)), np.zeros((n, 6)), np.zeros(n),
    )  # fmt: skip


def test_novelty_is_one_minus_the_mean_cosine_to_the_nearest_five() -> None:
    """Against scikit-learn's own TF-IDF."""
    team, new = texts(0, 30, 0), [*texts(0, 4, 1), *texts(1, 4, 2)]
    reference = TfidfVectorizer(
        analyzer="char", ngram_range=(2, 5), sublinear_tf=True, min_df=2, lowercase=False
    )
    cosine = csr_matrix(reference.fit_transform(team)) @ csr_matrix(reference.transform(new)).T
    expected = 1 - np.sort(cosine.toarray(), axis=0)[-5:].mean(axis=0)
    assert fit_ngram_neighbours(team).score(new) == pytest.approx(expected, abs=1e-5)


def test_the_foreign_hand_is_farther() -> None:
    model = fit_ngram_neighbours(texts(0, 30, 0))
    assert model.score(texts(1, 10, 6)).min() > model.score(texts(0, 10, 5)).max()
    assert model.score(texts(0, 30, 0)[:3]).max() < model.score(texts(0, 10, 5)).mean()


def test_counts_of_passages_add_up_to_those_of_their_commit() -> None:
    model = fit_ngram_neighbours(texts(0, 30, 0))
    passages = [
        a_passage(text, group) for text, group in zip(texts(0, 3, 7), ("one", "one", "two"), strict=True)
    ]
    read = read_counts(measures_of(passages), passages, model)
    commits = read.by_group()
    assert commits.counts is not None and read.counts is not None
    assert commits.counts[0].sum() == read.counts[:2].sum()
    # what lies across the seam of two passages is missing, and little
    joined = model.score([passages[0].marked + passages[1].marked, passages[2].marked])
    assert model.score_counts(commits.counts) == pytest.approx(joined, abs=0.02)
    assert read.take([2]).total().counts is not None


def test_a_text_without_known_ngrams_is_entirely_new() -> None:
    model = fit_ngram_neighbours(texts(0, 30, 0))
    assert model.score(["", "\u4e00\u4e8c\u4e09"]).tolist() == [1.0, 1.0]


def test_readings_read_back() -> None:
    passages = [a_passage(text, f"c{i}") for i, text in enumerate(texts(0, 12, 3))]
    model = fit_ngram_neighbours([*texts(0, 20, 0), "odd = '\ud800\n'", "odd = '\ud800\n'"])
    dev = read_counts(measures_of(passages), passages, model)
    view = LexicalView.fit(model, dev)
    again = LexicalView.from_readings(view.to_readings())
    assert again.neighbours.vocabulary == model.vocabulary
    assert again.score(dev).tolist() == view.score(dev).tolist()
    with pytest.raises(FingerprintError, match="lacks the lexical view's idf"):
        LexicalView.from_readings({"lexical_vocabulary": np.zeros(1, dtype=np.uint8)})


def test_the_teams_own_commits_score_about_zero_and_the_foreign_hand_high() -> None:
    rng = np.random.default_rng(4)
    model = fit_ngram_neighbours(texts(0, 40, 0))

    def commits(hand: int, n: int) -> Measures:
        passages = [a_passage(write(hand, int(rng.integers(2, 20)), rng), f"c{i // 2}") for i in range(2 * n)]
        return read_counts(measures_of(passages), passages, model)

    view = LexicalView.fit(model, commits(0, 60))
    own, foreign = view.score(commits(0, 40).by_group()), view.score(commits(1, 40).by_group())
    assert abs(np.median(own)) < 0.5
    assert 0.4 < own.std() < 1.6
    assert foreign.min() > own.max()


def test_a_trend_takes_the_size_out_of_a_novelty() -> None:
    rng = np.random.default_rng(0)
    sizes = rng.integers(20, 5000, 400).astype(float)
    novelty = 1 - 0.1 * np.log(sizes) + rng.normal(0, 0.02, 400)
    found = SizeTrend.fit(novelty[:200], sizes[:200]).standardise(novelty[200:], sizes[200:])
    assert abs(np.corrcoef(found, np.log(sizes[200:]))[0, 1]) < 0.2
    assert found.std() == pytest.approx(1, abs=0.2)
    same = SizeTrend.fit(np.ones(3), np.full(3, 2.0))
    assert same.standardise(np.ones(1), np.full(1, 4.0)) == pytest.approx(0)


def test_too_little_code_is_refused() -> None:
    with pytest.raises(FingerprintError, match="1 texts share no 2 to 5 characters"):
        fit_ngram_neighbours(["x = 1"])


def test_the_newest_files_of_commits_are_kept() -> None:
    train = Corpus((
        a_passage("old = 1", "one"), a_passage("x = 1", "two"), a_passage("y = 1", "two"),
        a_passage("z = 1", "two", "b.py"),
    ))  # fmt: skip
    assert team_texts(train, 2) == ["x = 1\ny = 1\n", "z = 1\n"]
    assert team_texts(train, 9)[0] == "old = 1\n"


def test_measures_without_counts_stay_without() -> None:
    plain = measures_of([a_passage("x = 1", "one")])
    assert plain.by_group().counts is None
    assert replace(plain, counts=None).take([0]).counts is None
