"""How often would the gate have stopped what the team merged? Scores it against the profile in use."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from connectors.contribution import FilePatch
from connectors.git import HistoryError
from connectors.git.merged import merged_changes
from connectors.git.mirror import Mirror
from connectors.github.pulls import MergedPull
from fingerprint.report import DriftReport, Verdict
from service.db.queries.pulls import note_backtest
from service.db.session import Database
from service.flows.review import Reviewer, not_scored, read_patches
from service.reports.backtest import Backtest


@dataclass(frozen=True, slots=True)
class MergedChange:
    """One thing that was merged. name: a pull request's number or a commit."""

    name: str
    patches: tuple[FilePatch, ...]


def local_changes(repository: Path, count: int) -> Iterator[MergedChange]:
    """The last merges, squashes and commits of the branch that is checked out."""
    for change in merged_changes(repository, count):
        yield MergedChange(change.commit[:12], change.patches)


def pull_changes(mirror: Mirror, pulls: Iterable[MergedPull], count: int) -> Iterator[MergedChange]:
    """The last merged pull requests at their heads; those whose commits are lost are left out."""
    for pull in islice(pulls, count):
        try:
            # the base branch as it was just before; later it contains the head itself
            patches = mirror.diff(mirror.parent(pull.merge_sha), pull.head_sha)
        except HistoryError:
            continue
        yield MergedChange(f"#{pull.number}", patches)


def run_backtest(
    changes: Iterable[MergedChange], review: Callable[[tuple[FilePatch, ...]], DriftReport], limit: float,
    progress: Callable[[int], None] | None = None,
) -> Backtest:  # fmt: skip
    """Score every change and count.

    Args:
        review: scores patches, as ``reviewing`` does.
        progress: told the number of changes looked at.
    """
    from fingerprint.drift.calibrate import clopper_pearson

    n_scored, n_unscored, flagged, signature = 0, 0, [], ""
    for number, change in enumerate(changes, 1):
        report = review(change.patches)
        signature = report.signature or signature
        if report.verdict is Verdict.NOT_SCORED:
            n_unscored += 1
        else:
            n_scored += 1
            flagged += [change.name] if report.verdict is Verdict.UNUSUAL else []
        if progress is not None:
            progress(number)
    low, high = clopper_pearson(len(flagged), n_scored)
    return Backtest(n_scored, len(flagged), n_unscored, low, high, limit, tuple(flagged), signature)


def remember_backtest(database: Database, profile: str, found: Backtest, alarm_level: float) -> int:
    """Keep a back-test where the gate looks for it; returns how many teams are scored with the profile.

    Args:
        profile: digest of the profile that was tested. alarm_level: the p-value that flags.
    """
    with database.writing() as session:
        return note_backtest(
            session, profile, n_pulls=found.n_scored + found.n_unscored, n_scored=found.n_scored,
            n_flagged=found.n_flagged, alarm_level=alarm_level,
            figures={
                "low": found.low, "high": found.high, "limit": found.limit, "flagged": list(found.flagged)
            },
        )  # fmt: skip


def reviewing(reviewer: Reviewer) -> Callable[[tuple[FilePatch, ...]], DriftReport]:
    """A loaded profile as a scorer of patches."""

    def review(patches: tuple[FilePatch, ...]) -> DriftReport:
        reading = read_patches(patches)
        return not_scored(reading.reason, reading) if reading.reason else reviewer.review_reading(reading)

    return review
