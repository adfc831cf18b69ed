"""Passages and what is cut off them."""

from __future__ import annotations

import pytest

from fingerprint.passage import passage_from_lines


def test_a_head_ends_with_the_line_in_which_the_count_is_reached() -> None:
    lines = [(True, "aaa"), (True, "bbb"), (False, "context"), (True, "ccc"), (False, "after")]
    whole = passage_from_lines(lines, path="x.py", language="python")
    assert whole.marked == "aaa\nbbb\nccc\n"
    marked = {n: whole.head(n).marked for n in range(1, 14)}
    assert marked[1] == marked[4] == "aaa\n"
    assert marked[5] == marked[8] == "aaa\nbbb\n"
    assert marked[9] == marked[13] == whole.marked
    assert whole.head(9) is whole and whole.head(99) is whole


@pytest.mark.parametrize("n", [1, 5])
def test_a_head_is_the_beginning_of_the_text(n: int) -> None:
    whole = passage_from_lines(
        [(False, "before"), (True, "aaa"), (True, "bbb"), (True, "ccc")], path="x.py", language="python",
        section="class A", group="c", author="human:a", written_at=5.0, first_line=7,
    )  # fmt: skip
    head = whole.head(n)
    assert whole.text.startswith(head.text) and head.text.endswith(head.marked)
    assert (head.path, head.group, head.author, head.written_at, head.first_line) == (
        whole.path, whole.group, whole.author, whole.written_at, whole.first_line,
    )  # fmt: skip
