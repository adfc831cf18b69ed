"""What follows from a webhook: rows and asked-for work. Done twice, it is done once."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any

from connectors.github import GoneError, asks
from connectors.github.commands import Verb
from connectors.github.events import Event
from connectors.github.pulls import PullState, StaleHeadError, open_pulls_of
from service.artifacts import ArtifactStore
from service.db.queries.installations import (
    find_on_github,
    keep_installation,
    list_of_installation,
    note_leaver,
    set_status,
)
from service.db.queries.people import audit
from service.db.queries.pulls import accept, answered_head, find_open_pulls, is_asked, latest_done
from service.db.queries.repositories import number_of
from service.db.queries.reviews import ReviewQuestion, next_run
from service.db.queries.signatures import current_version, scope_of_team
from service.db.states import AcceptanceKind, InstallationStatus, RepositoryStatus
from service.db.tables import Acceptance, Repository
from service.enqueue import Urgency
from service.flows.history_rows import label_thread
from service.flows.kept_pages import read_report
from service.flows.publish import Review, answer_draft, answer_merge_group, is_allowed
from service.jobs.github_review import end_abandoned, muted_path, publish_again
from service.jobs.hub import Hub

LOG = logging.getLogger(__name__)
_Decision = asks.Rescore | asks.AcceptFinding | asks.MutePath
_INSTALLATION = {
    "deleted": InstallationStatus.DELETED, "suspend": InstallationStatus.SUSPENDED,
    "created": InstallationStatus.ACTIVE, "unsuspend": InstallationStatus.ACTIVE,
}  # fmt: skip
_REPOSITORY = {
    "deleted": RepositoryStatus.REMOVED, "archived": RepositoryStatus.PAUSED,
    "unarchived": RepositoryStatus.ACTIVE,
}  # fmt: skip
_NEW_NAMES = {"renamed", "transferred"}
CLOCKS_DIFFER = timedelta(minutes=1)
"""Between GitHub's clock and ours, at most; `routeprint doctor` warns before."""


