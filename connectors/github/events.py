"""What GitHub tells an app, as small frozen nouns. Anything a payload lacks is 0, "" or None."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Account:
    """A user, bot or organisation; the id stays when the login changes."""

    id: int
    login: str
    is_bot: bool = False


@dataclass(frozen=True, slots=True)
class RepositoryRef:
    """A repository; the id stays when it is renamed or transferred."""

    id: int
    full_name: str
    default_branch: str = ""
    is_private: bool = True


@dataclass(frozen=True, slots=True)
class PullRef:
    """A pull request as an event or the API shows it. An event may be old: read it again before acting.

    Attributes:
        head_repository: id of the repository the head lives in; None: a fork that was deleted.
        merge_commit_sha: of a merged pull request, the commit on the base branch; else a test merge or "".
    """

    number: int
    head_sha: str
    base_sha: str
    base_ref: str
    author: Account
    head_repository: int | None = None
    is_draft: bool = False
    is_open: bool = True
    is_merged: bool = False
    merge_commit_sha: str = ""


@dataclass(frozen=True, slots=True)
class CheckRef:
    """A check run or check suite. Its list of pull requests is empty for forks, so it is not kept.

    Attributes:
        run: id of the check run, or 0 for a suite. app: id of the app it belongs to.
        external_id: what we wrote there. button: identifier of the button that was pressed.
    """

    run: int
    app: int
    head_sha: str
    external_id: str = ""
    button: str = ""


@dataclass(frozen=True, slots=True)
class CommentRef:
    """A comment in a conversation. written_at: by GitHub's clock, None where it did not say."""

    id: int
    number: int
    body: str
    author: Account
    is_on_pull: bool
    written_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class PushRef:
    """A push to a ref."""

    ref: str
    before: str
    after: str
    is_forced: bool
    is_deleted: bool


@dataclass(frozen=True, slots=True)
class MergeGroupRef:
    """A group of a merge queue."""

    head_sha: str
    base_sha: str
    base_ref: str


@dataclass(frozen=True, slots=True)
class ThreadRef:
    """A review thread: node id, where it began, and what was said first, by whom and when.

    Attributes:
        commit_sha: the commit that was remarked on, "" where GitHub does not tell. line: in the file at that
            commit, else as it is now; 0 when it is no line of the new file.
    """

    id: str
    path: str
    line: int
    body: str
    author: Account = Account(0, "")
    written_at: datetime | None = None
    commit_sha: str = ""


@dataclass(frozen=True, slots=True)
class Event:
    """One webhook delivery, read.

    Attributes:
        delivery: GitHub's id of it; a redelivery carries the same.
        previous_name: full name before a rename or transfer.
        is_base_changed: an edit that changed the base branch.
        added, removed: repositories that joined or left an installation.
        member: who joined or left.
    """

    name: str
    action: str
    delivery: str
    sender: Account
    installation: int = 0
    account: Account | None = None
    repository: RepositoryRef | None = None
    pull: PullRef | None = None
    check: CheckRef | None = None
    comment: CommentRef | None = None
    push: PushRef | None = None
    merge_group: MergeGroupRef | None = None
    thread: ThreadRef | None = None
    previous_name: str = ""
    is_base_changed: bool = False
    added: tuple[RepositoryRef, ...] = ()
    removed: tuple[RepositoryRef, ...] = ()
    member: Account | None = None
