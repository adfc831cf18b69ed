from __future__ import annotations

import pytest

from fingerprint import FingerprintError
from fingerprint.evaluation.views import view_passages
from fingerprint.passage import Passage, passage_from_lines

HUNKS = {
    "python": ("a.py", [(True, "    # add one"), (True, "    total = value + 1  # why")]),
    "go": ("a.go", [(True, "func (s *Server) get(w Writer) error {"), (True, "\treturn s.store[0] // x")]),
    "rust": ("a.rs", [(True, "pub fn get(x: &str) -> u8 { /* c */ MAX }")]),
    "typescript": ("a.ts", [(True, "const total = add(value, 'one') // why")]),
}  # fmt: skip


def a_passage(language: str) -> Passage:
    path, lines = HUNKS[language]
    return passage_from_lines(lines, path=path, language=language)


@pytest.mark.parametrize("language", HUNKS)
def test_masked_keeps_lines_and_operators_and_hides_names(language: str) -> None:
    (seen,) = view_passages([a_passage(language)], "masked").passages
    before = a_passage(language)
    assert seen.marked.count("\n") == before.marked.count("\n")
    for name in ("value", "total", "Server", "store", "MAX", "why", "add"):
        assert name not in seen.marked
    kept = {"python": "=", "go": "return", "rust": "pub fn", "typescript": "const"}[language]
    assert kept in seen.marked


def test_masked_forgets_which_names_but_not_their_shape() -> None:
    lines = [(True, "total_sum = value_one"), (True, "totalSum = x")]
    other = [(True, "other_sum = thing_two"), (True, "otherSum = y")]
    first, second = (
        view_passages([passage_from_lines(text, path="a.py", language="python")], "masked").passages[0]
        for text in (lines, other)
    )
    assert first.text == second.text


@pytest.mark.parametrize("language", HUNKS)
def test_without_comments_the_code_stays(language: str) -> None:
    (seen,) = view_passages([a_passage(language)], "without comments").passages
    assert not any(mark in seen.marked for mark in ("why", "add one", "// x", "/* c */"))
    code = {
        "python": "total = value + 1",
        "go": "return s.store[0]",
        "rust": "MAX",
        "typescript": "add(value,",
    }
    assert code[language] in seen.marked
    assert all(seen.text[start:end].strip() for start, end in seen.spans)


def test_a_hunk_of_comments_alone_is_dropped_and_counted() -> None:
    comment = passage_from_lines([(True, "# nothing else")], path="a.py", language="python")
    seen = view_passages([a_passage("python"), comment], "without comments")
    assert (len(seen.passages), seen.n_dropped, seen.kept) == (1, 1, (0,))
    assert sum(seen.reasons.values()) == 1


def test_raw_is_the_passage_and_an_unknown_view_is_named() -> None:
    passage = a_passage("go")
    assert view_passages([passage], "raw").passages == (passage,)
    with pytest.raises(FingerprintError, match="no view 'blurred'"):
        view_passages([passage], "blurred")