@dataclass(frozen=True)
class Acting:
    """Acts on events, one at a time; the caller tries again what raises."""

    hub: Hub
    store: ArtifactStore

    def act(self, event: Event) -> None:
        """Do everything that an event asks for.

        Raises:
            GitHubError, ServiceError: it could not be done; do it again later.
        """
        app_id = self.hub.app_id or (event.check.app if event.check else 0)
        for ask in asks.decide(event, app_id=app_id):
            rule = self._rules.get(type(ask))
            if rule is None:
                LOG.info("%s: %s", event.name, getattr(ask, "reason", "nothing follows"))
                continue
            rule(event, ask)

    @property
    def _rules(self) -> dict[type, Callable[[Event, Any], None]]:
        return {
            asks.ScorePull: self._score_pull, asks.CancelPull: self._cancel, asks.Ingest: self._ingest,
            asks.IngestPull: self._ingest, asks.Rescore: self._decide, asks.AcceptFinding: self._decide,
            asks.MutePath: self._decide, asks.RunCommand: self._command,
            asks.AnswerMergeGroup: self._answer_queue, asks.UpdateInstallation: self._installation,
            asks.UpdateRepository: self._repository, asks.NoteLeaver: self._leaver,
            asks.LabelThread: self._label,
        }  # fmt: skip

    # --------------------------------------------------------------------------------- pull requests

    def _active(self, event: Event, ref: asks.RepositoryRef) -> Repository | None:
        """The repository's row, or None while nothing may be done for it."""
        row = self.hub.keep(event, ref)
        if row.status is RepositoryStatus.ACTIVE:
            return row
        LOG.info("%s is %s; %s is not acted on", row.full_name, row.status, event.name)
        return None

    def _score_pull(self, event: Event, ask: asks.ScorePull) -> None:
        row = self._active(event, ask.repository)
        if row is not None:
            self._score(row, ask.pull.number)

    def _score(self, row: Repository, number: int, again_for: str = "") -> None:
        """Ask for a pull request's head, read anew, to be scored.

        Args:
            again_for: who asked and by which delivery, for another answer to what was answered already.
        """
        state = self.hub.pull(row, number)
        if not state.pull.is_open:
            return
        found = self.hub.config(row, state)
        if state.pull.is_draft and not found.config.drafts:
            review = Review(state, f"draft-{number}-{state.pull.head_sha}")
            answer_draft(self.hub.client(row), review)
            return
        try:
            question = self._question(row, state, found.digest, again_for)
        except StaleHeadError as error:  # an event for the new head comes or has come
            LOG.info("%s", error)
            return
        if question is not None:
            urgency = Urgency.ASKED if again_for else Urgency.PULL
            self.hub.asking.review(question, requested_by=again_for, urgency=urgency)
        end_abandoned(self.hub, row)

    def _question(
        self, row: Repository, state: PullState, config_hash: str, again_for: str
    ) -> ReviewQuestion | None:
        repository, pull, team = number_of(row), state.pull, self.hub.team(row, state)
        with self.hub.database.reading() as session:
            version = current_version(session, repository, scope_of_team(team))
            question = ReviewQuestion(
                repository, pull.number, pull.head_sha, pull.base_sha, team,
                version.version if version else 0, config_hash,
            )  # fmt: skip
            if not again_for:
                return question
            if is_asked(session, repository, pull.number, again_for):
                return None
            run = next_run(session, question)
        return ReviewQuestion(
            repository, pull.number, pull.head_sha, pull.base_sha, team, question.signature_version,
            config_hash, run,
        )  # fmt: skip

    def _cancel(self, event: Event, ask: asks.CancelPull) -> None:
        row = self.hub.keep(event, ask.repository)
        try:
            state = self.hub.pull(row, ask.number)
        except GoneError:
            return
        if state.pull.is_open and not state.pull.is_draft:  # it was opened again meanwhile
            return
        self.hub.asking.call_off_pull(number_of(row), ask.number, ask.reason)
        end_abandoned(self.hub, row)

    def _ingest(self, event: Event, ask: asks.Ingest | asks.IngestPull) -> None:
        row = self._active(event, ask.repository)
        if row is not None:
            self.hub.asking.ingest(number_of(row))

    def _label(self, event: Event, ask: asks.LabelThread) -> None:
        row = self._active(event, ask.repository)
        if row is not None:
            with self.hub.database.writing() as session:
                label_thread(session, number_of(row), ask.number, ask.thread, is_resolved=ask.is_resolved)

    def _answer_queue(self, event: Event, ask: asks.AnswerMergeGroup) -> None:
        row = self._active(event, ask.repository)
        if row is not None:
            answer_merge_group(self.hub.client(row), row.full_name, ask.head_sha)

    # ---------------------------------------------------------------------------- what people ask for

    def _decide(self, event: Event, ask: _Decision) -> None:
        """A button: whoever pressed it must be allowed to write, whatever the event says."""
        row = self._allowed(event, ask)
        if row is None:
            return
        with self.hub.database.reading() as session:
            numbers = find_open_pulls(session, number_of(row), ask.head_sha)
        numbers = numbers or list(open_pulls_of(self.hub.client(row), row.full_name, ask.head_sha))
        who = _who(event, ask.by.login)
        for number in numbers:
            if isinstance(ask, asks.AcceptFinding):
                self._accept(row, number, ask.head_sha, ask.by.login)
            elif isinstance(ask, asks.MutePath):
                self._mute_worst(row, number, ask.head_sha, ask.by.login)
                self._score(row, number, who)
            elif self.hub.pull(row, number).pull.head_sha == ask.head_sha:
                self._score(row, number, who)

    def _command(self, event: Event, ask: asks.RunCommand) -> None:
        row = self._allowed(event, ask)
        if row is None:
            return
        command, by = ask.command, ask.by.login
        if command.verb is Verb.SCORE:
            self._score(row, ask.number, _who(event, by))
        elif command.verb is Verb.EXPLAIN:
            self._show_again(row, ask.number, is_explained=True)
        elif command.verb is Verb.ACCEPT:
            self._accept_answered(row, ask)
        else:
            until = command.until and datetime.combine(command.until, time.max, UTC)
            self._let_pass(row, Acceptance(
                repository_id=number_of(row), kind=AcceptanceKind.PATH, path="*", number=ask.number,
                reason=command.reason or f"ignored by {by}", by=by, until=until,
            ))  # fmt: skip
            self._score(row, ask.number, _who(event, by))

    def _allowed(self, event: Event, ask: asks.RunCommand | _Decision) -> Repository | None:
        row = self._active(event, ask.repository)
        if row is not None and is_allowed(self.hub.client(row), ask):
            return row
        LOG.info("%s may not give commands in %s", ask.by.login, ask.repository.full_name)
        return None

    def _accept_answered(self, row: Repository, ask: asks.RunCommand) -> None:
        """Accept the head whose answer was there when the command was written, not one pushed since."""
        before = datetime.now(UTC) if ask.written_at is None else ask.written_at + CLOCKS_DIFFER
        with self.hub.database.reading() as session:
            answered = answered_head(session, number_of(row), ask.number, before)
        if answered:
            self._accept(row, ask.number, answered, ask.by.login, ask.command.reason)
        else:
            LOG.info("%s #%d: nothing had been answered that could be accepted", row.full_name, ask.number)

    def _accept(self, row: Repository, number: int, head_sha: str, by: str, reason: str = "") -> None:
        self._let_pass(row, Acceptance(
            repository_id=number_of(row), fingerprint=head_sha, number=number, by=by, reason=reason
        ))  # fmt: skip
        self._show_again(row, number)

    def _mute_worst(self, row: Repository, number: int, head_sha: str, by: str) -> None:
        with self.hub.database.reading() as session:
            last = latest_done(session, number_of(row), number, head_sha)
            digest = "" if last is None else last.report
        path = muted_path(read_report(self.store, digest)) if digest else ""
        if path:
            self._let_pass(row, Acceptance(
                repository_id=number_of(row), kind=AcceptanceKind.PATH, path=path, by=by,
                reason=f"muted by {by}",
            ))  # fmt: skip

    def _let_pass(self, row: Repository, acceptance: Acceptance) -> None:
        LOG.info("%s: %s let pass by %s", row.full_name, acceptance.kind, acceptance.by)
        on = f"repository {number_of(row)}"
        on += "" if acceptance.number is None else f" #{acceptance.number}"
        said = {"path": acceptance.path, "head": acceptance.fingerprint, "reason": acceptance.reason}
        with self.hub.database.writing() as session:
            if accept(session, acceptance):
                what = "mute" if acceptance.kind is AcceptanceKind.PATH else "accept"
                given = {name: value for name, value in said.items() if value}
                audit(session, f"{acceptance.by} on GitHub", what, on, given)

    def _show_again(self, row: Repository, number: int, *, is_explained: bool = False) -> None:
        """Show the last answer anew, with what was decided about it; nothing without one."""
        head = self.hub.pull(row, number).pull.head_sha
        with self.hub.database.exclusively(f"publish {number_of(row)}#{number}", timeout_s=120):
            with self.hub.database.reading() as session:
                last = latest_done(session, number_of(row), number, head)
                found = None if last is None else (last.id or 0, last.report)
            if found is None:
                return
            report = read_report(self.store, found[1])
            try:
                publish_again(self.hub, found[0], report, is_explained=is_explained)
            except StaleHeadError as error:
                LOG.info("%s", error)

    # ------------------------------------------------------------------------- where the app may act

    def _installation(self, _: Event, ask: asks.UpdateInstallation) -> None:
        account, status = ask.account, _INSTALLATION.get(ask.change)
        with self.hub.database.writing() as session:
            login, number = (account.login, account.id) if account else ("", 0)
            keep_installation(session, ask.installation, login, number, status)
            for ref in ask.added if ask.change != "deleted" else ():
                set_status(session, self.hub.write(session, ref, ask.installation), RepositoryStatus.ACTIVE)
            for ref in ask.removed:
                found = find_on_github(session, ref.id)
                if found is not None and found.installation_id == ask.installation:
                    set_status(session, found, RepositoryStatus.REMOVED)
            _follow(list_of_installation(session, ask.installation), ask.change)
        if status in {InstallationStatus.DELETED, InstallationStatus.SUSPENDED}:
            self.hub.app.forget(ask.installation)

    def _repository(self, event: Event, ask: asks.UpdateRepository) -> None:
        status, ref = _REPOSITORY.get(ask.change), ask.repository
        with self.hub.database.writing() as session:
            row = None if ask.change in _NEW_NAMES else find_on_github(session, ref.id)
            row = row or self.hub.write(session, ref, event.installation)
            row.default_branch, row.is_private = ref.default_branch or row.default_branch, ref.is_private
            if status is not None:
                set_status(session, row, status)

    def _leaver(self, event: Event, ask: asks.NoteLeaver) -> None:
        with self.hub.database.writing() as session:
            if ask.repository is not None:
                found = find_on_github(session, ask.repository.id)
                rows = [] if found is None else [found]
            else:
                rows = list_of_installation(session, event.installation)
            note_leaver(session, ask.member.id, [number_of(row) for row in rows])


def _follow(rows: list[Repository], change: str) -> None:
    """A suspended installation's repositories rest; a deleted one's are gone until it comes back."""
    for row in rows:
        if change == "deleted":
            row.status = RepositoryStatus.REMOVED
        elif change == "suspend" and row.status is RepositoryStatus.ACTIVE:
            row.status = RepositoryStatus.PAUSED
        elif change == "unsuspend" and row.status is RepositoryStatus.PAUSED:
            row.status = RepositoryStatus.ACTIVE


def _who(event: Event, login: str) -> str:
    """Names a request: the delivery makes it one, however often it is acted on."""
    return f"{login} (delivery {event.delivery})"
