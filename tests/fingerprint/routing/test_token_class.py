import pytest

from fingerprint.routing.token_class import TOKEN_CLASSES, classify_token, classify_tokens


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("config", "word"),
        (" _x", "word"),
        (" é", "word"),
        ("(", "operator"),
        (" ->", "operator"),
        ("\n    ", "layout"),
        ("", "layout"),
        (" 12", "literal"),
        ("'a", "literal"),
        (" # why", "literal"),
        ("//", "literal"),
        ("/", "operator"),
    ],
)
def test_classes(text: str, expected: str) -> None:
    assert TOKEN_CLASSES[classify_token(text)] == expected


def test_by_offsets() -> None:
    assert classify_tokens("a =\n1", [(0, 0), (0, 1), (1, 3), (3, 4), (4, 5)]).tolist() == [2, 0, 1, 2, 3]
