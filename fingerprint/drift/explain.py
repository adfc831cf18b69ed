"""Where team and diff part: the tokens, told as whole words, with the team's own lines beside them.

A place is worth telling when the team's model prefers another token, is sure of it, and has learnt that
preference from the team: with a = the diff's token and b = the team's favourite,

    weight = p_team(b) * min((log p_team(b) - log p_team(a)) - (log p_base(b) - log p_base(a)), cap)

The bracket is what the adaptation moved the odds; the base's own odds are taken off, so a place that
surprises every model is no finding. Probabilities shown are those of the first token at the place; words are
completed greedily for reading.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float

from fingerprint.drift.team_lines import TeamLines
from fingerprint.drift.words import LinePlaces, first_unit, visible, word_head
from fingerprint.lm.pair import RoutedModel, RouteWeights
from fingerprint.lm.tokens import Batch, TokenizedPassage, guess_log_probs, length_buckets, pad_batch
from fingerprint.passage import Passage
from fingerprint.report import Finding, Guess, TokenShift

N_GUESSES = 3
SHIFT_CAP = 6.0
"""Nats of moved odds beyond which a place is not more remarkable."""
_COMPLETION_STEPS = 6
_COMPLETION_WINDOW = 64
_SPARE = 2
"""Places completed per finding wanted: some turn out to be the same word in other pieces."""


@dataclass(frozen=True, slots=True)
class Place:
    """One scored target where the team's model prefers another token.

    Attributes:
        passage_index, row, column: which passage, window and token. start: character position.
        weight: how much it is worth telling.
        log_ratio: log p_team - log p_base of the diff's token. probability, base_probability: of it.
        team, base: the likeliest (token, probability), best first.
    """

    passage_index: int
    row: int
    column: int
    start: int
    weight: float
    log_ratio: float
    probability: float
    base_probability: float
    team: tuple[tuple[int, float], ...]
    base: tuple[tuple[int, float], ...]


def find_places(
    routed: RoutedModel, team_weights: RouteWeights, rows: Sequence[TokenizedPassage], batch_tokens: int
) -> list[Place]:
    """Every scored target where the team's favourite is another token and the team made it so, unordered."""
    found: list[Place] = []
    zero = routed.zero_weights()
    for indices in length_buckets(rows, batch_tokens):
        batch = pad_batch(rows, indices).to(routed.device)
        targets = batch.scored.nonzero()
        at = (targets[:, 0].tolist(), targets[:, 1].tolist())
        with torch.no_grad():
            with routed.at(zero, team_weights, 1.0) as model:
                team = guess_log_probs(model, batch, *at)
            with routed.at(zero, team_weights, 0.0) as model:
                base = guess_log_probs(model, batch, *at)
        found += _compare(rows, indices, batch, at, team, base)
    return found


def _compare(
    rows: Sequence[TokenizedPassage],
    indices: Sequence[int],
    batch: Batch,
    at: tuple[list[int], list[int]],
    team: Float[torch.Tensor, "n v"],
    base: Float[torch.Tensor, "n v"],
) -> list[Place]:
    """Places of one batch from the two distributions [n, vocabulary] at its targets."""
    actual = batch.ids[at[0], at[1]][:, None]
    best = team.argmax(1, keepdim=True)
    odds = (team.gather(1, best) - team.gather(1, actual))[:, 0]
    moved = odds - (base.gather(1, best) - base.gather(1, actual))[:, 0]
    weight = team.gather(1, best)[:, 0].exp() * moved.clamp(max=SHIFT_CAP)
    team_top, base_top = team.topk(N_GUESSES), base.topk(N_GUESSES)
    own, control = team.gather(1, actual)[:, 0], base.gather(1, actual)[:, 0]
    places: list[Place] = []
    for i in torch.nonzero((odds > 0) & (moved > 0))[:, 0].tolist():
        row = indices[at[0][i]]
        tops = [
            tuple(zip(top.indices[i].tolist(), top.values[i].exp().tolist(), strict=True))
            for top in (team_top, base_top)
        ]
        places.append(Place(
            rows[row].passage_index, row, at[1][i], int(rows[row].offsets[at[1][i], 0]), float(weight[i]),
            float(own[i] - control[i]), float(own[i].exp()), float(control[i].exp()), tops[0], tops[1],
        ))  # fmt: skip
    return places


