"""What matched pairs are compared by: directions of training, n-grams, and what trained adapters say."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from jaxtyping import Float

from fingerprint.evaluation.baselines import ngram_profiles
from fingerprint.evaluation.pairs import MatchedPairs
from fingerprint.lm.pair import RoutedModel, RouteWeights, scored_log_probs
from fingerprint.lm.tokens import tokenize_passages
from fingerprint.passage import Passage
from fingerprint.routing.scan import scan

_TEXTS_AT_ONCE = 16


def training_directions(
    routed: RoutedModel,
    state: RouteWeights,
    passages: Sequence[Passage],
    progress: Callable[[int, int], None] = lambda _done, _of: None,
) -> Float[np.ndarray, "h p"]:
    """Where one step of training on a passage would move B: its log-probability's gradient, flattened.

    An adapter trained from this state is to first order the sum of its texts' directions.
    """
    rows: list[np.ndarray] = []
    for start in range(0, len(passages), _TEXTS_AT_ONCE):
        chunk = passages[start : start + _TEXTS_AT_ONCE]
        windows = tokenize_passages(routed.base, chunk)
        found = scan(routed, state, windows, np.array([window.passage_index for window in windows]))
        flat = [k.flatten(0, 1).T.float().cpu().numpy() for k in found.K.values()]
        rows.append(np.concatenate(flat, axis=1))
        progress(min(start + _TEXTS_AT_ONCE, len(passages)), len(passages))
    return np.concatenate(rows)


def ngram_directions(passages: Sequence[Passage]) -> Float[np.ndarray, "h p"]:
    """Character n-grams (B1's features) of each passage's marked text."""
    return ngram_profiles([[passage.marked] for passage in passages])


def pair_leans(
    routed: RoutedModel, states: Mapping[str, RouteWeights], matched: MatchedPairs
) -> dict[int, float]:
    """How much more each author's state favours their own hunk of a pair, nats a token, by pair.

    (log p_a - log p_b) per token of a's hunk minus the same of b's: what both hunks share cancels. Pairs
    of authors without a state are left out.
    """
    has = [
        i
        for i, pair in enumerate(matched.pairs)
        if {matched.passages[pair.first].author, matched.passages[pair.second].author} <= set(states)
    ]
    hunks = sorted({side for i in has for side in (matched.pairs[i].first, matched.pairs[i].second)})
    windows = tokenize_passages(routed.base, [matched.passages[i] for i in hunks])
    means: dict[tuple[str, int], float] = {}
    for author, state in states.items():
        with routed.at(state, state, 0.0):
            found = scored_log_probs(routed, windows)
        for place, hunk in enumerate(hunks):
            own = [x for x, window in zip(found, windows, strict=True) if window.passage_index == place]
            means[author, hunk] = float(np.concatenate(own).mean()) if own else 0.0
    leans: dict[int, float] = {}
    for i in has:
        first, second = matched.pairs[i].first, matched.pairs[i].second
        a, b = matched.passages[first].author, matched.passages[second].author
        leans[i] = means[a, first] - means[b, first] - (means[a, second] - means[b, second])
    return leans
