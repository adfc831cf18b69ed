"""B8: the base's own hidden states, pooled over a text's scored tokens; no adapter, no gradient.

Standardise, PCA, then linear discriminants with Ledoit-Wolf shrinkage: an author is scored by the
discriminant itself, or by the nearest training texts in its space. The layer is chosen on dev.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.spatial.distance import cdist
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from fingerprint.drift.lexical import N_NEIGHBOURS
from fingerprint.evaluation.attribution import SampleRows
from fingerprint.evaluation.baselines import author_columns, present_authors
from fingerprint.evaluation.metrics import centre_rows, macro_auroc
from fingerprint.lm.pair import BATCH_TOKENS, RoutedModel
from fingerprint.lm.tokens import Batch, causal_model, length_buckets, pad_batch

BackEnd = Literal["discriminant", "neighbours"]
MOST_COMPONENTS = 64
"""Principal components kept; well below the number of training texts."""


@torch.inference_mode()
def pool_hidden_states(
    routed: RoutedModel,
    read: SampleRows,
    batch_tokens: int = BATCH_TOKENS,
    progress: Callable[[int], None] = lambda _n_tokens: None,
) -> Float[np.ndarray, "n l d"]:
    """Mean hidden state of every sample's scored tokens in the base, after the embedding and every layer.

    Args:
        progress: called with the number of tokens just read.

    Returns:
        [n samples, layers + 1, width], fp32; zeros for a sample without scored tokens.
    """
    zero = routed.zero_weights()
    sums: np.ndarray | None = None
    with routed.at(zero, zero, 0.0):
        for indices in length_buckets(read.rows, batch_tokens):
            batch = pad_batch(read.rows, indices).to(routed.device)
            own = _summed_states(routed, batch).cpu().numpy()
            if sums is None:
                sums = np.zeros((len(read.n_scored), *own.shape[1:]), np.float32)
            np.add.at(sums, read.owner[indices], own)
            progress(sum(len(read.rows[i]) for i in indices))
    if sums is None:
        return np.zeros((len(read.n_scored), 1, 1), np.float32)
    return sums / np.maximum(read.n_scored, 1).astype(np.float32)[:, None, None]


def _summed_states(routed: RoutedModel, batch: Batch) -> Float[Tensor, "b l d"]:
    decoder = causal_model(routed.model).base_model
    states = decoder(input_ids=batch.ids, use_cache=False, output_hidden_states=True).hidden_states
    scored = batch.scored.float()
    return torch.stack([torch.einsum("btd,bt->bd", layer.float(), scored) for layer in states], dim=1)


@dataclass(frozen=True, eq=False)
class HiddenClassifier:
    """B8 at one layer.

    Attributes:
        layer: 0 is the embedding. discriminants: standardise, PCA, LDA. placed: the training texts in the
            space of the discriminants. labels: author column of each.
    """

    layer: int
    back_end: BackEnd
    discriminants: Pipeline
    placed: Float[np.ndarray, "m c"]
    labels: Int[np.ndarray, " m"]
    n_classes: int

    def score(self, states: Float[np.ndarray, "n l d"]) -> Float[np.ndarray, "n k"]:
        """Scores [n, n_classes] of what ``pool_hidden_states`` read, not centred.

        The discriminant's: log-posterior up to a constant a row, all authors equally likely beforehand. The
        neighbours': minus the mean distance to the author's nearest training texts.
        """
        present, own = np.unique(self.labels), states[:, self.layer]
        if self.back_end == "discriminant":
            values = np.asarray(self.discriminants.decision_function(own))
        else:
            away = cdist(self.discriminants.transform(own), self.placed)
            nearest = [np.sort(away[:, self.labels == k], axis=1)[:, :N_NEIGHBOURS] for k in present]
            values = -np.stack([distances.mean(axis=1) for distances in nearest], axis=1)
        return author_columns(values, present, self.n_classes)


def fit_hidden(
    states: Float[np.ndarray, "n l d"],
    labels: Int[np.ndarray, " n"],
    n_classes: int,
    *,
    dev_states: Float[np.ndarray, "m l d"],
    dev_labels: Int[np.ndarray, " m"],
    back_end: BackEnd = "discriminant",
) -> HiddenClassifier:
    """Fit B8 on training texts at the layer with the best macro AUROC on dev, the first among equals.

    Args:
        states, dev_states: what ``pool_hidden_states`` read of both.

    Raises:
        FingerprintError: fewer than two authors on either side.
    """
    present_authors(labels)
    present_authors(dev_labels)
    fitted = [_fit_layer(states, labels, n_classes, layer, back_end) for layer in range(states.shape[1])]
    found = [macro_auroc(centre_rows(model.score(dev_states)), dev_labels) for model in fitted]
    return fitted[int(np.argmax(found))]


def _fit_layer(
    states: np.ndarray, labels: np.ndarray, n_classes: int, layer: int, back_end: BackEnd
) -> HiddenClassifier:
    own, n_present = states[:, layer], len(np.unique(labels))
    n_components = min(MOST_COMPONENTS, len(own) - 1, own.shape[1])
    model = make_pipeline(
        StandardScaler(),
        PCA(n_components, random_state=0),
        LinearDiscriminantAnalysis(
            solver="eigen", shrinkage="auto", priors=np.full(n_present, 1 / n_present)
        ),
    ).fit(own, labels)
    return HiddenClassifier(layer, back_end, model, np.asarray(model.transform(own)), labels, n_classes)
