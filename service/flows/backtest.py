"""How often would the gate have stopped what the team merged? Scores it against the profile in use."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from connectors.contribution import FilePatch
from connectors.git import HistoryError
from connectors.git.merged import merged_changes
from connectors.git.mirror import Mirror
from fingerprint.report import DriftReport, Verdict
from service.db.queries.pulls import list_merged, note_backtest
from service.db.queries.repositories import list_teams, number_of
from service.db.queries.signatures import current_version, scope_of_team
from service.db.session import Database, Session
from service.db.tables import Repository
from service.flows.publish import choose_patches
from service.flows.review import Reviewer, not_scored, read_patches
from service.flows.team import fits, team_of
from service.reports.backtest import Backtest
from service.repository_config import FILE_NAME, ConfigError, RepositoryConfig, parse_config


@dataclass(frozen=True, slots=True)
class MergedChange:
    """One thing that was merged. name: a pull request's number or a commit. commit: as it is scored."""

    name: str
    patches: tuple[FilePatch, ...]
    commit: str = ""


def local_changes(repository: Path, count: int) -> Iterator[MergedChange]:
    """The last merges, squashes and commits of the branch that is checked out."""
    for change in merged_changes(repository, count):
        yield MergedChange(change.commit[:12], change.patches, change.commit)


@dataclass(frozen=True, slots=True)
class MergedHead:
    """A pull request that was merged: one of its commits, and the commit on the base branch."""

    number: int
    head_sha: str
    merge_sha: str

    @property
    def name(self) -> str:
        """As people write it."""
        return f"#{self.number}"


def pull_changes(
    mirror: Mirror, pulls: Iterable[MergedHead], on_lost: Callable[[MergedHead], None] = lambda _: None
) -> Iterator[MergedChange]:
    """Merged pull requests at their heads.

    Args:
        on_lost: told each that is left out, because its commits are lost.
    """
    for pull in pulls:
        try:
            # the base branch as it was just before; later it contains the head itself
            patches = mirror.diff(mirror.parent(pull.merge_sha), pull.head_sha)
        except HistoryError:
            on_lost(pull)
            continue
        yield MergedChange(pull.name, patches, pull.head_sha)


@dataclass(frozen=True)
class Tested:
    """What a gate is tested with: the version of a signature that reviews score with, and what was merged.

    Attributes:
        profile: digest of the version's. pulls: the last that were merged; () for a folder.
        team: whose signature it is. teams: paths of every team that has one, by name.
    """

    profile: str
    path: Path
    pulls: tuple[MergedHead, ...]
    team: str
    teams: dict[str, tuple[str, ...]]

    def changes(
        self, count: int, on_lost: Callable[[MergedHead], None] = lambda _: None
    ) -> Iterator[MergedChange]:
        """The last merged changes as reviews would see them: the team's own, without what is not scored."""
        if not self.pulls:
            yield from self._of_team(local_changes(self.path, count), RepositoryConfig())
            return
        mirror = Mirror.at(self.path)
        text = mirror.file(mirror.repository.commit_id("HEAD"), FILE_NAME) or b""
        try:
            config = parse_config(text.decode("utf-8", "replace"))
        except ConfigError:  # reviews take the defaults too
            config = RepositoryConfig()
        yield from self._of_team(pull_changes(mirror, self.pulls[:count], on_lost), config)

    def _of_team(self, changes: Iterable[MergedChange], config: RepositoryConfig) -> Iterator[MergedChange]:
        paths, today = self.teams.get(self.team, ()), datetime.now(UTC).date()
        for change in changes:
            lines = {p.path: sum(len(hunk.added) for hunk in p.hunks) for p in change.patches}
            if team_of(self.teams, lines) != self.team:
                continue
            theirs = tuple(p for p in change.patches if not paths or fits(p.path, paths))
            yield replace(change, patches=choose_patches(theirs, config, today)[0])


def find_tested(session: Session, row: Repository, team: str, count: int) -> Tested | None:
    """What a repository's gate is tested with; None while the team has no signature."""
    number = number_of(row)
    version = current_version(session, number, scope_of_team(team))
    if version is None:
        return None
    teams = {
        one.name: tuple(one.paths)
        for one in list_teams(session, number)
        if one.paths and current_version(session, number, scope_of_team(one.name))
    }
    merged = list_merged(session, number, count) if row.github_id is not None else ()
    pulls = tuple(MergedHead(one.number, one.head_sha, one.merge_commit_sha) for one in merged)
    return Tested(version.profile, Path(row.path), pulls, team, teams)


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
