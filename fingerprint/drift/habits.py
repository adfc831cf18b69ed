"""Words that an author's adapter made likelier where the author writes them, chosen and confirmed apart.

On code that no adapter was trained on: gain = log p_author - log p_reference of every scored token, where the
reference is an adapter of as much of everybody's code. The commits are dealt into two halves; the first
chooses the words, the second says what they are worth, beside adapters of shuffled authors. Some words gain
by chance, and the first half's figures are too large for exactly that reason.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from fingerprint.drift.words import visible_start
from fingerprint.lm.pair import RoutedModel, RouteWeights, scored_log_probs
from fingerprint.lm.tokens import (
    TokenizedPassage,
    guess_log_probs,
    length_buckets,
    pad_batch,
    tokenize_passages,
)
from fingerprint.passage import Passage
from fingerprint.report import Guess, Habits, WordPlace, WordShift

LEAST_PLACES = 4
"""Places in each half below which a word says nothing."""
LEAST_COMMITS = 2
"""Commits of each half it must stand in."""
MOST_WORDS = 12
_LEAST_TO_CORRELATE = 3


@dataclass(frozen=True, eq=False)
class _Reading:
    """Every scored token, in order.

    Attributes:
        token: ids. window, column: where it stands in the tokenized rows. half: 0 or 1. commit: its number.
        base, reference, author: log-probabilities. nulls: [n_null, n] of null adapters.
    """

    token: Int[np.ndarray, " n"]
    window: Int[np.ndarray, " n"]
    column: Int[np.ndarray, " n"]
    commit: Int[np.ndarray, " n"]
    base: Float[np.ndarray, " n"]
    reference: Float[np.ndarray, " n"]
    author: Float[np.ndarray, " n"]
    nulls: Float[np.ndarray, "k n"]

    @property
    def is_second(self) -> Bool[np.ndarray, " n"]:
        """The half that confirms: every other commit, so that both span the same time."""
        return self.commit % 2 == 1

    @property
    def gain(self) -> Float[np.ndarray, " n"]:
        """What the author's own adapter adds."""
        return self.author - self.reference


def find_habits(
    routed: RoutedModel,
    passages: Sequence[Passage],
    *,
    reference: RouteWeights,
    author: RouteWeights,
    nulls: Sequence[RouteWeights],
    passage_tokens: int,
    batch_tokens: int,
) -> Habits:
    """Read an author's unseen code in every state and tell what comes back.

    Args:
        passages: one author's, of commits that no adapter was trained on.
        reference, author, nulls: model states; each null is an adapter of shuffled authors.
    """
    rows = tokenize_passages(routed.base, passages, passage_tokens)
    states = [routed.zero_weights(), reference, author, *nulls]
    reading = _read(rows, passages, [_log_probs(routed, rows, state, batch_tokens) for state in states])
    tested = _tested(reading)
    first = {word: _mean(reading.gain, reading, word, 0) for word in tested}
    chosen = sorted((word for word in tested if first[word] > 0), key=lambda word: -first[word])
    told = [_tell(word, first[word], reading, rows, passages, routed) for word in chosen]
    kept = [one for one in told if one[0].second_gain > max((0.0, *one[0].null_gains))]
    shown = sorted(kept, key=lambda one: -one[0].second_gain)[:MOST_WORDS]
    return Habits(
        words=_with_guesses(shown, rows, routed, author, batch_tokens), n_tested=len(tested),
        n_chosen=len(chosen), n_tokens=len(reading.token),
        correlation=_correlation(reading.gain, reading, tested),
        null_correlations=tuple(
            found for null in reading.nulls
            if (found := _correlation(null - reading.reference, reading, tested)) is not None
        ),
    )  # fmt: skip


def _log_probs(
    routed: RoutedModel, rows: Sequence[TokenizedPassage], state: RouteWeights, batch_tokens: int
) -> Float[np.ndarray, " n"]:
    with routed.at(state, state, 0.0):
        found = scored_log_probs(routed, rows, batch_tokens)
    return np.concatenate([np.zeros(0, np.float32), *found]).astype(np.float64)


def _read(
    rows: Sequence[TokenizedPassage], passages: Sequence[Passage], found: Sequence[Float[np.ndarray, " n"]]
) -> _Reading:
    commits = {group: n for n, group in enumerate(dict.fromkeys(passage.group for passage in passages))}
    places = [
        (int(row.ids[t]), window, int(t), commits[passages[row.passage_index].group])
        for window, row in enumerate(rows) for t in np.flatnonzero(row.scored)
    ]  # fmt: skip
    token, window, column, commit = np.array(places, dtype=int).reshape(-1, 4).T
    base, reference, author, *nulls = found
    return _Reading(
        token,
        window,
        column,
        commit,
        base,
        reference,
        author,
        np.array(nulls).reshape(len(nulls), len(token)),
    )


