"""Sequential evidence (T3): an author's commits, one after another, held against the team's."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from fingerprint.drift.calibrate import cells_of
from fingerprint.drift.nonconformity import NGRAMS, ROUTES, Nonconformity
from fingerprint.evaluation.novelty import FUSED, Texts
from fingerprint.evaluation.results import SequenceRow
from fingerprint.evaluation.sequences import Stream, judge_streams, streams_of
from fingerprint.signature import TeamSignature

AGAINST_CALIBRATION = "the calibration commits"
AGAINST_NEWEST = "the team's commits just before"


def find_sequences(who: str, signature: TeamSignature, team: Texts, theirs: Texts) -> Iterator[SequenceRow]:
    """Rows of streams of somebody's commits, by part of the score and by reference.

    Args:
        team, theirs: commits with counts; the team's own for the team itself.

    The second reference is as many of the newest commits as calibrated, all older than the stream.
    """
    if not (len(team) and len(theirs)):
        return
    scorer = Nonconformity.of_team(signature)
    names = [FUSED, ROUTES, NGRAMS] if scorer.lexical is not None else [ROUTES]
    for name in names:
        past = cells_of(signature.readings, "" if name in {FUSED} or len(names) == 1 else name)["all"]
        own, scores = (_score(scorer, texts, name) for texts in (team, theirs))
        streams = list(streams_of(scores, [p[0].author for p in theirs.passages], theirs.written_at))
        for against, reference_of in (
            (AGAINST_CALIBRATION, lambda _, past=past: past),
            (AGAINST_NEWEST, _newest(past, own, team.written_at)),
        ):
            row = judge_streams(who, name, against, streams, reference_of)
            if row is not None:
                yield row


def _score(scorer: Nonconformity, texts: Texts, name: str) -> np.ndarray:
    return scorer.score(texts.measures) if name == FUSED else scorer.parts(texts.measures)[name]


def _newest(past: np.ndarray, own: np.ndarray, written_at: np.ndarray) -> Callable[[Stream], np.ndarray]:
    """The newest scores before a stream begins, as many as calibrated."""
    order = np.argsort(written_at, kind="stable")

    def of(stream: Stream) -> np.ndarray:
        older = own[order[written_at[order] < stream.begins]]
        return np.concatenate([past, older])[-len(past) :]

    return of
