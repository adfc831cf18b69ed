"""Pull requests: one as it is now, its diff at exactly one head, merged ones in bulk with review threads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from connectors.contribution import FilePatch
from connectors.diff import parse_diff
from connectors.git.mirror import Mirror
from connectors.github import GitHubError, RefusedError
from connectors.github.client import Client
from connectors.github.events import Account, PullRef, RepositoryRef
from connectors.github.payload import Json, is_true, number, part, record, records, text
from connectors.github.queries import MERGED_PULLS
from connectors.github.webhooks import read_pull, read_repository

DIFF = "application/vnd.github.diff"
RAW = "application/vnd.github.raw+json"
MAX_API_FILES = 300  # above, GitHub answers a request for the diff with 406
PULLS_PAGE = 50
MAX_COMMITS = 100  # of one pull request in one query
MAX_THREADS = 30


class StaleHeadError(GitHubError):
    """The pull request has moved on: drop the work, an event for the new head comes or has come."""


@dataclass(frozen=True, slots=True)
class PullState:
    """A pull request as it is now.

    Attributes:
        repository: where it lives now, also after a rename.
        clone_url: from where a mirror of it is fetched.
        etag: pass it on to ask again for nothing.
    """

    pull: PullRef
    repository: RepositoryRef
    clone_url: str
    title: str
    n_files: int
    n_commits: int
    etag: str = ""


# https://docs.github.com/rest/pulls/pulls#get-a-pull-request
def read_pull_state(client: Client, repository: str, pull: int) -> PullState:
    """A pull request as it is now. Raises GoneError: the repository or the app's way to it is gone."""
    answer = client.get(f"/repos/{repository}/pulls/{pull}")
    shown = answer.json
    base = record(shown, "base", "repo")
    return PullState(
        read_pull(shown), read_repository(base), text(base, "clone_url"), text(shown, "title"),
        number(shown, "changed_files"), number(shown, "commits"), answer.headers.get("etag", ""),
    )  # fmt: skip


# https://docs.github.com/rest/repos/repos#get-a-repository
def read_place(client: Client, repository: str) -> tuple[RepositoryRef, str]:
    """A repository as it is now, and from where it is cloned. Raises GoneError."""
    shown = client.get(f"/repos/{repository}").json
    return read_repository(shown), text(shown, "clone_url")


# https://docs.github.com/rest/commits/commits#list-pull-requests-associated-with-a-commit
def open_pulls_of(client: Client, repository: str, commit: str) -> tuple[int, ...]:
    """Numbers of the open pull requests with a head; GitHub does not name those of forks."""
    shown = map(read_pull, client.pages(f"/repos/{repository}/commits/{commit}/pulls"))
    return tuple(pull.number for pull in shown if pull.is_open and pull.head_sha == commit)


def check_head(client: Client, repository: str, known: PullState) -> None:
    """Make sure that a pull request is still what it was; costs nothing when it is.

    Raises:
        StaleHeadError: it has another head or base, or was closed.
    """
    pull = known.pull
    answer = client.get(f"/repos/{repository}/pulls/{pull.number}", etag=known.etag)
    if answer.status == 304:
        return
    now = read_pull(answer.json)
    if (now.head_sha, now.base_ref, now.is_open) != (pull.head_sha, pull.base_ref, pull.is_open):
        was = f"{pull.head_sha[:12]} on {pull.base_ref}"
        raise StaleHeadError(f"#{pull.number} was {was} and is {now.head_sha[:12]} on {now.base_ref} now")


def read_patches(
    client: Client, repository: str, state: PullState, mirror: Mirror | None
) -> tuple[FilePatch, ...]:
    """What a pull request changes, at the head that ``state`` names and no other.

    Up to 300 files GitHub's own diff is taken; a larger change, and one that GitHub calls too large (406), is
    read from the mirror, which must have been fetched.

    Raises:
        StaleHeadError: the pull request moved on meanwhile.
        RefusedError: GitHub gives no diff, and there is no mirror. HistoryError: the mirror cannot either.
    """
    pull = state.pull
    if state.n_files <= MAX_API_FILES:
        try:
            answer = client.get(f"/repos/{repository}/pulls/{pull.number}", accept=DIFF)
        except RefusedError as error:
            if mirror is None or error.status != 406:
                raise
        else:
            check_head(client, repository, state)  # the diff names no commit
            return parse_diff(answer.text)
    if mirror is None:
        raise RefusedError(
            f"#{pull.number} changes {state.n_files} files; its diff needs a mirror of the repository"
        )
    return mirror.diff(pull.base_sha, pull.head_sha)


# https://docs.github.com/rest/repos/contents#get-repository-content
def read_base_file(client: Client, repository: str, path: str, commit: str) -> str:
    """A file's text at a commit of the base branch. Raises GoneError if there is none."""
    return client.get(f"/repos/{repository}/contents/{path}", accept=RAW, ref=commit).text


# ---------------------------------------------------------------------------------------- in bulk


@dataclass(frozen=True, slots=True)
class PullCommit:
    """A pull request's own commit. account: whom GitHub takes the address to belong to, or None."""

    sha: str
    message: str
    authored_at: datetime
    name: str
    email: str
    account: Account | None


