"""Does drift find what reviewers remarked on? Scores hunks of merged pull requests as they were remarked on.

The last commit is the wrong place to look: by then the remark has been followed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from connectors.contribution import FilePatch
from connectors.git.followed import followed_reviews
from fingerprint.evaluation.remarks import (
    LEAST_CHANGES,
    LEAST_REMARKED,
    RemarkRanking,
    TooFewRemarks,
    contrast_remarks,
    rank_remarks,
)
from fingerprint.evaluation.significance import PairedDifference
from fingerprint.passage import Passage
from fingerprint.report import DriftReport, HunkDrift
from service.db.queries.pulls import list_remarked
from service.db.session import Session
from service.flows.backtest import MergedHead, Tested, reviewing
from service.flows.review import Reviewer, read_patches

if TYPE_CHECKING:
    from fingerprint.drift.lexical import LexicalView

DRIFT, NGRAMS, SURPRISE, SIZE = "routing drift", "n-grams", "base's surprise", "size"
"""What is compared: Lambda_team per scored token, negated, and the controls beside it."""

Place = tuple[str, int]
"""Path and line of a remark; line 0: on no line of the new file."""


@dataclass(frozen=True)
class Remarks:
    """The style remarks of merged pull requests. heads: the commits that were remarked on; places: where.

    is_followed: of no review threads, but of what later commits of the branch rewrote after a review.
    """

    heads: tuple[MergedHead, ...] = ()
    places: Mapping[MergedHead, tuple[Place, ...]] = field(default_factory=dict)
    is_followed: bool = False

    @property
    def n_remarks(self) -> int:
        """How many there are."""
        return sum(map(len, self.places.values()))

    @property
    def n_pulls(self) -> int:
        """On how many pull requests."""
        return len({head.number for head in self.heads})

    @property
    def may_suffice(self) -> bool:
        """Whether it is worth loading a model: no more hunks than remarks will have one."""
        return self.n_remarks >= LEAST_REMARKED and self.n_pulls >= LEAST_CHANGES


def find_remarks(session: Session, repository_id: int, count: int) -> Remarks:
    """The remarks on the last so many merged pull requests that have any."""
    places: dict[MergedHead, list[Place]] = {}
    for pull, threads in list_remarked(session, repository_id, count):
        for thread in threads:
            head = MergedHead(pull.number, thread.commit_sha or pull.head_sha, pull.merge_commit_sha)
            places.setdefault(head, []).append((thread.path, thread.line or 0))
    return Remarks(tuple(places), {head: tuple(own) for head, own in places.items()})


def find_followed(repository: Path, count: int, after: date | None = None) -> Remarks:
    """What followed the reviews of the last so many merged pull requests, as the history alone tells it.

    Weaker labels than threads: a review asks for more than style, and a commit may rewrite more than was
    asked.

    Args:
        after: only pull requests merged later than this day, which a profile of that day has not read.

    Raises:
        HistoryError: git failed.
    """
    places = {
        MergedHead(one.number, one.head, one.merge): one.lines
        for one in followed_reviews(repository, count, after)
    }
    return Remarks(tuple(places), places, is_followed=True)


@dataclass(frozen=True, slots=True)
class ScoredHunk:
    """One hunk with its figures by name. Lines are the new file's, context included. text: what was added."""

    path: str
    first_line: int
    last_line: int
    text: str
    figures: dict[str, float]

    def holds(self, place: Place) -> bool:
        """Whether a remark stands in it."""
        return place[0] == self.path and self.first_line <= place[1] <= self.last_line


ReadHunks = Callable[[tuple[FilePatch, ...]], tuple[ScoredHunk, ...]]
"""Patches as scored hunks; () where the change is NOT SCORED."""


def reading_hunks(
    review: Callable[[tuple[FilePatch, ...]], DriftReport], lexical: LexicalView | None = None
) -> ReadHunks:
    """A scorer of patches as a reader of their hunks.

    Args:
        review: scores patches, as ``reviewing`` does. lexical: of the signature; None: no n-grams.
    """

    def read(patches: tuple[FilePatch, ...]) -> tuple[ScoredHunk, ...]:
        hunks = review(patches).hunks
        passages = {(one.path, one.first_line): one for one in read_patches(patches).passages}
        found = [_scored_hunk(one, passages[one.path, one.first_line]) for one in hunks]
        if lexical is not None and found:
            sizes = np.array([one.figures[SIZE] for one in found])
            novelty = lexical.score_texts([one.text for one in found], sizes)
            for one, value in zip(found, novelty, strict=True):
                one.figures[NGRAMS] = float(value)
        return tuple(found)

    return read


def reading_with(reviewer: Reviewer) -> ReadHunks:
    """A loaded profile as a reader of hunks."""
    return reading_hunks(reviewing(reviewer.without_explaining()), reviewer.profile.scorer.lexical)


