import numpy as np
import pytest

from fingerprint import FingerprintError
from fingerprint.evaluation.baselines import fit_ngram_classifier, ngram_profiles
from fingerprint.evaluation.metrics import balanced_top, macro_auroc

WORDS = ["alpha", "beta", "gamma", "delta", "omega", "sigma", "kappa", "zeta"]


def write(author: int, n: int, seed: int) -> list[str]:
    """Texts of one of three hands: snake_case = 1, camelCase=1, or SHOUTED : 1."""
    rng = np.random.default_rng(seed)
    shapes = ("{a}_{b} = {c}\n", "{a}{B}={c}\n", "{A}{B} : {c}\n")
    texts = []
    for _ in range(n):
        rows = []
        for _ in range(6):
            a, b, c = rng.choice(WORDS, 3)
            rows.append(shapes[author].format(a=a, b=b, c=c, A=a.upper(), B=b.title()))
        texts.append("".join(rows))
    return texts


@pytest.mark.parametrize("n_authors", [2, 3])
def test_ngrams_tell_hands_apart(n_authors: int) -> None:
    texts = [text for k in range(n_authors) for text in write(k, 12, k)]
    labels = np.repeat(np.arange(n_authors), 12)
    model = fit_ngram_classifier(texts, labels, n_authors)
    new = [text for k in range(n_authors) for text in write(k, 6, 10 + k)]
    scores, truth = model.score(new), np.repeat(np.arange(n_authors), 6)
    assert scores.shape == (6 * n_authors, n_authors)
    assert (balanced_top(scores, truth), macro_auroc(scores, truth)) == (1, 1)


def test_an_author_absent_from_training_never_wins() -> None:
    model = fit_ngram_classifier(write(0, 8, 0) + write(2, 8, 1), np.repeat([0, 2], 8), 3)
    assert set(model.score(write(1, 5, 2)).argmax(axis=1)) <= {0, 2}


def test_one_author_is_refused() -> None:
    with pytest.raises(FingerprintError, match="at least two authors, got 1"):
        fit_ngram_classifier(write(0, 8, 0), np.zeros(8, dtype=int), 2)


def test_a_profile_is_the_mean_of_a_persons_texts() -> None:
    one, two = "def get(self): return self.x\n", "fn set(&mut self) { self.x = 1 }\n"
    profiles = ngram_profiles([[one, two, one], [two], [one]])
    assert profiles[0] == pytest.approx((2 * profiles[2] + profiles[1]) / 3, abs=1e-6)