@dataclass(frozen=True, slots=True)
class ThreadComment:
    """One comment of a review thread. author: None when the account was deleted.

    Attributes:
        original_sha: the commit that was looked at when it was written, "" where GitHub does not tell.
    """

    body: str
    written_at: datetime
    author: Account | None
    original_sha: str = ""


@dataclass(frozen=True, slots=True)
class ReviewThread:
    """A review thread, kept as a label; the text is untrusted.

    Attributes:
        line, start_line: in the file as it is now; 0 where the line is gone.
        original_line: in the file as it was when the thread began; 0 where GitHub does not tell.
        is_about_deleted: its lines are of the file before the change.
        comments: the first few of ``n_comments``.
    """

    id: str
    path: str
    line: int
    start_line: int
    is_resolved: bool
    is_outdated: bool
    comments: tuple[ThreadComment, ...]
    n_comments: int
    original_line: int = 0
    is_about_deleted: bool = False


@dataclass(frozen=True, slots=True)
class MergedPull:
    """A merged pull request. commits and threads: the first of ``n_commits`` and ``n_threads``.

    Attributes:
        merge_sha: the commit on the base branch: a merge, a squash, or the last of a rebase.
    """

    number: int
    title: str
    author: Account | None
    base_ref: str
    base_sha: str
    head_sha: str
    merge_sha: str
    merged_at: datetime
    updated_at: datetime
    commits: tuple[PullCommit, ...]
    n_commits: int
    threads: tuple[ReviewThread, ...]
    n_threads: int


@dataclass(frozen=True, slots=True)
class PullPage:
    """A page of merged pull requests, the latest change first. cursor: for the next page, None at the end."""

    repository: RepositoryRef
    pulls: tuple[MergedPull, ...]
    cursor: str | None
    cost: int


def merged_pulls(
    client: Client, repository: str, *, after: str | None = None, count: int = PULLS_PAGE
) -> PullPage:
    """One page of merged pull requests with commits and review threads.

    Args:
        after: cursor of the page before.

    Raises:
        GoneError: no such repository. RateLimitedError: come back later, with the same cursor.
    """
    owner, _, name = repository.partition("/")
    data = client.graphql(MERGED_PULLS, {"owner": owner, "name": name, "after": after, "count": count})
    shown = record(data, "repository")
    where = RepositoryRef(number(shown, "databaseId"), text(shown, "nameWithOwner"))
    connection = record(shown, "pullRequests")
    found = tuple(_merged_pull(node) for node in records(connection, "nodes"))
    is_more = is_true(connection, "pageInfo", "hasNextPage")
    cursor = text(connection, "pageInfo", "endCursor") if is_more else None
    return PullPage(where, found, cursor or None, number(data, "rateLimit", "cost"))


def all_merged_pulls(
    client: Client, repository: str, *, since: datetime | None = None
) -> Iterator[MergedPull]:
    """Merged pull requests, the latest change first, back to a moment."""
    cursor: str | None = None
    while True:
        page = merged_pulls(client, repository, after=cursor)
        for pull in page.pulls:
            if since is not None and pull.updated_at < since:
                return
            yield pull
        if page.cursor is None:
            return
        cursor = page.cursor


def _merged_pull(node: Json) -> MergedPull:
    commits, threads = record(node, "commits"), record(node, "reviewThreads")
    return MergedPull(
        number(node, "number"), text(node, "title"), _actor(part(node, "author")), text(node, "baseRefName"),
        text(node, "baseRefOid"), text(node, "headRefOid"), text(node, "mergeCommit", "oid"),
        _moment(node, "mergedAt"), _moment(node, "updatedAt"),
        tuple(_commit(record(found, "commit")) for found in records(commits, "nodes")),
        number(commits, "totalCount"),
        tuple(_thread(found) for found in records(threads, "nodes")), number(threads, "totalCount"),
    )  # fmt: skip


def _commit(node: Json) -> PullCommit:
    author = record(node, "author")
    user = part(author, "user")
    account = Account(number(user, "databaseId"), text(user, "login")) if user else None
    return PullCommit(
        text(node, "oid"), text(node, "message"), _moment(node, "authoredDate"), text(author, "name"),
        text(author, "email"), account,
    )  # fmt: skip


def _thread(node: Json) -> ReviewThread:
    comments = record(node, "comments")
    said = tuple(
        ThreadComment(
            text(found, "body"), _moment(found, "createdAt"), _actor(part(found, "author")),
            text(found, "originalCommit", "oid"),
        )
        for found in records(comments, "nodes")
    )  # fmt: skip
    return ReviewThread(
        text(node, "id"), text(node, "path"), number(node, "line"), number(node, "startLine"),
        is_true(node, "isResolved"), is_true(node, "isOutdated"), said, number(comments, "totalCount"),
        number(node, "originalLine"), text(node, "diffSide") == "LEFT",
    )  # fmt: skip


def _actor(node: object) -> Account | None:
    if not node:
        return None
    is_bot = text(node, "__typename") == "Bot"
    login = text(node, "login") + ("[bot]" if is_bot else "")  # as the REST API writes it
    return Account(number(node, "databaseId"), login, is_bot)


def _moment(node: Json, key: str) -> datetime:
    return datetime.fromisoformat((text(node, key) or "1970-01-01T00:00:00Z").replace("Z", "+00:00"))
