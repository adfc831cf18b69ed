"""What kind of token stands where, for colouring maps: read by pygments from the whole passage. Torch-free.

Fragments are read too, so unlike a parser this never fails; in return a definition is only what the lexer
itself marks as one (a function's or class's name).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int
from pygments.token import Comment, Keyword, Name, Number, Operator, Punctuation, String, _TokenType

from fingerprint.evaluation.lexing import family_of

TOKEN_KINDS = (
    "keyword", "definition", "name", "operator", "string", "number", "comment", "indent", "line end", "other",
)  # fmt: skip
_OTHER, _INDENT, _LINE_END = TOKEN_KINDS.index("other"), TOKEN_KINDS.index("indent"), 8
_BY_TYPE: tuple[tuple[_TokenType, str], ...] = (
    (Comment, "comment"), (String, "string"), (Number, "number"), (Operator.Word, "keyword"),
    (Keyword, "keyword"), (Name.Function, "definition"), (Name.Class, "definition"), (Name, "name"),
    (Operator, "operator"), (Punctuation, "operator"),
)  # fmt: skip


def kinds_of_tokens(
    text: str, path: str, offsets: Sequence[tuple[int, int]] | Int[np.ndarray, "t 2"]
) -> Int[np.ndarray, " t"]:
    """Index into TOKEN_KINDS of every token, from its character range.

    White space alone is a line end where it holds one, else an indent; other tokens are what their first
    visible character belongs to. Files of a language that pygments does not know are "other" but for layout.
    """
    by_character = _kinds_of_characters(text, path)
    found = np.full(len(offsets), _OTHER)
    for i, (start, end) in enumerate(offsets):
        own = text[start:end]
        stripped = own.lstrip()
        if stripped:
            found[i] = by_character[start + len(own) - len(stripped)]
        elif own:
            found[i] = _LINE_END if "\n" in own else _INDENT
    return found


def _kinds_of_characters(text: str, path: str) -> Int[np.ndarray, " c"]:
    kinds = np.full(len(text) + 1, _OTHER)
    family = family_of(path)
    if family is None:
        return kinds
    for start, kind, part in family.lexer.get_tokens_unprocessed(text):
        kinds[start : start + len(part)] = _kind(kind)
    return kinds


def _kind(kind: _TokenType) -> int:
    for parent, name in _BY_TYPE:
        if kind in parent:
            return TOKEN_KINDS.index(name)
    return _OTHER
