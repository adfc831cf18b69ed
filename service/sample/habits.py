"""What the libcst transformers of this room share: a style applied with its fidelity, and a quick walk."""

from __future__ import annotations

import random
from typing import Any

import libcst as cst

from service.sample.style import Style

_CHILDLESS = frozenset(
    [
        cst.SimpleWhitespace, cst.ParenthesizedWhitespace, cst.TrailingWhitespace, cst.EmptyLine, cst.Newline,
        cst.Comment, cst.Comma, cst.Dot, cst.Colon, cst.AssignEqual, cst.LeftParen, cst.RightParen,
        cst.LeftSquareBracket, cst.RightSquareBracket, cst.LeftCurlyBrace, cst.RightCurlyBrace, cst.Semicolon,
        cst.Equal, cst.NotEqual, cst.Is, cst.IsNot, cst.In, cst.NotIn, cst.Not, cst.And, cst.Or, cst.Add,
        cst.Subtract, cst.LessThan, cst.GreaterThan, cst.LessThanEqual, cst.GreaterThanEqual, cst.Pass,
    ]
)  # fmt: skip


class Habits(cst.CSTTransformer):
    """Base of the transformers.

    The walk skips whitespace and operators, and makes no calls per attribute: half the time of libcst's own.
    """

    def __init__(self, style: Style, rng: random.Random) -> None:
        super().__init__()
        self._style = style
        self._rng = rng
        own = list(vars(type(self)))
        self._visits = {n.removeprefix("visit_"): getattr(self, n) for n in own if n.startswith("visit_")}
        self._leaves = {n.removeprefix("leave_"): getattr(self, n) for n in own if n.startswith("leave_")}

    def _keeps(self, rate: float = 1.0) -> bool:
        """Whether the habit is realised at this place."""
        return self._rng.random() < self._style.fidelity * rate

    def on_visit(self, node: cst.CSTNode) -> bool:
        kind = type(node)
        if kind in _CHILDLESS:
            return False
        visit = self._visits.get(kind.__name__)
        return visit is None or visit(node) is not False

    def on_leave(self, original_node: cst.CSTNodeT, updated_node: cst.CSTNodeT) -> Any:
        leave = self._leaves.get(type(original_node).__name__)
        return updated_node if leave is None else leave(original_node, updated_node)

    def on_visit_attribute(self, node: cst.CSTNode, attribute: str) -> None:
        """Nothing: no habit needs it."""

    def on_leave_attribute(self, original_node: cst.CSTNode, attribute: str) -> None:
        """Nothing: no habit needs it."""
