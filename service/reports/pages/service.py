"""Pages that only a running service has: signing in, the beginning, work under way, accounts, errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from markupsafe import Markup

from service.reports.pages.author import AuthorReport, author_page
from service.reports.pages.environment import render_template
from service.reports.pages.page import WebPage
from service.reports.profile_summary import PURPOSE

STYLES = ("base.css", "served.css")
RELOAD_S = 5
"""Seconds after which a page of work under way asks again, in a browser without script."""


def message_page(status: int, title: str, detail: str) -> WebPage:
    """An answer that is not what was asked for: 403, 404, ..."""
    body = render_template("message.html.jinja", status=status, title=title, detail=detail)
    return WebPage(title, body, str(status), STYLES)


def sign_in_page(next_address: str, problem: str = "") -> WebPage:
    """Where a browser shows a token. next_address: where it goes then."""
    body = render_template("sign_in.html.jinja", next=next_address, problem=problem)
    return WebPage("Sign in", body, "Sign in", STYLES)


# ------------------------------------------------------------------------------------ the beginning


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of a list: what it is, where it leads, how it stands (state: a class, word: what is shown)."""

    name: str
    address: str
    state: str
    word: str
    at: datetime
    about: str = ""
    step: str = ""
    head: str = ""
    p_value: str = ""


@dataclass(frozen=True, slots=True)
class RepositoryEntry:
    """A repository and its pages: (name, address)."""

    name: str
    stage: str
    links: tuple[tuple[str, str], ...]


def index_page(
    own: Sequence[tuple[str, str]],
    repositories: Sequence[RepositoryEntry],
    reviews: Sequence[Entry] | None,
    jobs: Sequence[Entry],
) -> WebPage:
    """Where a browser begins: one's own report first. reviews None: this viewer sees their own data alone."""
    body = render_template(
        "index.html.jinja", title="Routeprint", own=own, repositories=repositories, reviews=reviews, jobs=jobs
    )
    return WebPage("Beginning", body, "Service", STYLES)


def authors_page(links: Sequence[tuple[str, str]], more: str) -> WebPage:
    """Authors in the order in which they became known: nobody is ranked. more: address of the next ones."""
    body = render_template("authors.html.jinja", links=links, more=more)
    return WebPage("Authors", body, "Service", STYLES)


# ---------------------------------------------------------------------------------- work under way


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a job's log. at: the time of day, UTC."""

    number: int
    at: str
    text: str


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a job stands.

    Attributes:
        title, about, flow, status: what it is. step: what it does now. sentence: place in the queue, share,
            speed, time left. share: of the step, None when not known. is_over: nothing more will happen.
        events: address of the stream. has_log: whether this viewer may see lines. links: what it made.
    """

    title: str
    about: str
    flow: str
    status: str
    attempt: int
    step: str
    sentence: str
    share: float | None
    is_over: bool
    events: str
    has_log: bool
    lines: tuple[Line, ...] = ()
    error: str = ""
    links: tuple[tuple[str, str], ...] = ()


def progress_page(progress: Progress) -> WebPage:
    """A job as it stands; live with script, asked again without."""
    body = render_template("progress.html.jinja", progress=progress, reload_s=RELOAD_S)
    is_live = not progress.is_over
    scripts = ("page.js", "progress.js") if is_live else ("page.js",)
    return WebPage(progress.title, body, "Work", STYLES, scripts, reload_s=RELOAD_S if is_live else 0)


# ------------------------------------------------------------------------------------- one's own page


@dataclass(frozen=True, slots=True)
class Account:
    """What the database keeps of one author, and what they can do about it.

    Attributes:
        aliases: (name, address). consents: (when, state, who wrote it down, how). events: (when, who, what).
        address: of the page. form_key: for its forms. may_delete: whether this process can.
    """

    repository: str
    key: str
    name: str
    kind: str
    tier: str
    aliases: tuple[tuple[str, str], ...]
    consents: tuple[tuple[datetime, str, str, str], ...]
    events: tuple[tuple[datetime, str, str], ...]
    address: str
    form_key: str
    may_delete: bool


def own_page(report: AuthorReport | None, account: Account, links: Sequence[tuple[str, str]] = ()) -> WebPage:
    """One author's page: what was learned, if anything was, and what is kept.

    Args:
        links: of other pages about this author.
    """
    page = WebPage(f"What is kept of {account.name}", Markup(""), "Author report", STYLES)
    if report is not None:
        page = author_page(replace(report, commands=(), missing={}), links)
        page = replace(page, styles=(*page.styles, "served.css"))
    kept = render_template(
        "account.html.jinja", account=account, with_lede=report is None, purpose=PURPOSE,
        why_none=_why_none(account),
    )  # fmt: skip
    return replace(page, body=page.body + kept)


def _why_none(account: Account) -> str:
    agreed = bool(account.consents) and account.consents[-1][1] == "given"
    if account.kind == "human" and not agreed:
        return "No signature of one’s own: that needs a recorded consent. The commits are part of the team’s."
    return "No report yet: it is made when the team’s signature is learned next."
