"""Sequential evidence (T3): an author's commits, one after another, held against the team's."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from fingerprint.drift.nonconformity import Nonconformity
from fingerprint.evaluation.novelty import FUSED, Texts
from fingerprint.evaluation.results import SequenceRow
from fingerprint.evaluation.sequences import judge_streams, streams_of
from fingerprint.signature import TeamSignature

AGAINST = "the others' commits before"


def find_sequences(who: str, signature: TeamSignature, team: Texts, theirs: Texts) -> Iterator[SequenceRow]:
    """Rows of streams of somebody's commits, by part of the score.

    Args:
        team, theirs: later commits with counts; the team's own for the team itself.

    Each stream is held against the team's later commits before it, its own author's left out: small commits
    too, which the signature's calibration leaves out and evidence can add up.
    """
    if not (len(team) and len(theirs)):
        return
    scorer = Nonconformity.of_team(signature)
    own, other = ({FUSED: scorer.score(t.measures)} | scorer.parts(t.measures) for t in (team, theirs))
    by = np.array([passages[0].author for passages in team.passages])
    written_at = team.written_at
    authors = [passages[0].author for passages in theirs.passages]
    for name, scores in own.items():
        streams = streams_of(other[name], authors, theirs.written_at)
        older = ((one, scores[(written_at < one.begins) & (by != one.author)]) for one in streams)
        row = judge_streams(who, name, AGAINST, older)
        if row is not None:
            yield row
