import pytest

from fingerprint.drift.words import LinePlaces, first_unit, hunk_header, visible, word_head
from fingerprint.passage import passage_from_lines


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (" config.get", ("config", True)), ("config", ("config", False)), ("->x", ("->", True)),
        ("", ("", False)), ("\n    x", ("\n    ", True)), ("  x", ("  ", True)), (" ", (" ", False)),
        ("né_1 =", ("né_1", True)),
    ],
)  # fmt: skip
def test_first_unit(text: str, expected: tuple[str, bool]) -> None:
    assert first_unit(text) == expected


def test_the_head_of_a_word_in_pieces() -> None:
    text = "use con"
    assert word_head(text, 7, "fig") == "con"
    assert word_head(text, 7, ".x") == ""
    assert word_head(text, 4, "con") == ""
    assert word_head(text, 7, " fig") == ""


@pytest.mark.parametrize(
    ("unit", "expected"),
    [
        ("config", "config"), ("\n", "new line"), ("\n\n    ", "2 new lines, indent 4"), (" ", "a space"),
        ("   ", "3 spaces"), ("\t", "a tab"), ("\n\t", "new line, indent 1 tabs"),
    ],
)  # fmt: skip
def test_white_space_is_told_in_words(unit: str, expected: str) -> None:
    assert visible(unit) == expected


def test_places_and_header() -> None:
    passage = passage_from_lines(
        [(False, "a"), (True, "bc")], path="x.py", language="python", section="def f():", first_line=7
    )
    where = LinePlaces(passage)
    start = passage.text.index("a\n")
    assert where.place(start) == (7, 0)
    assert where.place(start + 3) == (8, 1)
    assert hunk_header(passage) == "def f():"
    assert hunk_header(passage_from_lines([(True, "x")], path="x.py", language="python")) == ""
