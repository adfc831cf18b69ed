"""What an event asks us to do. Pure: the caller stores the answer and does the work.

Deliveries come late, twice and out of order, so an ask names things by number and commit;
whoever acts reads them again.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from connectors.github.commands import Command, parse_command
from connectors.github.events import Account, Event, PullRef, RepositoryRef, ThreadRef


class Button(StrEnum):
    """Identifiers of the buttons on our check; at most 20 characters each."""

    RESCORE = "rescore"
    ACCEPT = "accept"
    MUTE = "mute-path"


@dataclass(frozen=True, slots=True)
class ScorePull:
    """Score a pull request's head; earlier heads of it are superseded."""

    repository: RepositoryRef
    pull: PullRef


@dataclass(frozen=True, slots=True)
class CancelPull:
    """Stop what is queued for a pull request."""

    repository: RepositoryRef
    number: int
    reason: str


@dataclass(frozen=True, slots=True)
class Ingest:
    """Read what is new on the default branch. is_rewritten: the push was forced, read it all again."""

    repository: RepositoryRef
    is_rewritten: bool = False


@dataclass(frozen=True, slots=True)
class IngestPull:
    """Learn from a merged pull request's own commits and threads."""

    repository: RepositoryRef
    pull: PullRef


@dataclass(frozen=True, slots=True)
class Rescore:
    """Score a commit again, in a new check run; found by head, for a fork's check lists no pull request."""

    repository: RepositoryRef
    head_sha: str
    external_id: str
    by: Account


@dataclass(frozen=True, slots=True)
class AcceptFinding:
    """Somebody pressed "Accept as intended"; GitHub shows the button to people with write permission."""

    repository: RepositoryRef
    head_sha: str
    external_id: str
    by: Account


@dataclass(frozen=True, slots=True)
class MutePath:
    """Somebody pressed "Mute path"."""

    repository: RepositoryRef
    head_sha: str
    external_id: str
    by: Account


@dataclass(frozen=True, slots=True)
class RunCommand:
    """Somebody wrote a command about what was there then; their permission has not been looked at yet."""

    repository: RepositoryRef
    number: int
    comment: int
    command: Command
    by: Account
    written_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class AnswerMergeGroup:
    """Complete a check on a merge queue's commit; a required check that stays silent stalls the queue."""

    repository: RepositoryRef
    head_sha: str
    base_sha: str


@dataclass(frozen=True, slots=True)
class LabelThread:
    """A review thread was resolved or opened again."""

    repository: RepositoryRef
    number: int
    thread: ThreadRef
    is_resolved: bool


@dataclass(frozen=True, slots=True)
class UpdateInstallation:
    """An installation changed. change: created, deleted, suspend, unsuspend, added, removed, ..."""

    installation: int
    account: Account | None
    change: str
    added: tuple[RepositoryRef, ...] = ()
    removed: tuple[RepositoryRef, ...] = ()


@dataclass(frozen=True, slots=True)
class UpdateRepository:
    """A repository changed. change: renamed, transferred, privatized, publicized, deleted, archived, ..."""

    repository: RepositoryRef
    change: str
    previous_name: str = ""


@dataclass(frozen=True, slots=True)
class NoteLeaver:
    """Somebody left an organisation or a repository."""

    member: Account
    account: Account | None
    repository: RepositoryRef | None


@dataclass(frozen=True, slots=True)
class Nothing:
    """There is nothing to do, for a reason that can be logged."""

    reason: str


Ask = (
    ScorePull | CancelPull | Ingest | IngestPull | Rescore | AcceptFinding | MutePath | RunCommand
    | AnswerMergeGroup | LabelThread | UpdateInstallation | UpdateRepository | NoteLeaver | Nothing
)  # fmt: skip

_REPOSITORY_CHANGES = {
    "renamed", "transferred", "privatized", "publicized", "deleted", "archived", "unarchived", "edited",
}  # fmt: skip


def decide(event: Event, *, app_id: int) -> tuple[Ask, ...]:
    """What to do about an event; events and actions that nobody knows are ``Nothing``.

    Args:
        app_id: our own; checks of other apps are not ours to answer.
    """
    rule = _RULES.get(event.name)
    if rule is None:
        return (Nothing(f"the event {event.name} is not used"),)
    return rule(event, app_id) or (Nothing(f"nothing follows from {event.name} {event.action}".rstrip()),)


# https://docs.github.com/webhooks/webhook-events-and-payloads#pull_request
def _pull_request(event: Event, _: int) -> tuple[Ask, ...]:
    repository, pull, action = event.repository, event.pull, event.action
    if repository is None or pull is None or not pull.number:
        return ()
    if action in {"opened", "synchronize", "reopened", "ready_for_review"}:
        return (ScorePull(repository, pull),)
    if action == "edited" and event.is_base_changed:
        return (ScorePull(repository, pull),)
    if action == "converted_to_draft":
        return (CancelPull(repository, pull.number, "it became a draft"),)
    if action == "closed":
        reason = "it was merged" if pull.is_merged else "it was closed"
        cancel = CancelPull(repository, pull.number, reason)
        return (cancel, IngestPull(repository, pull)) if pull.is_merged else (cancel,)
    return ()


