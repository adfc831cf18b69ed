"""The outer ends of a review on GitHub: the pull request, its diff, the check run and the comment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from glob import escape

from connectors.contribution import FilePatch
from connectors.diff import format_patch, parse_diff
from connectors.github import GoneError
from connectors.github.pulls import PullState
from fingerprint.report import DriftReport
from service.db.queries.pulls import list_abandoned, list_mutes, note_comment
from service.db.queries.repositories import get_team, number_of
from service.db.queries.reviews import get_review, note_check
from service.db.states import ReviewStatus
from service.db.tables import Repository
from service.db.tables import Review as ReviewRow
from service.flows.publish import (
    IS_DRAFT,
    MOVED_ON,
    begin_review,
    choose_patches,
    drop_review,
    publish_review,
)
from service.flows.team import fits
from service.jobs.hub import Hub
from service.jobs.work import Published, PullNow, ReviewPorts, ReviewTask
from service.repository_config import Mute, RepositoryConfig

IS_CLOSED = "the pull request is closed"
OUTSIDE_TEAM = "outside the paths of team {}"
FAILED = "scoring failed; Re-score starts it again"


@dataclass(frozen=True)
class GitHubReviews:
    """The ports of reviews whose repository is on GitHub."""

    hub: Hub
    scorer: Callable[[ReviewTask, str], DriftReport]

    @property
    def ports(self) -> ReviewPorts:
        """As the workflow wants them."""
        return ReviewPorts(self.read_pull, self.read_diff, self.score, self.publish, self.withdraw)

    def read_pull(self, task: ReviewTask) -> PullNow:
        """The pull request now; its check is opened at once, once."""
        row = self.hub.repository(task.repository_id)
        state = self.hub.pull(row, task.number)
        if state.pull.head_sha == task.head_sha:
            self._open_check(row, state, task)
        return PullNow(state.pull.head_sha, state.pull.base_sha, self._why_not(row, state))

    def _why_not(self, row: Repository, state: PullState) -> str:
        if not state.pull.is_open:
            return IS_CLOSED
        is_unwanted = state.pull.is_draft and not self.hub.config(row, state).config.drafts
        return IS_DRAFT if is_unwanted else ""

    def _open_check(self, row: Repository, state: PullState, task: ReviewTask) -> None:
        review, _ = self.hub.on_its_way(row, state, task.review_id)
        if review.check_run is not None:
            return
        run = begin_review(self.hub.client(row), review).id
        with self.hub.database.writing() as session:
            is_wanted = note_check(session, task.review_id, run)
        if not is_wanted:  # another head took its place before we could say which check is ours
            end_abandoned(self.hub, row)

    def read_diff(self, task: ReviewTask) -> str:
        """The whole change: GitHub's own diff, or the mirror's where GitHub gives none.

        Empty when the head has moved: publishing looks again, and withdraws.
        """
        row = self.hub.repository(task.repository_id)
        state = self.hub.pull(row, task.number)
        if state.pull.head_sha != task.head_sha:
            return ""
        return "".join(format_patch(patch) for patch in self.hub.patches(row, state))

    def score(self, task: ReviewTask, diff: str) -> DriftReport:
        """Score what the repository and its people want scored; the rest is counted in the report."""
        row = self.hub.repository(task.repository_id)
        found = self.hub.known_config(row, task.base_sha)
        found = found or self.hub.config(row, self.hub.pull(row, task.number))
        config = self._with_mutes(found.config, task)
        theirs, elsewhere = self._of_team(task, parse_diff(diff))
        kept, dropped = choose_patches(theirs, config, datetime.now(UTC).date())
        dropped |= elsewhere
        report = self.scorer(task, "".join(format_patch(patch) for patch in kept))
        return report.model_copy(update={"dropped": {**report.dropped, **dropped}}) if dropped else report

    def _of_team(
        self, task: ReviewTask, patches: tuple[FilePatch, ...]
    ) -> tuple[tuple[FilePatch, ...], dict[str, int]]:
        """What of a change is the team's, and added lines that are not: it has learned its paths alone."""
        with self.hub.database.reading() as session:
            paths = tuple(get_team(session, task.repository_id, task.team).paths)
        if not paths:
            return patches, {}
        kept = tuple(patch for patch in patches if fits(patch.path, paths))
        n_left = sum(len(h.added) for p in patches if not fits(p.path, paths) for h in p.hunks)
        return kept, {OUTSIDE_TEAM.format(task.team): n_left} if n_left else {}

    def _with_mutes(self, config: RepositoryConfig, task: ReviewTask) -> RepositoryConfig:
        with self.hub.database.reading() as session:
            found = list_mutes(session, task.repository_id, task.number)
            mutes = tuple(Mute.model_construct(path=m.path, reason=m.reason, until=None) for m in found)
        return config.model_copy(update={"ignore": (*config.ignore, *mutes)})

    def publish(self, task: ReviewTask, report: DriftReport) -> Published:
        """Finish the check, write the comment, remember both."""
        return publish_again(self.hub, task.review_id, report)

    def withdraw(self, task: ReviewTask, _head_sha: str) -> None:
        """End the check of a head that another has taken the place of."""
        row = self.hub.repository(task.repository_id)
        with self.hub.database.reading() as session:
            run = get_review(session, task.review_id).check_run_id
        if run is not None:
            _drop(self.hub, row, task.review_id, run, MOVED_ON)


def publish_again(hub: Hub, review_id: int, report: DriftReport, *, is_explained: bool = False) -> Published:
    """Show a review's answer with what was decided about it since. Hold the lock of the pull request.

    Raises:
        StaleHeadError: the pull request has another head. GitHubError: call again later.
    """
    with hub.database.reading() as session:
        kept = get_review(session, review_id)
        repository, number = kept.repository_id, kept.number
    row = hub.repository(repository)
    state, client = hub.pull(row, number), hub.client(row)
    review, decisions = hub.on_its_way(row, state, review_id)
    if is_explained:
        decisions = type(decisions)(decisions.is_gate_open, decisions.is_accepted, is_explained=True)
    found = hub.config(row, state)
    done = publish_review(client, report, review, found, decisions, bot=hub.bot(client))
    with hub.database.writing() as session:
        note_comment(session, repository, number, done.comment)
    return Published(done.check_run, done.conclusion.value)


def end_abandoned(hub: Hub, only: Repository | None = None) -> int:
    """End the checks of reviews that ended without an answer; returns how many were still open."""
    with hub.database.reading() as session:
        waiting = [
            (row.repository_id, row.id or 0, row.check_run_id or 0, _reason_of(row))
            for row in list_abandoned(session, None if only is None else number_of(only))
        ]
    return sum(_drop(hub, hub.repository(place), number, run, why) for place, number, run, why in waiting)


def _reason_of(row: ReviewRow) -> str:
    if row.status is ReviewStatus.FAILED:
        return FAILED
    return row.reason or MOVED_ON


def _drop(hub: Hub, row: Repository, review_id: int, run: int, reason: str) -> bool:
    try:
        was_open = drop_review(hub.client(row), row.full_name, run, reason)
    except GoneError:  # the check, the repository, or our way to it: nobody waits there any more
        was_open = False
    with hub.database.writing() as session:
        kept = get_review(session, review_id)
        if kept.status.is_final:  # else it was asked for again meanwhile, and has an answer to come
            kept.conclusion = "neutral"
    return was_open


def muted_path(report: DriftReport) -> str:
    """The pattern of the path that drifts most, or ""."""
    return escape(report.hunks[0].path) if report.hunks else ""
