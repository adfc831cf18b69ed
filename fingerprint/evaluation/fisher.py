"""Routes without adapters: a text is what it asks the base's routes to change (Jaakkola and Haussler 1998).

The Fisher score of a text x is U_x = d log p(x) / dB at B = 0, [d_out, r] at every adapted matrix: how each
route's effect would have to move for the base to expect x. It is K of routing.md section 2, taken at the
base, and B9 is its product with an adapter. Here a classifier reads it whole: where an adapter says what
raises an author's likelihood, this says what tells authors apart, and one backward pass serves all of them.

Coordinates are divided by their spread over training texts (the diagonal of the Fisher information, from
texts instead of the model's own samples), hashed to a fixed number of features by a sparse random projection,
which keeps products (Li, Hastie and Church 2006), centred, and put to unit length (Perronnin et al. 2010).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import Normalizer, StandardScaler
from sklearn.random_projection import SparseRandomProjection

from fingerprint import FingerprintError
from fingerprint.evaluation.attribution import SampleRows, scanned
from fingerprint.evaluation.baselines import author_columns, present_authors
from fingerprint.lm.pair import RoutedModel

Progress = Callable[[int], None]
N_FEATURES = 16_384
"""AUROC on toolhive's calibration slice, 184,320 coordinates: 4,096 .623, 16,384 .681, all of them .668."""
PER_COORDINATE = 2.0
"""Features that a coordinate goes to, on average."""
STRENGTH = 3.0
"""C of the logistic regression: from 1 to 100 that AUROC lies between .661 and .668, so it is not chosen."""
_LARGEST = 6e4
"""What fp16 holds."""
_FLOOR = 1e-3
"""Share of the mean spread added to every coordinate's, so that one that hardly moves is not blown up."""


@dataclass(frozen=True, eq=False)
class FisherSpace:
    """Where texts of one base are placed.

    Attributes:
        spread: of every coordinate over the texts it was fitted on [d], texts at unit root mean square.
        projection: [d] -> [n_features], the same for every repository of one base; None where d is no larger.
    """

    routed: RoutedModel
    spread: Float[np.ndarray, " d"]
    projection: SparseRandomProjection | None

    @property
    def n_features(self) -> int:
        """Of a placed text."""
        return len(self.spread) if self.projection is None else int(self.projection.n_components_)

    def place(self, read: SampleRows, progress: Progress = lambda _n: None) -> Float[np.ndarray, "n f"]:
        """Every text's vector, fp16; zeros for a text without scored tokens.

        Args:
            progress: called with the number of tokens just read.
        """
        found = np.zeros((len(read.n_scored), self.n_features), np.float16)
        for chosen, scores in _fisher_scores(self.routed, read, progress):
            scaled = scores / self.spread
            placed = scaled if self.projection is None else self.projection.transform(scaled)
            found[chosen] = np.clip(placed, -_LARGEST, _LARGEST)
        return found


def fit_fisher_space(
    routed: RoutedModel,
    read: SampleRows,
    *,
    n_features: int = N_FEATURES,
    progress: Progress = lambda _n: None,
) -> FisherSpace:
    """Measure the spread of every coordinate over texts; labels are not looked at.

    Args:
        read: a few hundred training texts.

    Raises:
        FingerprintError: none of them has a scored token.
    """
    n, total, squares = 0, np.zeros(0), np.zeros(0)
    for _, scores in _fisher_scores(routed, read, progress):
        first, second = scores.sum(0, dtype=np.float64), (scores**2).sum(0, dtype=np.float64)
        n, total, squares = n + len(scores), first + (total if n else 0), second + (squares if n else 0)
    if not n:
        raise FingerprintError(
            "expected training texts with scored tokens, got none: let the history reach further back"
        )
    spread = np.sqrt(np.maximum(squares / n - (total / n) ** 2, 0.0))
    spread += _FLOOR * spread.mean() + 1e-12
    return FisherSpace(routed, spread.astype(np.float32), _projection(len(spread), n_features))


def _projection(d: int, n_features: int) -> SparseRandomProjection | None:
    if d <= n_features:
        return None
    return SparseRandomProjection(
        n_features,  # pyright: ignore[reportArgumentType] - documented, the stub knows "auto" alone
        density=PER_COORDINATE / n_features,  # pyright: ignore[reportArgumentType]
        random_state=0,
    ).fit(np.zeros((1, d), np.float32))


def _fisher_scores(
    routed: RoutedModel, read: SampleRows, progress: Progress
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(rows of ``read``, their Fisher scores [m, d] at unit root mean square), some texts at a time."""
    for chosen, scan in scanned(routed, routed.zero_weights(), read, progress=progress):
        flat = np.concatenate([k.flatten(0, 1).T.cpu().numpy() for k in scan.K.values()], axis=1)
        yield chosen, flat / (np.sqrt((flat**2).mean(axis=1, keepdims=True)) + 1e-12)


@dataclass(frozen=True, eq=False)
class FisherClassifier:
    """Multinomial logistic regression over placed texts, authors weighing the same.

    Attributes:
        n_classes: authors; those without training text get their row's least score.
    """

    model: Pipeline
    n_classes: int

    def score(self, placed: Float[np.ndarray, "n f"]) -> Float[np.ndarray, "n k"]:
        """Log-odds [n, n_classes], not centred."""
        values = np.asarray(self.model.decision_function(placed.astype(np.float32)))
        return author_columns(values, self.model.classes_, self.n_classes)


def fit_fisher_classifier(
    placed: Float[np.ndarray, "n f"], labels: Int[np.ndarray, " n"] | Sequence[int], n_classes: int
) -> FisherClassifier:
    """Fit on placed training texts.

    Raises:
        FingerprintError: fewer than two authors.
    """
    present_authors(np.asarray(labels))
    model = make_pipeline(
        StandardScaler(with_std=False),
        Normalizer(),
        LogisticRegression(C=STRENGTH, class_weight="balanced", max_iter=1000),
    )
    return FisherClassifier(model.fit(placed.astype(np.float32), labels), n_classes)
