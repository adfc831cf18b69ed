"""Hunks become Passages by one rule, whatever diff they come from."""

from __future__ import annotations

from datetime import UTC, datetime

from connectors.contribution import Contribution, Hunk
from connectors.diff import parse_diff
from connectors.identity.author import Credit, Label
from service.flows.passages import passages_of_contribution, passages_of_hunk, passages_of_patches

FILE = [f"line_{number} = {number}" for number in range(1, 31)]


def hunk(lines: list[str], start: int = 1, section: str = "def f():") -> Hunk:
    n_old = sum(not line.startswith("+") for line in lines)
    n_new = sum(not line.startswith("-") for line in lines)
    return Hunk(start, n_old, start, n_new, section, tuple(lines))


def test_a_hunk_of_git_stays_whole():
    lines = [" a", " b", " c", "-old", "+new", "+more", " d", " e", " f"]
    (passage,) = passages_of_hunk(hunk(lines, 10), "x/y.py", "Python")
    assert passage.text == "@@ .py def f():\na\nb\nc\nnew\nmore\nd\ne\nf\n"
    assert passage.marked == "new\nmore\n"
    assert passage.first_line == 10


def test_more_context_is_cut_to_the_rule():
    """The same change with -U3 and with -U10 reads the same, but for the section of later parts."""
    wide = [f" {text}" for text in FILE]
    wide[9:10] = ["+added = 1", wide[9]]
    wide[25:26] = ["-gone = 2", "+added = 2"]
    first, second = passages_of_hunk(hunk(wide), "a.py", "Python")
    assert first.text.splitlines() == ["@@ .py def f():", *FILE[6:9], "added = 1", *FILE[9:12]]
    assert first.first_line == 7
    assert second.text.splitlines()[0] == "@@ .py"
    assert second.marked == "added = 2\n"
    assert second.first_line + 3 == 26


def test_changes_that_share_context_stay_together():
    lines = ["+a", *[f" {n}" for n in range(6)], "+b"]
    assert len(list(passages_of_hunk(hunk(lines), "a.py", "Python"))) == 1
    lines = ["+a", *[f" {n}" for n in range(7)], "+b"]
    assert len(list(passages_of_hunk(hunk(lines), "a.py", "Python"))) == 2


def test_deletions_and_blank_additions_give_nothing():
    assert list(passages_of_hunk(hunk([" a", "-b"]), "a.py", "Python")) == []
    assert list(passages_of_hunk(hunk([" a", "+", "+   "]), "a.py", "Python")) == []


def test_training_and_review_read_the_same():
    text = "--- a/m.py\n+++ b/m.py\n@@ -1,2 +1,3 @@ class A:\n a\n+b\n c\n"
    (patch,) = parse_diff(text)
    when = datetime(2024, 5, 1, tzinfo=UTC)
    contribution = Contribution(
        "c1", "human:x", when, "m.py", "Python", patch.hunks, Credit(Label.UNDECLARED, "human:x")
    )
    (trained,) = passages_of_contribution(contribution)
    (reviewed,) = passages_of_patches([patch])
    assert (trained.text, trained.spans, trained.first_line) == (
        reviewed.text,
        reviewed.spans,
        reviewed.first_line,
    )
    assert (trained.group, trained.author, trained.written_at) == ("c1", "human:x", when.timestamp())


def test_unknown_languages_are_left_out():
    (patch,) = parse_diff("--- a/m.qqq\n+++ b/m.qqq\n@@ -1 +1,2 @@\n a\n+b\n")
    assert passages_of_patches([patch]) == ()
