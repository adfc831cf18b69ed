"""Token classes: what kind of text a token begins. Torch-free."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

TOKEN_CLASSES = ("word", "operator", "layout", "literal")
_LITERAL_STARTS = ("#", "//", "/*", "*/", '"', "'", "`")


def classify_token(text: str) -> int:
    """Index into TOKEN_CLASSES of a token's own text.

    Layout is white space alone; a literal begins with a digit, a quote or a comment mark; words begin
    with a letter or an underscore; the rest are operators. Leading white space does not count otherwise.
    """
    stripped = text.lstrip()
    if not stripped:
        return 2
    if stripped[0].isdigit() or stripped.startswith(_LITERAL_STARTS):
        return 3
    return 0 if stripped[0].isalpha() or stripped[0] == "_" or ord(stripped[0]) > 127 else 1


def classify_tokens(text: str, offsets: Sequence[tuple[int, int]] | np.ndarray) -> np.ndarray:
    """Class index of every token, [n_tokens] int8, from character offsets [n_tokens, 2] into text."""
    return np.fromiter((classify_token(text[start:end]) for start, end in offsets), np.int8, len(offsets))
