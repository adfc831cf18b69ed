"""Review threads as labels: which of them were about style, and were followed."""

from __future__ import annotations

import re
from dataclasses import dataclass

from connectors.github.events import Account
from connectors.github.pulls import MergedPull, ReviewThread

# What reviewers write when a line is right but not how the team writes it.
_STYLE = re.compile(
    r"\bnit\b|nitpick|\bstyle\b|\bnam(e|ed|ing)\b|convention|consisten|\bidiom"
    r"|we (usually|always|never|don'?t|tend|prefer)|\bprefer\b"
    r"|elsewhere in|rest of the (code|file|repo)|format(ting)?\b|lint|import order|docstring",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class StyleRemark:
    """A resolved remark about how a line is written: a label for evaluation, never text to train on.

    Attributes:
        commit_sha: the commit that was remarked on; by the last one the remark may have been followed.
        line: in the file at that commit; 0 when the remark is on no line of it.
    """

    pull: int
    thread: str
    path: str
    line: int
    commit_sha: str


def is_style_remark(thread: ReviewThread) -> bool:
    """Whether a person asked for another style and the thread was resolved."""
    if not thread.is_resolved or not thread.comments:
        return False
    first = thread.comments[0]
    return first.author is not None and is_about_style(first.body, first.author)


def is_about_style(said: str, by: Account) -> bool:
    """Whether a person asks for another style. A rule of words, and as rough."""
    return bool(by.login) and not by.is_bot and _STYLE.search(said) is not None


def style_remarks(pull: MergedPull) -> tuple[StyleRemark, ...]:
    """The resolved style remarks of a pull request."""
    found = (thread for thread in pull.threads if is_style_remark(thread))
    return tuple(StyleRemark(pull.number, t.id, t.path, *_beginning(t, pull.head_sha)) for t in found)


def _beginning(thread: ReviewThread, head_sha: str) -> tuple[int, str]:
    """Line and commit where a thread began; where GitHub tells but one of them, as it is now at the head."""
    began = thread.comments[0].original_sha
    line, commit = (
        (thread.original_line, began) if began and thread.original_line else (thread.line, head_sha)
    )
    return (0 if thread.is_about_deleted else line), commit
