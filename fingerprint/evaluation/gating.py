"""Per-author perplexity by kind of token: which tokens tell an author, and which only tell a topic.

A log-ratio is a sum over tokens. Identifiers that the author's adapter has met and the reference has not
carry most of it, and most of them are topic. So each token is sorted by its class and by how much the
reference is surprised, and the sums of the cells become features, weighted like the routes' sites
(``combine.fit_site_weights``). The cells are the same for every author, team and base. Torch-free.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from fingerprint.routing.token_class import TOKEN_CLASSES, classify_token

SURPRISE_EDGES = (0.1, 1.0, 3.0)
"""Nats of surprise at the reference that part the cells: known, likely, open, unexpected."""
CLIP = 1.0
"""Nats at which one token's log-ratio is clipped in the second set of cells."""
N_CELLS = len(TOKEN_CLASSES) * (len(SURPRISE_EDGES) + 1)


def classify_ids(texts: Sequence[str]) -> Int[np.ndarray, " v"]:
    """Token class of every vocabulary entry, from its text."""
    return np.array([classify_token(text) for text in texts], dtype=int)


def cell_scores(
    log_probs: Float[np.ndarray, "k t"],
    reference: Float[np.ndarray, " t"],
    classes: Int[np.ndarray, " t"],
    owner: Int[np.ndarray, " t"],
    n_texts: int,
) -> Float[np.ndarray, "n k f"]:
    """Log-ratios per scored token, by cell.

    Args:
        log_probs: of every scored token under every author, nats. reference: under the reference.
        classes: token class of each target. owner: text of each.

    Returns:
        Features [n_texts, K, 2 N_CELLS]: sums over a cell's tokens, as they are and clipped to +-CLIP,
        divided by the text's scored tokens. The plain ones add up to ALM.
    """
    ratios = log_probs - reference
    cells = classes * (len(SURPRISE_EDGES) + 1) + np.digitize(-reference, SURPRISE_EDGES)
    place = owner * N_CELLS + cells
    size = np.maximum(np.bincount(owner, minlength=n_texts), 1)
    found = np.empty((n_texts, len(ratios), 2 * N_CELLS))
    for k, own in enumerate(ratios):
        for part, values in enumerate((own, np.clip(own, -CLIP, CLIP))):
            sums = np.bincount(place, weights=values, minlength=n_texts * N_CELLS)
            found[:, k, part * N_CELLS : (part + 1) * N_CELLS] = sums.reshape(n_texts, N_CELLS)
    return found / size[:, None, None]
