"""What commits after a review rewrote, from real merges."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from connectors.git import HistoryError
from connectors.git.followed import followed_reviews, says_it_follows
from tests.connectors.conftest import Sandbox
from tests.flows.remark_scene import followed_folder, merge_topic

LINES = [f"line_{i} = {i}" for i in range(30)]


def code(**changed: str) -> str:
    """Thirty lines, some said otherwise; "" takes a line away."""
    lines = {f"line_{i}": line for i, line in enumerate(LINES)} | changed
    return "".join(f"{line}\n" for line in lines.values() if line)


def branch(sandbox: Sandbox) -> None:
    sandbox.git("checkout", "-q", "-B", "topic", "main")


@pytest.fixture
def started(sandbox: Sandbox) -> Sandbox:
    sandbox.commit("Begin", {"start.py": "start = 1\n"})
    return sandbox


@pytest.mark.parametrize(
    "subject",
    [
        "Address review comments", "address PR feedback: better names", "PR feedback", "nit",
        "Apply suggestions from code review", "🔧 Address PR review comments", "fix: resolve review remarks",
        "Updates after code review", "review suggestion: send without blocking", "Refactor as per review",
        "Respond to review",
    ],
)  # fmt: skip
def test_subjects_that_follow_a_review(subject: str) -> None:
    assert says_it_follows(subject)


@pytest.mark.parametrize(
    "subject",
    [
        "Add `--reviewer` flag completion", "prompter for reviewers", "feat: add review feedback page",
        "Isolate `pr review` command", "Remove the feedback section from help", "pr: add a flag",
        "Apply suggestion from @coderabbitai[bot]", "fix: address CodeRabbit review comments",
        "Updates from linter feedback", "Use previews", "",
    ],
)  # fmt: skip
def test_subjects_that_follow_none_or_a_machine(subject: str) -> None:
    assert not says_it_follows(subject)


def test_every_run_of_rewritten_lines_is_told_where_the_reviewer_saw_it(started: Sandbox) -> None:
    branch(started)
    shown = started.commit("Show", {"a.py": code(), "b.py": code()})
    started.commit(
        "Address review comments",
        {"a.py": code(line_3="x = 3", line_4="x = 4", line_20=""), "b.py": code() + "more = 1\n"},
    )
    merge = merge_topic(started, "Merge pull request #7 from corp/topic")
    (found,) = followed_reviews(started.root, 10)
    assert (found.number, found.merge, found.head) == (7, merge, shown)
    assert found.lines == (("a.py", 4), ("a.py", 21)), (
        "runs by their first line; an insertion rewrites nothing"
    )


def test_what_was_there_before_the_branch_or_has_no_number_is_no_review(started: Sandbox) -> None:
    branch(started)
    started.commit("Review feedback", {"start.py": "start = 2\n"})
    merge_topic(started, "Merge pull request #1 from corp/topic")
    branch(started)
    started.commit("Show", {"a.py": code()})
    started.commit("Review feedback", {"a.py": code(line_1="x = 1")})
    merge_topic(started, "Merge branch 'topic'")
    assert not list(followed_reviews(started.root, 10))


def test_the_newest_first_so_many_and_later_than_a_day(tmp_path: Path) -> None:
    sandbox = followed_folder(tmp_path / "shop")
    numbers = [one.number for one in followed_reviews(sandbox.root, 10)]
    assert numbers == [5, 4, 3, 2, 1]
    assert [one.number for one in followed_reviews(sandbox.root, 2)] == [5, 4]
    day = datetime.fromtimestamp(int(sandbox.git("log", "-1", "--format=%ct")), UTC).date()
    assert not list(followed_reviews(sandbox.root, 10, day))
    assert len(list(followed_reviews(sandbox.root, 10, day.replace(year=day.year - 1)))) == 5
    with pytest.raises(HistoryError, match="'nowhere' names no commit"):
        list(followed_reviews(sandbox.root, 10, rev="nowhere"))
