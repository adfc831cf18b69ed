"""The work of a machine that is a GitHub app's: repositories on GitHub, and folders beside them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from connectors.git.mirror import MirrorDials
from connectors.github import GoneError, RateLimitedError, UnavailableError
from connectors.github.deliveries import failed_deliveries, redeliver
from fingerprint.report import DriftReport
from service.artifacts import ArtifactStore
from service.db.queries.pulls import list_overdue
from service.db.queries.reviews import end_review
from service.db.session import LockedError
from service.db.states import ReviewStatus
from service.enqueue import Enqueuer, NotCancellableError
from service.flows.history_rows import HistoryRead
from service.flows.publish import TOOK_TOO_LONG, release_overdue
from service.flows.registration import StoredApp, find_app
from service.jobs.github_events import Acting
from service.jobs.github_history import read_through_mirror
from service.jobs.github_review import GitHubReviews, end_abandoned
from service.jobs.hub import Hub
from service.jobs.local import Scorer, folder_ports, folder_work
from service.jobs.work import Chore, RepositoryTask, ReviewPorts, ReviewTask, Tell, Work
from service.settings import Settings

LOG = logging.getLogger(__name__)
SWEEP_EVERY_S = 600.0
"""GitHub keeps failed deliveries for three days, so nothing is lost by looking seldom."""
KEPT = timedelta(days=3)
RELEASE_EVERY_S = 60.0
AGAIN_EVERY_S = 30.0
PASSES = (RateLimitedError, UnavailableError, LockedError)
"""Why a review may fail that would succeed later: nothing is wrong with it."""
OVERDUE_REVIEWS = 10
"""A check is released when it has been open for as long as this many reviews may take at most."""


def make_work(settings: Settings) -> Work:
    """What a worker of these settings does: for GitHub where an app is configured, and for folders."""
    stored = find_app(settings)
    return folder_work(settings) if stored is None else github_work(settings, stored)


def github_work(
    settings: Settings,
    stored: StoredApp,
    *,
    score: Callable[[ReviewTask, str], DriftReport] | None = None,
    mirror_dials: MirrorDials | None = None,
) -> Work:
    """All that a worker needs to do, for repositories on GitHub and for folders of this machine.

    Args:
        score: in place of the scoring process.
        mirror_dials: how mirrors are fetched, in place of https alone.
    """
    hub = Hub(settings, stored, mirror_dials or MirrorDials())
    folders = folder_work(settings)
    scorer = Scorer(settings)

    def read(task: RepositoryTask, tell: Tell) -> HistoryRead:
        is_folder = hub.repository(task.repository_id).github_id is None
        return folders.ingest(task, tell) if is_folder else read_through_mirror(hub, task, tell)

    def close() -> None:
        folders.close()
        scorer.close()
        hub.close()

    return replace(
        folders, review=_choose(hub, score or scorer.score), ingest=read, close=close,
        chores=(*folders.chores, *_chores(hub)), act=Acting(hub, ArtifactStore(settings.home)).act,
    )  # fmt: skip


def _choose(hub: Hub, score: Callable[[ReviewTask, str], DriftReport]) -> ReviewPorts:
    """The ports of the kind of repository that a task is about."""
    github, folder = GitHubReviews(hub, score).ports, folder_ports(score)

    def of(task: ReviewTask) -> ReviewPorts:
        return folder if hub.repository(task.repository_id).github_id is None else github

    return ReviewPorts(
        read_pull=lambda task: of(task).read_pull(task),
        read_diff=lambda task: of(task).read_diff(task),
        score=lambda task, diff: of(task).score(task, diff),
        publish=lambda task, report: of(task).publish(task, report),
        withdraw=lambda task, head: of(task).withdraw(task, head),
    )


# ------------------------------------------------------------------------------------------- chores


def _chores(hub: Hub) -> tuple[Chore, ...]:
    def sweep(_: Enqueuer) -> None:
        sweep_deliveries(hub)

    def release(asking: Enqueuer) -> None:
        release_checks(hub, asking)

    def again(asking: Enqueuer) -> None:
        n_deliveries, n_reviews = asking.deliveries_again(), asking.reviews_again(PASSES)
        if n_deliveries or n_reviews:
            LOG.info("asked again for %d deliveries and %d reviews that failed", n_deliveries, n_reviews)

    return (
        Chore("ask again for failed deliveries", SWEEP_EVERY_S, sweep),
        Chore("release overdue checks", RELEASE_EVERY_S, release),
        Chore("try again what GitHub could not answer", AGAIN_EVERY_S, again),
    )


def sweep_deliveries(hub: Hub) -> int:
    """Ask GitHub for every delivery that was never answered; returns how many."""
    failed = failed_deliveries(hub.app.client, datetime.now(UTC) - KEPT)
    for delivery in failed:
        redeliver(hub.app.client, delivery.id)
    return len(failed)


def release_checks(hub: Hub, asking: Enqueuer) -> int:
    """End the checks that nobody will end, and those that have been open for too long; how many were open.

    An overdue review is called off too: its answer would come to a check that has ended.
    """
    limit_s = OVERDUE_REVIEWS * hub.settings.review_timeout_s
    with hub.database.reading() as session:
        before = hub.database.now(session) - timedelta(seconds=limit_s)
        late = [
            (r.repository_id, r.id or 0, r.job_id, r.check_run_id or 0) for r in list_overdue(session, before)
        ]
    n_released = 0
    for repository, review, job, run in late:
        row = hub.repository(repository)
        try:
            if not release_overdue(hub.client(row), row.full_name, run, limit_s=limit_s):
                continue
        except GoneError:
            pass
        n_released += 1
        with hub.database.writing() as session:
            end_review(session, review, ReviewStatus.FAILED, reason=TOOK_TOO_LONG, conclusion="neutral")
        _call_off(asking, job)
    return n_released + end_abandoned(hub)


def _call_off(asking: Enqueuer, job: str) -> None:
    try:
        asking.cancel(job, TOOK_TOO_LONG)
    except NotCancellableError:  # it ended this moment
        return
