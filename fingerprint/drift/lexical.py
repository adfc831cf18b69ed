"""The lexical view: how far a text's character n-grams lie from the team's nearest texts.

B5 of evaluation.md. It knows names and layout that a small base's routes do not carry, and no order beyond
five characters. Counts add up over the passages of a text, so a commit's are its passages' sum; only n-grams
across two passages are missing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from jaxtyping import Float
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.preprocessing import normalize

from fingerprint import FingerprintError
from fingerprint.passage import Corpus, Passage
from fingerprint.routing.extract import Measures

N_NEIGHBOURS = 5
NGRAMS = (2, 5)
MOST_NGRAMS = 150_000
_BLOCK = 256
"""Texts whose similarities are dense at once."""
_BREAK = "\0"
_ARRAYS = ("vocabulary", "idf", "data", "indices", "indptr", "trend")


@dataclass(frozen=True)
class NgramNeighbours:
    """A team's texts as TF-IDF vectors of character n-grams.

    Attributes:
        vocabulary: the n-grams, in the order of columns. idf: [v] inverse document frequencies.
        features: [n, v] the team's texts, rows of unit length.
    """

    vocabulary: tuple[str, ...]
    idf: Float[np.ndarray, " v"]
    features: csr_matrix

    def counts(self, texts: Sequence[str]) -> csr_matrix:
        """How often each n-gram occurs, [n, v]."""
        return csr_matrix(self._vectoriser.transform(texts))

    def score_counts(self, counts: csr_matrix) -> Float[np.ndarray, " n"]:
        """Novelty [n]: 1 minus the mean cosine to the nearest of the team's texts; larger is more foreign."""
        vectors = weigh(counts, self.idf)
        n_texts = vectors.get_shape()[0]
        novelty = np.empty(n_texts)
        n_near = min(N_NEIGHBOURS, self.features.get_shape()[0])
        for start in range(0, n_texts, _BLOCK):
            similarity = csr_matrix(vectors[start : start + _BLOCK] @ self._columns).toarray()
            novelty[start : start + _BLOCK] = 1 - np.sort(similarity, axis=1)[:, -n_near:].mean(axis=1)
        return novelty

    def score(self, texts: Sequence[str]) -> Float[np.ndarray, " n"]:
        """Novelty of texts."""
        return self.score_counts(self.counts(texts))

    @cached_property
    def _columns(self) -> csr_matrix:
        """The features transposed, [v, n]: transposing anew for every text costs more than the product."""
        return csr_matrix(self.features.T)

    @cached_property
    def _vectoriser(self) -> CountVectorizer:
        return _count_vectoriser(vocabulary={ngram: i for i, ngram in enumerate(self.vocabulary)})


def fit_ngram_neighbours(texts: Sequence[str]) -> NgramNeighbours:
    """Read a team's texts.

    Raises:
        FingerprintError: no n-gram occurs in two of them.
    """
    vectoriser = _count_vectoriser(min_df=2, max_features=MOST_NGRAMS)
    try:
        counts = csr_matrix(vectoriser.fit_transform(texts))
    except ValueError as error:
        raise FingerprintError(
            f"The team's {len(texts)} texts share no {NGRAMS[0]} to {NGRAMS[1]} characters ({error}): too "
            "little code for the lexical view. Add history, or set the score's view to routes."
        ) from error
    n_with = np.bincount(counts.indices, minlength=counts.get_shape()[1])
    idf = np.log((1 + len(texts)) / (1 + n_with)) + 1
    return NgramNeighbours(tuple(vectoriser.get_feature_names_out().tolist()), idf, weigh(counts, idf))


def weigh(counts: csr_matrix, idf: Float[np.ndarray, " v"]) -> csr_matrix:
    """TF-IDF of counts [n, v] with sublinear term frequency, rows of unit length."""
    weights = (1 + np.log(counts.data)) * idf[counts.indices]
    found = csr_matrix((weights.astype(np.float32), counts.indices, counts.indptr), shape=counts.get_shape())
    return csr_matrix(normalize(found))


def _count_vectoriser(**options: object) -> CountVectorizer:
    """B1's features, exactly as published."""
    return CountVectorizer(
        analyzer="char",
        ngram_range=NGRAMS,
        lowercase=False,
        dtype=np.float32,  # pyright: ignore[reportArgumentType] - documented, the stub is wrong
        **options,  # pyright: ignore[reportArgumentType] - of the vectoriser's own types
    )