def _scored_hunk(hunk: HunkDrift, passage: Passage) -> ScoredHunk:
    figures = {DRIFT: -hunk.log_ratio / hunk.n_tokens, SIZE: float(hunk.n_tokens)}
    if hunk.base_log_prob is not None:
        figures[SURPRISE] = -hunk.base_log_prob / hunk.n_tokens
    last_line = hunk.first_line + passage.text.count("\n") - 2  # the header is the first of them
    return ScoredHunk(hunk.path, hunk.first_line, last_line, passage.marked, figures)


@dataclass(frozen=True)
class RemarksFound:
    """Whether drift finds what reviewers remarked on, beside the controls.

    Attributes:
        n_remarks: on n_pulls pull requests, at n_commits commits. n_lost: of commits that are lost.
        n_outside: on no scored hunk: deleted lines, whole files, other teams' files, and what is not scored.
        n_unscored: commits that are NOT SCORED.
        n_hunks: scored hunks, of them n_remarked with a remark.
        rankings: by figure, drift first; none where no model was loaded, for there are too few remarks.
        contrasts: by control, drift's AUROC minus the control's on the same pairs; none with too few remarks.
        is_followed: the remarks are what later commits rewrote after a review, as the history tells it.
    """

    n_pulls: int
    n_commits: int
    n_remarks: int
    n_lost: int = 0
    n_outside: int = 0
    n_unscored: int = 0
    n_hunks: int = 0
    n_remarked: int = 0
    rankings: Mapping[str, RemarkRanking | TooFewRemarks] = field(default_factory=dict)
    contrasts: Mapping[str, PairedDifference] = field(default_factory=dict)
    is_followed: bool = False

    @property
    def reason(self) -> str:
        """Why nothing can be said, or ""."""
        if not self.n_remarks:
            return "there are no remarks"
        drift = self.rankings.get(DRIFT)
        if drift is None:
            return "there are too few remarks"
        return drift.reason if isinstance(drift, TooFewRemarks) else ""

    @classmethod
    def without_scoring(cls, remarks: Remarks) -> RemarksFound:
        """Of remarks that cannot suffice."""
        return cls(remarks.n_pulls, len(remarks.heads), remarks.n_remarks, is_followed=remarks.is_followed)


@dataclass(frozen=True, slots=True)
class _Row:
    head: MergedHead
    hunk: ScoredHunk
    is_remarked: bool


def run_remarks(
    tested: Tested, remarks: Remarks, read: ReadHunks, progress: Callable[[int], None] = lambda _: None
) -> RemarksFound:
    """Score every change as it was remarked on, and rank the remarked hunks among the others of their diff.

    Args:
        tested: what reviews of the team score with. progress: told the number of commits looked at.
    """
    lost: list[MergedHead] = []
    heads = {(head.name, head.head_sha): head for head in remarks.heads}
    rows: list[_Row] = []
    n_unscored = 0
    changes = replace(tested, pulls=remarks.heads).changes(len(heads), lost.append) if heads else ()
    for change in changes:
        head = heads[change.name, change.commit]
        hunks = read(change.patches)
        n_unscored += not hunks
        rows += [_Row(head, one, any(map(one.holds, remarks.places[head]))) for one in hunks]
        progress(remarks.heads.index(head) + 1)
    n_lost = sum(len(remarks.places[head]) for head in lost)
    n_placed = sum(one.hunk.holds(place) for one in rows for place in remarks.places[one.head])
    kept = _without_echoes(rows)
    return RemarksFound(
        remarks.n_pulls, len(heads), remarks.n_remarks, n_lost, remarks.n_remarks - n_lost - n_placed,
        n_unscored, len(kept), sum(one.is_remarked for one in kept), *_rank(kept),
        remarks.is_followed,
    )  # fmt: skip


def _without_echoes(rows: list[_Row]) -> list[_Row]:
    """Without hunks that were remarked on at another commit of the pull request and stand here unchanged."""
    remarked = {(one.head.number, one.hunk.path, one.hunk.text) for one in rows if one.is_remarked}
    return [
        one
        for one in rows
        if one.is_remarked or (one.head.number, one.hunk.path, one.hunk.text) not in remarked
    ]


def _rank(
    rows: list[_Row],
) -> tuple[dict[str, RemarkRanking | TooFewRemarks], dict[str, PairedDifference]]:
    """Rankings of the figures that every hunk has, and drift's against each control's."""
    is_remarked = np.array([one.is_remarked for one in rows], dtype=bool)
    pulls, commits = [one.head.name for one in rows], [one.head.head_sha for one in rows]
    figures = {
        name: np.array([one.hunk.figures[name] for one in rows])
        for name in (DRIFT, NGRAMS, SURPRISE, SIZE)
        if (rows or name == DRIFT) and all(name in one.hunk.figures for one in rows)
    }
    rankings = {name: rank_remarks(values, is_remarked, pulls, commits) for name, values in figures.items()}
    contrasts = {
        name: contrast_remarks(figures[DRIFT], values, is_remarked, pulls, commits)
        for name, values in figures.items()
        if name != DRIFT
    }
    return rankings, {name: one for name, one in contrasts.items() if isinstance(one, PairedDifference)}
