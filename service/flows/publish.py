"""A score onto a pull request: one check, at most one comment, and nothing about a head that is gone.

State comes in and goes out: the caller stores check and comment ids, and holds the lock of the pull request.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from connectors.contribution import FilePatch
from connectors.github import GoneError
from connectors.github.app import may_write, permission_of
from connectors.github.asks import AcceptFinding, MutePath, Rescore, RunCommand
from connectors.github.checks import (
    CHECK_NAME,
    CheckRun,
    Conclusion,
    answer_at_once,
    complete_check,
    read_check,
    release_check,
    start_check,
)
from connectors.github.client import Client
from connectors.github.comments import find_comment, marker_of, upsert_comment
from connectors.github.manifest import web_url
from connectors.github.payload import number as number_at
from connectors.github.pulls import PullState, StaleHeadError, check_head, read_base_file
from fingerprint.report import DriftReport
from service.reports.check import RUNNING_TITLE, render_check, render_unscored
from service.reports.comment import render_comment, wants_comment
from service.reports.place import Place
from service.repository_config import FILE_NAME, ConfigError, RepositoryConfig, Stage, parse_config

MOVED_ON = "the pull request moved on to another commit"
TOOK_TOO_LONG = "scoring did not finish in time; Re-score starts it again"
IN_QUEUE = "a merge queue's commit is not scored by itself; its pull requests were"
IS_DRAFT = "drafts are not scored in this repository"
NO_BACKTEST = (
    "The gate is not on yet: no back-test of this signature has been passed (`routeprint backtest`)."
)
OUTSIDE = "outside the configured paths"


@dataclass(frozen=True, slots=True)
class ReadConfig:
    """A repository's configuration. digest: part of a verdict's key. warning: why defaults stand in."""

    config: RepositoryConfig
    digest: str
    warning: str = ""


@dataclass(frozen=True, slots=True)
class Review:
    """One score of one head on its way to GitHub.

    Attributes:
        state: the pull request as it was read for scoring.
        external_id: ours, different for every score; found again on the check.
        report_url: of the report's page, or None.
        check_run, comment: ids as remembered, or None.
    """

    state: PullState
    external_id: str
    report_url: str | None = None
    check_run: int | None = None
    comment: int | None = None


@dataclass(frozen=True, slots=True)
class Published:
    """What GitHub shows now; the caller remembers the ids."""

    check_run: int
    comment: int | None
    conclusion: Conclusion


@dataclass(frozen=True, slots=True)
class Decisions:
    """What was decided apart from the score.

    Attributes:
        is_gate_open: a back-test of the signature in use was passed.
        is_accepted: this head's finding was accepted as intended.
        is_explained: somebody asked for every explained hunk in the comment.
    """

    is_gate_open: bool = False
    is_accepted: bool = False
    is_explained: bool = False


# ---------------------------------------------------------------------------------------- before scoring


def read_config(client: Client, state: PullState) -> ReadConfig:
    """The configuration at the commit of the base branch, never the head's.

    A file that cannot be used does not stop a review: defaults stand in, and the check says so.
    """
    try:
        text = read_base_file(client, state.repository.full_name, FILE_NAME, state.pull.base_sha)
    except GoneError:
        text = ""
    digest = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
    try:
        return ReadConfig(parse_config(text), digest)
    except ConfigError as error:
        warning = f"{FILE_NAME} on the base branch cannot be used, so defaults stand in: {error}"
        return ReadConfig(RepositoryConfig(), digest, warning)


def choose_patches(
    patches: Iterable[FilePatch], config: RepositoryConfig, today: date
) -> tuple[tuple[FilePatch, ...], dict[str, int]]:
    """The patches that the repository wants scored, and added lines left out by reason."""
    kept: list[FilePatch] = []
    dropped: Counter[str] = Counter()
    for patch in patches:
        if config.scores(patch.path, today):
            kept.append(patch)
            continue
        mute = config.mutes(patch.path, today)
        reason = OUTSIDE if mute is None else f"muted: {mute.reason}"
        dropped[reason] += sum(len(hunk.added) for hunk in patch.hunks)
    return tuple(kept), {reason: count for reason, count in dropped.items() if count}


def begin_review(client: Client, review: Review, name: str = CHECK_NAME) -> CheckRun:
    """Open the check at once, so that people see that something is under way."""
    return start_check(
        client, review.state.repository.full_name, review.state.pull.head_sha, review.external_id,
        title=RUNNING_TITLE, details_url=review.report_url, name=name,
    )  # fmt: skip


# ---------------------------------------------------------------------------------------- after scoring


def publish_review(
    client: Client, report: DriftReport, review: Review, found: ReadConfig, decisions: Decisions, *, bot: int
) -> Published:
    """Show a score: finish the check, then write the comment if there is something to say.

    Safe to call again after any failure: it goes on where it stopped.

    Args:
        bot: id of the account that the app writes as.

    Raises:
        StaleHeadError: the pull request has another head; the check is ended and nothing else written.
        GitHubError: GitHub could not be told; call again later.
    """
    state = review.state
    repository = state.repository.full_name
    run = review.check_run or begin_review(client, review).id
    try:
        check_head(client, repository, state)
    except StaleHeadError:
        release_check(client, repository, run, render_unscored(MOVED_ON))
        raise
    config = effective_config(found.config, is_gate_open=decisions.is_gate_open)
    shown = _with_warnings(report, found, config)
    place = Place(web_url(client.dials.url), repository, state.pull.head_sha, review.report_url)
    output = render_check(shown, place, config, is_accepted=decisions.is_accepted)
    complete_check(client, repository, run, output)
    comment = _comment(client, shown, review, place, (config.stage, decisions), bot=bot)
    return Published(run, comment, output.conclusion)


def _comment(
    client: Client,
    report: DriftReport,
    review: Review,
    place: Place,
    how: tuple[Stage, Decisions],
    *,
    bot: int,
) -> int | None:
    """Write the comment if there is something to say; its id, or None when there is none."""
    stage, decisions = how
    number, known = review.state.pull.number, review.comment
    if stage is Stage.OBSERVE:
        return known
    marker = marker_of(review.state.repository.id, number)
    is_wanted = wants_comment(report, stage, has_comment=known is not None) or decisions.is_explained
    if not is_wanted:  # one may have been written and not remembered
        there = find_comment(client, place.repository, number, marker=marker, bot=bot)
        if there is None:
            return None
        known = number_at(there, "id")
    accepted, explained = decisions.is_accepted, decisions.is_explained
    body = render_comment(report, place, is_accepted=accepted, is_explained=explained)
    return upsert_comment(client, place.repository, number, body, marker=marker, bot=bot, known=known)


def effective_config(config: RepositoryConfig, *, is_gate_open: bool) -> RepositoryConfig:
    """A gate that has not passed its back-test is a comment."""
    if config.stage is not Stage.GATE or is_gate_open:
        return config
    return config.model_copy(update={"stage": Stage.COMMENT})


def _with_warnings(report: DriftReport, found: ReadConfig, config: RepositoryConfig) -> DriftReport:
    is_held = found.config.stage is Stage.GATE and config.stage is not Stage.GATE
    more = [found.warning] if found.warning else []
    more += [NO_BACKTEST] if is_held else []
    return report.model_copy(update={"warnings": (*report.warnings, *more)}) if more else report


# ------------------------------------------------------------------------------------------ without a score


def drop_review(client: Client, repository: str, check_run: int, reason: str = MOVED_ON) -> bool:
    """End the check of work that was cancelled. Returns whether it was still open."""
    return release_check(client, repository, check_run, render_unscored(reason))


def release_overdue(
    client: Client, repository: str, check_run: int, *, limit_s: float, now: datetime | None = None
) -> bool:
    """The watchdog: a check that has been open for too long ends neutral, so that it blocks nobody.

    Returns:
        Whether it was ended.
    """
    known = read_check(client, repository, check_run)
    moment = now or datetime.now(UTC)
    if known.is_completed or known.started_at is None:
        return False
    if moment - known.started_at < timedelta(seconds=limit_s):
        return False
    return release_check(client, repository, check_run, render_unscored(TOOK_TOO_LONG))


def answer_merge_group(client: Client, repository: str, head_sha: str) -> CheckRun:
    """A required check that says nothing to a merge queue stalls it."""
    return answer_at_once(client, repository, head_sha, f"queue-{head_sha}", render_unscored(IN_QUEUE))


def answer_draft(client: Client, review: Review) -> CheckRun:
    """Say on a draft why it was not scored."""
    state, output = review.state, render_unscored(IS_DRAFT)
    return answer_at_once(client, state.repository.full_name, state.pull.head_sha, review.external_id, output)


def is_allowed(client: Client, ask: RunCommand | Rescore | AcceptFinding | MutePath) -> bool:
    """Whether whoever gave a command or pressed a button may write here, asked anew each time."""
    try:
        return may_write(permission_of(client, ask.repository.full_name, ask.by.login))
    except GoneError:
        return False
