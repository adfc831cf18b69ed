"""The cheap peer B1: character n-grams, closed-set. evaluation.md section 4.7; B5 is drift/lexical.py."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.svm import LinearSVC

from fingerprint import FingerprintError


def present_authors(labels: Int[np.ndarray, " n"]) -> Int[np.ndarray, " p"]:
    """Columns of the authors with training text, in order.

    Raises:
        FingerprintError: fewer than two authors.
    """
    present = np.unique(labels)
    if len(present) < 2:
        raise FingerprintError(
            f"Attribution needs texts of at least two authors, got {len(present)}. Lower the enrolment rule."
        )
    return present


def author_columns(
    values: np.ndarray, present: Int[np.ndarray, " p"], n_classes: int
) -> Float[np.ndarray, "n k"]:
    """Scores of the present authors at their columns [n, n_classes]; the others get their row's least score.

    Args:
        values: [n, p], or scikit-learn's single column [n] when p is 2: the second author's margin.
    """
    if values.ndim == 1:
        values = np.stack([-values, values], axis=1)
    columns = np.repeat(values.min(axis=1, keepdims=True), n_classes, axis=1).astype(np.float64)
    columns[:, present] = values
    return columns


def _vectoriser() -> TfidfVectorizer:
    """B1's features, exactly as published."""
    return TfidfVectorizer(
        analyzer="char",
        ngram_range=(2, 5),
        sublinear_tf=True,
        min_df=2,
        max_features=150_000,
        lowercase=False,
        dtype=np.float32,  # pyright: ignore[reportArgumentType] - documented, the stub is wrong
    )


@dataclass(frozen=True)
class NgramClassifier:
    """B1: one-vs-rest linear SVM over character 2-5-grams.

    Attributes:
        n_classes: authors; classes are column numbers 0 .. n_classes - 1.
    """

    vectoriser: TfidfVectorizer
    classifier: LinearSVC
    n_classes: int

    def score(self, texts: Sequence[str]) -> Float[np.ndarray, "n k"]:
        """Decision values [n, n_classes], not centred."""
        values = np.asarray(self.classifier.decision_function(self.vectoriser.transform(texts)))
        return author_columns(values, self.classifier.classes_, self.n_classes)


def fit_ngram_classifier(texts: Sequence[str], labels: np.ndarray, n_classes: int) -> NgramClassifier:
    """Fit B1: TF-IDF of character 2-5-grams, LinearSVC(C=1, balanced).

    Raises:
        FingerprintError: fewer than two authors.
    """
    present_authors(labels)
    vectoriser = _vectoriser()
    features = vectoriser.fit_transform(texts)
    classifier = LinearSVC(C=1.0, class_weight="balanced", random_state=0).fit(features, labels)
    return NgramClassifier(vectoriser, classifier, n_classes)


def ngram_profiles(texts: Sequence[Sequence[str]]) -> Float[np.ndarray, "n f"]:
    """Mean B1 features of several people's texts, one row each; the vocabulary is that of all together."""
    features = csr_matrix(_vectoriser().fit_transform([text for own in texts for text in own]))
    owner = np.repeat(np.arange(len(texts)), [len(own) for own in texts])
    shares = csr_matrix((1 / np.bincount(owner)[owner], (owner, np.arange(len(owner)))))
    return csr_matrix(shares.dot(features)).toarray()