# https://docs.github.com/webhooks/webhook-events-and-payloads#push
def _push(event: Event, _: int) -> tuple[Ask, ...]:
    push, repository = event.push, event.repository
    if push is None or repository is None or push.is_deleted or not repository.default_branch:
        return ()
    if push.ref != f"refs/heads/{repository.default_branch}":
        return ()
    return (Ingest(repository, is_rewritten=push.is_forced),)


_PRESSED = {Button.RESCORE.value: Rescore, Button.ACCEPT.value: AcceptFinding, Button.MUTE.value: MutePath}


# https://docs.github.com/webhooks/webhook-events-and-payloads#check_run
# https://docs.github.com/rest/guides/using-the-rest-api-to-interact-with-checks#check-runs-and-requested-actions
def _check_run(event: Event, app_id: int) -> tuple[Ask, ...]:
    check, repository = event.check, event.repository
    if check is None or repository is None or not check.head_sha:
        return ()
    if check.app != app_id:
        return (Nothing("the check belongs to another app"),)
    about = (repository, check.head_sha, check.external_id, event.sender)
    if event.action == "rerequested":
        return (Rescore(*about),)
    if event.action != "requested_action":
        return ()
    ask = _PRESSED.get(check.button)
    return () if ask is None else (ask(*about),)


# https://docs.github.com/webhooks/webhook-events-and-payloads#check_suite
def _check_suite(event: Event, app_id: int) -> tuple[Ask, ...]:
    check, repository = event.check, event.repository
    if check is None or repository is None or not check.head_sha:
        return ()
    if check.app != app_id:
        return (Nothing("the suite belongs to another app"),)
    if event.action == "rerequested":
        return (Rescore(repository, check.head_sha, "", event.sender),)
    return ()  # requested: the pull_request event of the same push asks for the score


# https://docs.github.com/webhooks/webhook-events-and-payloads#merge_group
def _merge_group(event: Event, _: int) -> tuple[Ask, ...]:
    group, repository = event.merge_group, event.repository
    if event.action != "checks_requested" or group is None or repository is None:
        return ()
    return (AnswerMergeGroup(repository, group.head_sha, group.base_sha),)


# https://docs.github.com/webhooks/webhook-events-and-payloads#issue_comment
def _issue_comment(event: Event, _: int) -> tuple[Ask, ...]:
    comment, repository = event.comment, event.repository
    if event.action != "created" or comment is None or repository is None or not comment.is_on_pull:
        return ()
    if comment.author.is_bot:
        return (Nothing("bots give no commands"),)
    command = parse_command(comment.body)
    if command is None:
        return ()
    return (RunCommand(repository, comment.number, comment.id, command, comment.author, comment.written_at),)


# https://docs.github.com/webhooks/webhook-events-and-payloads#pull_request_review_thread
def _thread(event: Event, _: int) -> tuple[Ask, ...]:
    thread, repository, pull = event.thread, event.repository, event.pull
    if thread is None or repository is None or pull is None:
        return ()
    if event.action not in {"resolved", "unresolved"}:
        return ()
    return (LabelThread(repository, pull.number, thread, event.action == "resolved"),)


# https://docs.github.com/webhooks/webhook-events-and-payloads#installation
# https://docs.github.com/webhooks/webhook-events-and-payloads#installation_repositories
def _installation(event: Event, _: int) -> tuple[Ask, ...]:
    if not event.installation:
        return ()
    added, removed = event.added, event.removed
    return (UpdateInstallation(event.installation, event.account, event.action, added, removed),)


# https://docs.github.com/webhooks/webhook-events-and-payloads#repository
def _repository(event: Event, _: int) -> tuple[Ask, ...]:
    if event.repository is None or event.action not in _REPOSITORY_CHANGES:
        return ()
    return (UpdateRepository(event.repository, event.action, event.previous_name),)


# https://docs.github.com/webhooks/webhook-events-and-payloads#member
# https://docs.github.com/webhooks/webhook-events-and-payloads#organization
def _member(event: Event, _: int) -> tuple[Ask, ...]:
    if event.member is None or event.action not in {"removed", "member_removed"}:
        return ()
    return (NoteLeaver(event.member, event.account, event.repository),)


_RULES = {
    "pull_request": _pull_request,
    "push": _push,
    "check_run": _check_run,
    "check_suite": _check_suite,
    "merge_group": _merge_group,
    "issue_comment": _issue_comment,
    "pull_request_review_thread": _thread,
    "installation": _installation,
    "installation_repositories": _installation,
    "repository": _repository,
    "member": _member,
    "organization": _member,
}