def _tested(reading: _Reading) -> list[int]:
    """Tokens that stand often enough, and in enough commits, in both halves."""
    halves: list[set[int]] = []
    for half in (~reading.is_second, reading.is_second):
        places = Counter(reading.token[half].tolist())
        commits: defaultdict[int, set[int]] = defaultdict(set)
        for token, commit in zip(reading.token[half].tolist(), reading.commit[half].tolist(), strict=True):
            commits[token].add(commit)
        halves.append(
            {t for t, n in places.items() if n >= LEAST_PLACES and len(commits[t]) >= LEAST_COMMITS}
        )
    return sorted(halves[0] & halves[1])


def _at(reading: _Reading, token: int, half: int) -> Int[np.ndarray, " k"]:
    return np.flatnonzero((reading.token == token) & (reading.is_second == bool(half)))


def _mean(values: Float[np.ndarray, " n"], reading: _Reading, token: int, half: int) -> float:
    return float(values[_at(reading, token, half)].mean())


def _correlation(values: Float[np.ndarray, " n"], reading: _Reading, tested: Sequence[int]) -> float | None:
    """Of the two halves' mean gains over words."""
    if len(tested) < _LEAST_TO_CORRELATE:
        return None
    means = np.array([[_mean(values, reading, token, half) for token in tested] for half in (0, 1)])
    if not means.std(axis=1).all():
        return None
    return float(np.corrcoef(means)[0, 1])


def _tell(
    token: int, first_gain: float, reading: _Reading, rows: Sequence[TokenizedPassage],
    passages: Sequence[Passage], routed: RoutedModel,
) -> tuple[WordShift, tuple[int, int]]:  # fmt: skip
    """The word, and where its example stands: (window, column)."""
    second = _at(reading, token, 1)
    best = int(second[np.argmax(reading.gain[second])])
    row = rows[reading.window[best]]
    start, end = row.offsets[reading.column[best]].tolist()
    line, column = _line_of(passages[row.passage_index].text, start, end)
    base, reference, author = (
        float(np.exp(v[best])) for v in (reading.base, reading.reference, reading.author)
    )
    word = WordShift(
        text=routed.base.token_text(token), n_first=len(_at(reading, token, 0)), n_second=len(second),
        first_gain=first_gain, second_gain=float(reading.gain[second].mean()),
        null_gains=tuple(float((null - reading.reference)[second].mean()) for null in reading.nulls),
        example=WordPlace(
            line=line, column=column, path=passages[row.passage_index].path, base=base, reference=reference,
            author=author,
        ),
    )  # fmt: skip
    return word, (int(reading.window[best]), int(reading.column[best]))


def _with_guesses(
    told: Sequence[tuple[WordShift, tuple[int, int]]], rows: Sequence[TokenizedPassage], routed: RoutedModel,
    author: RouteWeights, batch_tokens: int,
) -> tuple[WordShift, ...]:  # fmt: skip
    """The words with what base and author find likeliest at their examples."""
    places = [place for _, place in told]
    base, own = (
        _likeliest(routed, state, rows, places, batch_tokens) for state in (routed.zero_weights(), author)
    )
    found = []
    for word, place in told:
        guesses = {"base_guess": base[place], "author_guess": own[place]}
        example = word.example.model_copy(update=guesses)
        found.append(word.model_copy(update={"example": example}))
    return tuple(found)


def _likeliest(
    routed: RoutedModel, state: RouteWeights, rows: Sequence[TokenizedPassage],
    places: Sequence[tuple[int, int]], batch_tokens: int,
) -> dict[tuple[int, int], Guess]:  # fmt: skip
    """The likeliest token at each place (window, column)."""
    found: dict[tuple[int, int], Guess] = {}
    windows = sorted({window for window, _ in places})
    for chosen in length_buckets([rows[window] for window in windows], batch_tokens):
        here = [windows[i] for i in chosen]
        wanted = [place for place in dict.fromkeys(places) if place[0] in here]
        batch = pad_batch(rows, here).to(routed.device)
        at = [here.index(window) for window, _ in wanted], [column for _, column in wanted]
        with routed.at(state, state, 0.0) as model, torch.no_grad():
            values, tokens = guess_log_probs(model, batch, *at).max(dim=1)
        for place, value, token in zip(wanted, values.exp().tolist(), tokens.tolist(), strict=True):
            found[place] = Guess(text=routed.base.token_text(token), probability=value)
    return found


def _line_of(text: str, start: int, end: int) -> tuple[str, int]:
    """The line on which a token's first character that is no space stands, and its column there."""
    at = visible_start(text, start, end)
    begin = text.rfind("\n", 0, at) + 1
    return text[begin:].partition("\n")[0], at - begin
