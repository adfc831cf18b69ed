"""Layout habits: how calls and parameters are broken over lines, and where spaces and parentheses stand."""

from __future__ import annotations

import random
from typing import TypeVar

import libcst as cst

from service.sample.habits import Habits
from service.sample.style import Style

_SPACE = cst.SimpleWhitespace(" ")
_NOTHING = cst.SimpleWhitespace("")
_BLACK_COLUMNS = 64
_EMPTY = cst.Module([])

CollectionT = TypeVar("CollectionT", cst.List, cst.Dict)


class LayoutHabits(Habits):
    """Lay calls, parameters and conditions out in a style. Runs last."""

    def __init__(self, style: Style, rng: random.Random) -> None:
        super().__init__(style, rng)
        self._open: list[bool] = []
        self._in_fstring = 0

    def visit_FormattedString(self, node: cst.FormattedString) -> None:
        self._in_fstring += 1

    def leave_FormattedString(
        self, original_node: cst.FormattedString, updated_node: cst.FormattedString
    ) -> cst.FormattedString:
        self._in_fstring -= 1
        return updated_node

    def visit_Call(self, node: cst.Call) -> None:
        self._open.append(not self._in_fstring and self._is_call_exploded(node))

    def leave_Call(self, original_node: cst.Call, updated_node: cst.Call) -> cst.Call:
        if self._open.pop():
            return self._exploded(updated_node)
        if self._style.calls == "padded" and updated_node.args and not self._in_fstring and self._keeps():
            last = updated_node.args[-1].with_changes(whitespace_after_arg=_SPACE)
            return updated_node.with_changes(
                whitespace_before_args=_SPACE, args=[*updated_node.args[:-1], last]
            )
        return updated_node

    def _is_call_exploded(self, node: cst.Call) -> bool:
        n_args = len(node.args)
        if (
            n_args < 2
            or self._style.calls == "padded"
            or any(isinstance(a.value, cst.GeneratorExp) for a in node.args)
        ):
            return False
        if self._style.calls == "black":
            return len(_EMPTY.code_for_node(node)) > _BLACK_COLUMNS
        is_bare = n_args == 2 and all(
            isinstance(a.value, cst.Name | cst.Integer) and not a.keyword for a in node.args
        )
        return not is_bare and self._keeps()

    def _exploded(self, node: cst.Call) -> cst.Call:
        inner, outer = self._breaks()
        args = [
            a.with_changes(comma=cst.Comma(whitespace_after=inner), whitespace_after_arg=_NOTHING)
            for a in node.args
        ]
        args[-1] = args[-1].with_changes(comma=cst.Comma(whitespace_after=outer))
        return node.with_changes(whitespace_before_args=inner, args=args)

    def visit_List(self, node: cst.List) -> None:
        self._open.append(self._is_collection_exploded(node))

    def leave_List(self, original_node: cst.List, updated_node: cst.List) -> cst.List:
        if not self._open.pop():
            return updated_node
        return self._opened(updated_node, "lbracket", cst.LeftSquareBracket)

    def visit_Dict(self, node: cst.Dict) -> None:
        self._open.append(self._is_collection_exploded(node))

    def leave_Dict(self, original_node: cst.Dict, updated_node: cst.Dict) -> cst.Dict:
        return self._opened(updated_node, "lbrace", cst.LeftCurlyBrace) if self._open.pop() else updated_node

    def _is_collection_exploded(self, node: cst.List | cst.Dict) -> bool:
        if self._in_fstring or len(node.elements) < 3 or self._style.calls == "padded":
            return False
        if self._style.calls == "black":
            return len(_EMPTY.code_for_node(node)) > _BLACK_COLUMNS
        return self._keeps()

    def _opened(self, node: CollectionT, bracket: str, opening: type) -> CollectionT:
        inner, outer = self._breaks()
        elements = [
            element.with_changes(comma=cst.Comma(whitespace_after=inner)) for element in node.elements
        ]
        elements[-1] = elements[-1].with_changes(comma=cst.Comma(whitespace_after=outer))
        return node.with_changes(elements=elements, **{bracket: opening(whitespace_after=inner)})

    def _breaks(self) -> tuple[cst.ParenthesizedWhitespace, cst.ParenthesizedWhitespace]:
        """Line breaks inside and at the end of the bracket being left; those around it are still open."""
        depth = sum(self._open)
        return _break(4 * (depth + 1)), _break(4 * depth)

    def leave_FunctionDef(
        self, original_node: cst.FunctionDef, updated_node: cst.FunctionDef
    ) -> cst.FunctionDef:
        params = updated_node.params
        if not params.params or _has_stars(params):
            return updated_node
        if self._style.calls == "padded" and self._keeps():
            last = params.params[-1].with_changes(whitespace_after_param=_SPACE)
            padded = params.with_changes(params=[*params.params[:-1], last])
            return updated_node.with_changes(whitespace_before_params=_SPACE, params=padded)
        if not self._is_definition_exploded(updated_node):
            return updated_node
        inner, outer = _break(4), _break(0)
        broken = [p.with_changes(comma=cst.Comma(whitespace_after=inner)) for p in params.params]
        broken[-1] = broken[-1].with_changes(comma=cst.Comma(whitespace_after=outer))
        return updated_node.with_changes(
            whitespace_before_params=inner, params=params.with_changes(params=broken)
        )

    def _is_definition_exploded(self, node: cst.FunctionDef) -> bool:
        if self._style.calls == "exploded":
            return len(node.params.params) > 1 and self._keeps()
        return self._style.calls == "black" and len(_EMPTY.code_for_node(node.params)) > _BLACK_COLUMNS

    def leave_If(self, original_node: cst.If, updated_node: cst.If) -> cst.If:
        return updated_node.with_changes(test=self._condition(updated_node.test))

    def leave_While(self, original_node: cst.While, updated_node: cst.While) -> cst.While:
        return updated_node.with_changes(test=self._condition(updated_node.test))

    def leave_Return(self, original_node: cst.Return, updated_node: cst.Return) -> cst.Return:
        if updated_node.value is None:
            return updated_node
        return updated_node.with_changes(value=self._condition(updated_node.value))

    def _condition(self, test: cst.BaseExpression) -> cst.BaseExpression:
        if self._style.conditions == "bare" or test.lpar or not self._keeps():
            return test
        space = _SPACE if self._style.calls == "padded" else _NOTHING
        return test.with_changes(
            lpar=[cst.LeftParen(whitespace_after=space)], rpar=[cst.RightParen(whitespace_before=space)]
        )


def _has_stars(params: cst.Parameters) -> bool:
    has_star = isinstance(params.star_arg, cst.Param | cst.ParamStar)
    return has_star or bool(params.kwonly_params or params.posonly_params or params.star_kwarg)


def _break(indent: int) -> cst.ParenthesizedWhitespace:
    """A line break inside parentheses, ``indent`` columns beyond the block's own."""
    return cst.ParenthesizedWhitespace(indent=True, last_line=cst.SimpleWhitespace(" " * indent))
