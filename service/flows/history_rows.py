"""What reading a history tells, as rows: who writes; of merged pull requests commits and style remarks."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from connectors.github.events import ThreadRef
from connectors.github.pulls import MergedPull
from connectors.github.pulls import PullCommit as MergedCommit
from connectors.github.threads import is_about_style, style_remarks
from connectors.identity.agents import NOREPLY
from connectors.identity.author import Author, AuthorKind, Credit, forgotten_digest
from service.db.columns import now
from service.db.queries.people import find_account, keep_aliases, keep_author
from service.db.queries.pulls import drop_thread, find_pull, keep_commits, keep_pull, keep_threads
from service.db.session import Session
from service.db.states import PullState
from service.db.tables import PullCommit, ReviewThread
from service.flows.ingest import Ingested


@dataclass(frozen=True)
class HistoryRead:
    """A history that has been read.

    Attributes:
        head: newest commit. authors: everyone known. pulls: merged since the last reading, with ``credits``
            of their own commits, by commit.
    """

    head: str
    authors: tuple[Author, ...] = ()
    pulls: tuple[MergedPull, ...] = ()
    credits: Mapping[str, Credit] | None = None

    @classmethod
    def of(cls, head: str, ingested: Ingested, pulls: Sequence[MergedPull] = ()) -> HistoryRead:
        """What was read, with the credits that its pull requests ask for."""
        wanted = {commit.sha for pull in pulls for commit in pull.commits}
        found = (
            {c.commit: c.credit for c in ingested.store if c.commit in wanted and c.credit} if wanted else {}
        )
        return cls(head, ingested.authors, tuple(pulls), found)


def keep_rows(session: Session, repository_id: int, read: HistoryRead, forgotten: Iterable[str]) -> None:
    """Write authors and merged pull requests down; done again, nothing is there twice.

    Args:
        forgotten: digests of the keys of authors of whom nothing is written.
    """
    gone = frozenset(forgotten)
    accounts = {c.email.lower(): c.account.id for p in read.pulls for c in p.commits if c.account}
    by_account: dict[int, str] = {}
    for author in read.authors:
        if forgotten_digest(author.key) in gone:
            continue
        account = _account_of(author, accounts)
        row = keep_author(
            session, repository_id, author.key, name=author.name, kind=author.kind, tier=author.tier,
            github_id=account,
        )  # fmt: skip
        row.evidence = [{"kind": e.kind, "text": e.text, "tier": e.tier.value} for e in author.evidence]
        keep_aliases(session, row, [(alias.name, alias.email) for alias in author.aliases])
        if account is not None:
            by_account[account] = author.key
    for pull in read.pulls:
        _keep_pull(session, repository_id, pull, read.credits or {}, by_account, gone)


def _account_of(author: Author, accounts: Mapping[str, int]) -> int | None:
    """GitHub's id: the one in a noreply address, else whom GitHub takes an address to belong to."""
    if author.kind is not AuthorKind.HUMAN:
        return None
    for alias in author.aliases:
        named = NOREPLY.match(alias.email)
        if named is not None and named[1]:
            return int(named[1])
    return next((accounts[a.email.lower()] for a in author.aliases if a.email.lower() in accounts), None)


def _keep_pull(
    session: Session, repository_id: int, pull: MergedPull, credited: Mapping[str, Credit],
    by_account: Mapping[int, str], gone: frozenset[str],
) -> None:  # fmt: skip
    account = None if pull.author is None else pull.author.id
    row = keep_pull(
        session, repository_id, pull.number, head_sha=pull.head_sha, base_sha=pull.base_sha,
        base_ref=pull.base_ref, merge_commit_sha=pull.merge_sha, merged_at=pull.merged_at,
        state=PullState.MERGED, author_key=by_account.get(account or 0, ""),
    )  # fmt: skip
    number = row.id or 0
    keep_commits(
        session, number,
        [_commit_row(number, place, c, credited.get(c.sha), gone) for place, c in enumerate(pull.commits)],
    )  # fmt: skip
    keep_threads(session, number, list(_thread_rows(number, pull, by_account)))


def _commit_row(
    pull: int, position: int, commit: MergedCommit, credit: Credit | None, gone: frozenset[str]
) -> PullCommit:
    """Evidence by kind and tier alone: its text can name people, and who it is about may be forgotten."""
    row = PullCommit(pull_request_id=pull, sha=commit.sha, position=position, authored_at=commit.authored_at)
    if credit is None:
        return row
    row.author_key = "" if forgotten_digest(credit.author) in gone else credit.author
    row.label, row.agents = credit.label.value, list(credit.agents)
    row.requester = "" if forgotten_digest(credit.requester) in gone else credit.requester
    row.tier = credit.evidence[0].tier.value if credit.evidence else ""
    row.evidence = [{"kind": e.kind, "tier": e.tier.value} for e in credit.evidence]
    return row


def _thread_rows(pull: int, merged: MergedPull, by_account: Mapping[int, str]) -> Iterable[ReviewThread]:
    """Resolved remarks about style. Of what was said the digest alone: it is a label, not text."""
    said = {thread.id: thread.comments[0] for thread in merged.threads if thread.comments}
    for remark in style_remarks(merged):
        first = said[remark.thread]
        yield ReviewThread(
            pull_request_id=pull, node_id=remark.thread, path=remark.path, line=remark.line or None,
            commit_sha=remark.commit_sha, is_resolved=True, created_at=first.written_at,
            author_key=by_account.get(first.author.id, "") if first.author else "",
            body_digest=_digest(first.body),
        )  # fmt: skip


def label_thread(
    session: Session, repository_id: int, number: int, thread: ThreadRef, *, is_resolved: bool
) -> bool:
    """Keep or drop one thread's label, of a pull request that was merged before; whether it is one now.

    Threads of one that is still open come in with it when it is merged.
    """
    pull = find_pull(session, repository_id, number)
    if pull is None or pull.state is not PullState.MERGED:
        return False
    drop_thread(session, thread.id)
    if not is_resolved or not is_about_style(thread.body, thread.author):
        return False
    author = find_account(session, repository_id, thread.author.id)
    session.add(ReviewThread(
        pull_request_id=pull.id or 0, node_id=thread.id, path=thread.path, line=thread.line or None,
        commit_sha=thread.commit_sha or pull.head_sha, is_resolved=True,
        created_at=thread.written_at or now(), author_key="" if author is None else author.key,
        body_digest=_digest(thread.body),
    ))  # fmt: skip
    return True


def _digest(said: str) -> str:
    return hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest()