def find_findings(
    routed: RoutedModel,
    team_weights: RouteWeights,
    passages: Sequence[Passage],
    rows: Sequence[TokenizedPassage],
    team_lines: TeamLines | None,
    *,
    per_passage: int = 5,
    batch_tokens: int = 2048,
) -> list[tuple[Finding, ...]]:
    """Findings of every passage, the most telling first; at most one a line, duplicates merged.

    Those whose expected word the team's own lines bear out come first: a small model completes some
    expectations to words that nobody wrote.

    Args:
        rows: ``tokenize_passages`` of the passages.
        team_lines: the team's own lines; None quotes nothing.
    """
    places = find_places(routed, team_weights, rows, batch_tokens)
    chosen = [
        place
        for index, passage in enumerate(passages)
        for place in _one_a_line(
            passage, [p for p in places if p.passage_index == index], per_passage * _SPARE
        )
    ]
    told = []
    for place, shift, (head, wanted) in _tell(routed, team_weights, passages, rows, chosen):
        left = passages[place.passage_index].text[: place.start - len(head)]
        quoted = team_lines.find(left, wanted) if team_lines is not None else ()
        told.append((place, Finding(shift=shift, team_lines=quoted)))
    return _with_base(routed, team_weights, passages, rows, _choose(told, len(passages), per_passage))


def _choose(
    told: Sequence[tuple[Place, Finding]], n_passages: int, per_passage: int
) -> list[list[tuple[Place, Finding]]]:
    """Findings by passage: those the team's own lines bear out first, then the weightiest; each once."""
    found: list[list[tuple[Place, Finding]]] = [[] for _ in range(n_passages)]
    seen: set[tuple[str, str]] = set()
    for place, finding in sorted(told, key=lambda item: (not item[1].team_lines, -item[0].weight)):
        shift, mine = finding.shift, found[place.passage_index]
        pair = (shift.text, shift.expected[0].text)
        if pair[0] == pair[1] or pair in seen or len(mine) >= per_passage:
            continue
        seen.add(pair)
        mine.append((place, finding))
    return found


def _with_base(
    routed: RoutedModel, team_weights: RouteWeights, passages: Sequence[Passage],
    rows: Sequence[TokenizedPassage], chosen: Sequence[Sequence[tuple[Place, Finding]]],
) -> list[tuple[Finding, ...]]:  # fmt: skip
    """The findings with the base's guesses as whole words, which only those that are told need."""
    places = [place for one in chosen for place, _ in one]
    prefixes = [rows[place.row].ids[: place.column] for place in places]
    with routed.at(routed.zero_weights(), team_weights, 0.0):
        words = complete_tokens(routed, prefixes, [[token for token, _ in place.base] for place in places])
    told = iter(words)
    return [
        tuple(
            _with_guesses(finding, passages[place.passage_index], place, next(told)) for place, finding in one
        )
        for one in chosen
    ]


def _with_guesses(finding: Finding, passage: Passage, place: Place, words: Sequence[str]) -> Finding:
    guesses = _guesses(passage.text, place.start, words, place.base)
    return finding.model_copy(update={"shift": finding.shift.model_copy(update={"base_expected": guesses})})


def _one_a_line(passage: Passage, places: Sequence[Place], n: int) -> list[Place]:
    """The weightiest place of each line, at most n."""
    where = LinePlaces(passage)
    kept: dict[int, Place] = {}
    for place in sorted(places, key=lambda p: -p.weight):
        kept.setdefault(where.place(place.start)[0], place)
    return list(kept.values())[:n]


def _tell(
    routed: RoutedModel,
    team_weights: RouteWeights,
    passages: Sequence[Passage],
    rows: Sequence[TokenizedPassage],
    places: Sequence[Place],
) -> list[tuple[Place, TokenShift, tuple[str, str]]]:
    """(place, shift without the base's guesses, (head, raw expected text from its start)), as words."""
    prefixes = [rows[place.row].ids[: place.column] for place in places]
    tops = [[token for token, _ in place.team] for place in places]
    with routed.at(routed.zero_weights(), team_weights, 1.0):
        team = complete_tokens(routed, prefixes, tops)
    return [_shift(passages[place.passage_index], place, team[i]) for i, place in enumerate(places)]


