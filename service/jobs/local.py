"""The work of a machine by itself: folders instead of GitHub, and the flows as they are."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from connectors.git.command import Repository
from connectors.git.ranges import read_range
from fingerprint.config import ProfileConfig
from fingerprint.report import DriftReport
from service import ServiceError
from service.api.scoring import RefusedError, Request, ScoringProcess, UnavailableError
from service.artifacts import ArtifactStore
from service.db.queries.jobs import JobProgress
from service.enqueue import Enqueuer
from service.flows.base import base_identity
from service.flows.bench import Stage
from service.flows.forgetting import drop_forgotten
from service.flows.history_rows import HistoryRead
from service.flows.ingest import ingest
from service.flows.kept_pages import drop_old_reviews, shown_name
from service.flows.lifecycle import look_after
from service.flows.plan import TooLittleHistoryError
from service.flows.profile import NotProfiledError, make_profile
from service.flows.profile_pages import keep_profile_pages, keep_team_page
from service.flows.refresh import roll_profile
from service.flows.team import TeamChoice
from service.jobs.work import (
    Chore,
    Learned,
    Published,
    PullNow,
    RepositoryTask,
    ReviewPorts,
    ReviewTask,
    Rolled,
    Tell,
    TooEarlyError,
    Work,
)
from service.settings import Settings
from service.worker import serve_reviews

SCORING_TRIES = 3
"""The scoring process is replaced when it dies or hangs; a diff that kills three of them is not scored."""


LOOK_EVERY_S = 60.0
"""How soon something that has become due is asked for."""


CLEAR_EVERY_S = 3600.0
"""A page may outlive its days by this."""


class ScoringError(ServiceError):
    """A diff could not be scored; the message says why."""


@dataclass
class Scorer:
    """The scoring process of a worker, started by the first review."""

    settings: Settings
    _process: ScoringProcess | None = None
    _turn: threading.Lock = field(default_factory=threading.Lock)

    def score(self, task: ReviewTask, diff: str) -> DriftReport:
        """Score a diff with the task's version of the profile.

        Raises:
            NotProfiledError, ScoringError: why not is in the message.
        """
        if not task.profile:
            why = task.waiting or "it has not been learned yet"
            raise NotProfiledError(f"no signature of {task.full_name}: {why}")
        request = Request(task.full_name, diff, task.profile)
        problem = ""
        for _ in range(SCORING_TRIES):
            try:
                return DriftReport.model_validate_json(self._started().review(request))
            except RefusedError as error:
                raise ScoringError(str(error)) from error
            except UnavailableError as error:
                problem = str(error)
        raise ScoringError(f"scoring failed {SCORING_TRIES} times: {problem}")

    def _started(self) -> ScoringProcess:
        with self._turn:
            if self._process is None:
                settings = self.settings
                self._process = ScoringProcess(
                    serve_reviews, (settings, {}), timeout_s=settings.review_timeout_s,
                    start_timeout_s=settings.start_timeout_s,
                    queue_timeout_s=settings.review_timeout_s * settings.worker_reviews,
                )  # fmt: skip
            return self._process

    def close(self) -> None:
        """End the process."""
        with self._turn:
            if self._process is not None:
                self._process.stop()


def _telling(tell: Tell) -> Callable[[Stage], None]:
    """A flow's stages as a job's progress."""
    return lambda stage: tell(JobProgress(
        stage.name, stage.done, stage.total, stage.tokens_per_second, stage.seconds_left
    ))  # fmt: skip


def learn(task: RepositoryTask, tell: Tell, settings: Settings, config: ProfileConfig) -> Learned:
    """Learn a team's signature, and those of the people who agreed to one.

    Raises:
        TooEarlyError: with how many commits are missing.
    """
    report = _telling(tell)
    config = config.model_copy(update={"with_agents": task.with_agents})
    choice = TeamChoice(task.paths, (), task.with_agents, frozenset(task.forgotten))
    try:
        made = make_profile(
            task.path, settings, config, choice=choice, report=report, consenting=frozenset(task.consenting)
        )
    except TooLittleHistoryError as error:
        raise TooEarlyError(f"about {error.more} more commits until scoring") from error
    keep_profile_pages(
        task.path, settings, made.digest, task.team, task.consenting, report, name=shown_name(task.full_name)
    )
    facts = made.summary.provenance
    return Learned(
        made.digest, made.signature, base_identity(config.base, config.revision),
        facts["config"], made.commit, sum(made.summary.n_commits.values()), dict(facts), made.authors,
    )  # fmt: skip


def recalibrate(task: RepositoryTask, profile: str, tell: Tell, settings: Settings) -> Rolled:
    """Let a team's profile take in the commits read since, and make its page again.

    Raises:
        NewHistoryError: the history was rewritten; it is stale then, and is learned again.
    """
    found = roll_profile(task.path, settings, profile, _telling(tell), frozenset(task.forgotten))
    if found.profile != profile:
        keep_team_page(
            task.path, settings, found.profile, task.team, task.consenting, name=shown_name(task.full_name)
        )
    return Rolled(found.profile, found.signature, found.n_commits)


def read_history(task: RepositoryTask, tell: Tell, settings: Settings) -> HistoryRead:
    """Read what is new in a folder's history, up to the commit that HEAD names."""

    def progress(done: int, total: int) -> None:
        tell(JobProgress("read history", done, total))

    head = Repository.at(task.path).commit_id("HEAD")
    return HistoryRead.of(head, ingest(task.path, settings, progress, rev=head, forgotten=task.forgotten))


def folder_ports(score: Callable[[ReviewTask, str], DriftReport]) -> ReviewPorts:
    """Reviews of commits in a folder: nothing moves, and the answer is the report alone."""
    return ReviewPorts(
        read_pull=lambda task: PullNow(task.head_sha, task.base_sha),
        read_diff=lambda task: read_range(task.path, f"{task.base_sha}...{task.head_sha}"),
        score=score,
        publish=lambda _, report: Published(None, report.verdict.value),
        withdraw=lambda *_: None,
    )


def folder_work(settings: Settings, config: ProfileConfig | None = None) -> Work:
    """All that a worker needs to do for repositories that are folders of this machine."""
    scorer = Scorer(settings)
    config = config or ProfileConfig(base=settings.base, revision=settings.revision)
    base = base_identity(config.base, config.revision)

    def look(asking: Enqueuer) -> None:
        look_after(asking, settings, base)

    def clear(asking: Enqueuer) -> None:
        drop_forgotten(asking, settings)
        asking.drop_old(timedelta(days=settings.records_days))
        drop_old_reviews(ArtifactStore(settings.home), settings.review_pages_days * 86_400)

    return Work(
        folder_ports(scorer.score),
        lambda task, tell: read_history(task, tell, settings),
        lambda task, tell: learn(task, tell, settings, config),
        (
            Chore("look after signatures", min(LOOK_EVERY_S, settings.ingest_every_s), look),
            Chore("delete what is old or of the forgotten", CLEAR_EVERY_S, clear),
        ),
        close=scorer.close,
        refresh=lambda task, profile, tell: recalibrate(task, profile, tell, settings),
    )