@dataclass(frozen=True, slots=True)
class SizeTrend:
    """A novelty on the team's own texts: linear in the logarithm of their size, with a spread about it."""

    intercept: float
    slope: float
    spread: float

    @classmethod
    def fit(cls, novelty: Float[np.ndarray, " n"], sizes: Float[np.ndarray, " n"]) -> SizeTrend:
        """Least squares on texts that the novelty's model has not read; sizes in tokens or characters."""
        size = np.log1p(sizes)
        slope, intercept = (
            np.polyfit(size, novelty, 1) if np.ptp(size) > 0 else (0.0, float(np.mean(novelty)))
        )
        rest = novelty - (intercept + slope * size)
        return cls(float(intercept), float(slope), float(rest.std()) + 1e-12)

    def standardise(
        self, novelty: Float[np.ndarray, " n"], sizes: Float[np.ndarray, " n"]
    ) -> Float[np.ndarray, " n"]:
        """Standard deviations above what the team's own texts of these sizes show."""
        return (novelty - self.intercept - self.slope * np.log1p(sizes)) / self.spread


@dataclass(frozen=True)
class LexicalView:
    """The team's n-grams, and how new the team's own commits look beside them."""

    neighbours: NgramNeighbours
    trend: SizeTrend

    @classmethod
    def fit(cls, neighbours: NgramNeighbours, dev: Measures) -> LexicalView:
        """Fit the trend on dev: on its commits and, for the sizes of hunks, on its passages.

        Args:
            dev: one text per passage, with counts.
        """
        passages = dev.take(np.flatnonzero(dev.n_scored > 0))
        commits = passages.by_group()
        novelty = np.concatenate([_novelty(neighbours, one) for one in (commits, passages)])
        sizes = np.concatenate([commits.n_scored, passages.n_scored])
        return cls(neighbours, SizeTrend.fit(novelty, sizes))

    def score(self, measures: Measures) -> Float[np.ndarray, " n"]:
        """Standardised novelty [n] of texts with counts; larger is more foreign."""
        return self.trend.standardise(_novelty(self.neighbours, measures), measures.n_scored)

    def score_texts(self, texts: Sequence[str], sizes: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """``score`` of added texts with so many scored tokens each."""
        return self.trend.standardise(self.neighbours.score(texts), sizes)

    def to_readings(self) -> dict[str, np.ndarray]:
        """Its arrays under "lexical_<name>", for TeamSignature.readings."""
        near = self.neighbours
        text = _BREAK.join(near.vocabulary).encode("utf-8", "surrogatepass")
        parts = (
            np.frombuffer(text, dtype=np.uint8), near.idf, near.features.data, near.features.indices,
            near.features.indptr, np.array([self.trend.intercept, self.trend.slope, self.trend.spread]),
        )  # fmt: skip
        return {f"lexical_{name}": np.asarray(part) for name, part in zip(_ARRAYS, parts, strict=True)}

    @classmethod
    def from_readings(cls, readings: Mapping[str, np.ndarray]) -> LexicalView:
        """What to_readings wrote.

        Raises:
            FingerprintError: when an array is missing.
        """
        missing = [name for name in _ARRAYS if f"lexical_{name}" not in readings]
        if missing:
            raise FingerprintError(
                f"The team signature lacks the lexical view's {', '.join(missing)}: written by another "
                "version. Profile again."
            )
        text, idf, data, indices, indptr, trend = (readings[f"lexical_{name}"] for name in _ARRAYS)
        ngrams = tuple(text.tobytes().decode("utf-8", "surrogatepass").split(_BREAK))
        features = csr_matrix((data, indices, indptr), shape=(len(indptr) - 1, len(ngrams)))
        return cls(NgramNeighbours(ngrams, idf, features), SizeTrend(*map(float, trend)))


def read_counts(measures: Measures, passages: Sequence[Passage], neighbours: NgramNeighbours) -> Measures:
    """The measures of passages with the n-gram counts of what was added in each."""
    return replace(measures, counts=neighbours.counts([passage.marked for passage in passages]))


def team_texts(train: Corpus, most: int) -> list[str]:
    """Added text of every file of a commit, the newest ones at most, oldest first."""
    parts: dict[tuple[str, str], list[str]] = {}
    for passage in train:
        parts.setdefault((passage.group, passage.path), []).append(passage.marked)
    return ["".join(own) for own in list(parts.values())[-most:]]


def _novelty(neighbours: NgramNeighbours, measures: Measures) -> Float[np.ndarray, " n"]:
    assert measures.counts is not None, "read_counts comes first"
    return neighbours.score_counts(measures.counts)
