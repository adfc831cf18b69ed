from __future__ import annotations

import pytest

from fingerprint.evaluation.renaming import Vocabulary, renamed
from fingerprint.evaluation.rewriting import NoViewError
from fingerprint.passage import Passage, passage_from_lines


def passage(*lines: str, path: str = "a.py") -> Passage:
    return passage_from_lines([(True, line) for line in lines], path=path, language="python")


TEAM = Vocabulary.of(
    [
        passage("for row in rows:", "    total_size = total_size + row.width", "    Holder(row, rows)"),
        passage("rows = load_rows(Holder)  # ignored comment words", "load_rows(total_size, row.width)"),
    ]
)


def test_own_names_become_the_teams_of_the_same_shape() -> None:
    found = renamed(passage("theCount = compute_it(row)", "compute_it(theCount, 12)"), TEAM)
    assert found.marked == "theCount = total_size(row)\ntotal_size(theCount, 12)\n"


def test_no_two_names_become_one_and_none_the_passages_own() -> None:
    found = renamed(passage("row = alpha + beta + delta"), TEAM)
    names = found.marked.replace("=", "+").replace("\n", "").split(" + ")
    assert names[0] == "row" and len(set(names)) == 4
    assert set(names[1:3]) == {"rows", "width"} and names[3] == "delta"  # the shape has no further name


def test_words_in_strings_comments_and_keywords_stay() -> None:
    text = "return 'alpha_beta' if row else None  # alpha_beta"
    assert renamed(passage(text), TEAM).marked == text + "\n"


def test_spans_follow() -> None:
    lines = [(False, "alpha_beta()"), (True, "alpha_beta(row)"), (False, "rows")]
    found = renamed(passage_from_lines(lines, path="a.py", language="python"), TEAM)
    assert found.marked.endswith("(row)\n") and "alpha_beta" not in found.text
    assert found.text.count(found.marked.split("(")[0]) == 2


def test_the_teams_own_code_does_not_change() -> None:
    own = passage("for row in rows:", "    load_rows(row.width)")
    assert renamed(own, TEAM) is own


def test_numbers_are_no_names() -> None:
    text = "row = 0xff + 1e5"
    assert renamed(passage(text), TEAM).marked == text + "\n"


def test_what_has_no_lexer_has_no_such_view() -> None:
    with pytest.raises(NoViewError):
        renamed(passage("alpha", path="a.unknown-language"), TEAM)
