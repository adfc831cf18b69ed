"""Kinds of tokens of whole and broken code, by hand."""

from __future__ import annotations

from fingerprint.development.token_kinds import TOKEN_KINDS, kinds_of_tokens


def kinds(text: str, parts: list[str], path: str = "a.py") -> list[str]:
    offsets, at = [], 0
    for part in parts:
        start = text.index(part, at)
        at = start + len(part)
        offsets.append((start, at))
    return [TOKEN_KINDS[i] for i in kinds_of_tokens(text, path, offsets)]


def test_a_function_in_python():
    text = 'def total(xs):\n    return sum(xs) + 12  # all\nname = "x"\n'
    parts = ["def", " total", "(", "xs", "\n", "    ", "return", " sum", " +", " 12", "# all", "name", '"x"']
    expected = ["keyword", "definition", "operator", "name", "line end", "indent", "keyword", "name",
                "operator", "number", "comment", "name", "string"]  # fmt: skip
    assert kinds(text, parts) == expected


def test_a_fragment_that_does_not_parse_and_another_language():
    assert kinds("        return x[\n", ["return", "x", "["]) == ["keyword", "name", "operator"]
    assert kinds("fn main() { let x = 1; }", ["fn", "main", "1"], "a.rs") == [
        "keyword",
        "definition",
        "number",
    ]


def test_an_unknown_language_keeps_its_layout_only():
    assert kinds("a\n  b", ["a", "\n", "  ", "b"], "a.zzz") == ["other", "line end", "indent", "other"]


def test_a_token_that_is_nothing_is_other():
    assert [TOKEN_KINDS[i] for i in kinds_of_tokens("x", "a.py", [(0, 0)])] == ["other"]