def _shift(passage: Passage, place: Place, team: Sequence[str]) -> tuple[Place, TokenShift, tuple[str, str]]:
    text = passage.text
    here = text[place.start : place.start + 80]
    unit = _whole(text, place.start, here)
    n_blank = len(here) - len(here.lstrip()) if here.strip() and unit.strip() else 0
    line, column = LinePlaces(passage).place(place.start + n_blank)
    shift = TokenShift(
        line=line, column=max(0, column), text=visible(unit), probability=place.probability,
        base_probability=place.base_probability, log_ratio=place.log_ratio,
        expected=_guesses(text, place.start, team, place.team),
        base_expected=(),
    )  # fmt: skip
    head = word_head(text, place.start, team[0])
    return place, shift, (head, head + team[0])


def _whole(text: str, start: int, following: str) -> str:
    """The whole word, operator or white space that begins or goes on at ``start``."""
    return word_head(text, start, following) + first_unit(following)[0]


def _guesses(
    text: str, start: int, told: Sequence[str], tops: Sequence[tuple[int, float]]
) -> tuple[Guess, ...]:
    """Guesses as whole words; those that read alike are one, with the larger probability."""
    merged: dict[str, float] = {}
    for words, (_, probability) in zip(told, tops, strict=False):
        merged.setdefault(visible(_whole(text, start, words)), probability)
    return tuple(Guess(text=word, probability=p) for word, p in merged.items())


def complete_tokens(
    routed: RoutedModel, prefixes: Sequence[np.ndarray], tokens: Sequence[Sequence[int]]
) -> list[list[str]]:
    """Continue each token greedily, in the model's current state, until its word is whole.

    Args:
        prefixes: token ids before the place. tokens: per prefix, the tokens to continue.

    Returns:
        Per prefix and token the text, cut after the first whole unit (its leading space kept). The left
        context is cut to a window: what completes a word is near.
    """
    drafts = [
        _Draft(i, j, _window(prefix, token), 1)
        for i, (prefix, some) in enumerate(zip(prefixes, tokens, strict=True)) for j, token in enumerate(some)
    ]  # fmt: skip
    texts = [[""] * len(some) for some in tokens]
    for step in range(_COMPLETION_STEPS + 1):
        open_drafts: list[_Draft] = []
        for draft in drafts:
            text, is_whole = _cut(_decode(routed, draft))
            texts[draft.prefix][draft.choice] = text
            if not is_whole:
                open_drafts.append(draft)
        if step == _COMPLETION_STEPS or not open_drafts:
            break
        drafts = _extend(routed, open_drafts)
    return texts


@dataclass(frozen=True, slots=True)
class _Draft:
    """A continuation in the making: its ids, the last n_new of them new."""

    prefix: int
    choice: int
    ids: np.ndarray
    n_new: int


def _window(prefix: np.ndarray, token: int) -> np.ndarray:
    """The last tokens of a prefix behind its fixed first token, then the token."""
    near = prefix[1:][-_COMPLETION_WINDOW:]
    return np.concatenate([prefix[:1], near, np.array([token], np.int32)]).astype(np.int32)


def _decode(routed: RoutedModel, draft: _Draft) -> str:
    return str(routed.base.tokenizer.decode(draft.ids[-draft.n_new :].tolist()))


def _cut(text: str) -> tuple[str, bool]:
    """(text up to the end of its first unit, whether it is whole); only words are ever continued."""
    unit, is_whole = first_unit(text)
    lead = text[: text.find(unit)] if unit else ""
    is_word = bool(unit) and (unit[0].isalnum() or unit[0] == "_")
    return lead + unit, bool(unit) and (is_whole or not is_word)


@torch.no_grad()
def _extend(routed: RoutedModel, drafts: Sequence[_Draft]) -> list[_Draft]:
    """Every draft with its likeliest next token."""
    longer: list[_Draft] = []
    rows = [
        TokenizedPassage(
            np.append(draft.ids, np.int32(0)), np.zeros(len(draft.ids) + 1, bool),
            np.zeros((len(draft.ids) + 1, 2), np.int32), i,
        )
        for i, draft in enumerate(drafts)
    ]  # fmt: skip
    for indices in length_buckets(rows, 4096):
        batch = pad_batch(rows, indices).to(routed.device)
        columns = [len(rows[i]) - 1 for i in indices]
        best = guess_log_probs(routed.model, batch, list(range(len(indices))), columns).argmax(1).tolist()
        for i, token in zip(indices, best, strict=True):
            ids = np.append(drafts[i].ids, np.int32(token)).astype(np.int32)
            longer.append(replace(drafts[i], ids=ids, n_new=drafts[i].n_new + 1))
    return longer
