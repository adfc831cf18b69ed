"""Layout habits: how calls and parameters are broken over lines, and where spaces and parentheses stand."""

from __future__ import annotations

import random

import libcst as cst

from service.sample.habits import Habits
from service.sample.style import Style

_SPACE = cst.SimpleWhitespace(" ")
_NOTHING = cst.SimpleWhitespace("")
_BLACK_COLUMNS = 72


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
        self._open.append(not self._in_fstring and self._is_exploded(node))

    def leave_Call(self, original_node: cst.Call, updated_node: cst.Call) -> cst.Call:
        if self._open.pop():
            return self._exploded(updated_node)
        if self._style.calls == "padded" and updated_node.args and not self._in_fstring and self._keeps():
            last = updated_node.args[-1].with_changes(whitespace_after_arg=_SPACE)
            return updated_node.with_changes(whitespace_before_args=_SPACE, args=[*updated_node.args[:-1], last])
        return updated_node

    def _is_exploded(self, node: cst.Call) -> bool:
        n_args = len(node.args)
        if n_args < 2 or self._style.calls == "padded" or any(isinstance(a.value, cst.GeneratorExp) for a in node.args):
            return False
        if self._style.calls == "black":
            return n_args > 2 and len(cst.Module([]).code_for_node(node)) > _BLACK_COLUMNS
        is_bare = n_args == 2 and all(isinstance(a.value, cst.Name | cst.Integer) and not a.keyword for a in node.args)
        return not is_bare and self._keeps()

    def _exploded(self, node: cst.Call) -> cst.Call:
        depth = sum(self._open)
        inner, outer = _break(4 * (depth + 1)), _break(4 * depth)
        args = [a.with_changes(comma=cst.Comma(whitespace_after=inner), whitespace_after_arg=_NOTHING) for a in node.args]
        args[-1] = args[-1].with_changes(comma=cst.Comma(whitespace_after=outer))
        return node.with_changes(whitespace_before_args=inner, args=args)

    def leave_FunctionDef(self, original_node: cst.FunctionDef, updated_node: cst.FunctionDef) -> cst.FunctionDef:
        params = updated_node.params
        if self._style.calls == "padded" and params.params and not _has_stars(params) and self._keeps():
            last = params.params[-1].with_changes(whitespace_after_param=_SPACE)
            padded = params.with_changes(params=[*params.params[:-1], last])
            return updated_node.with_changes(whitespace_before_params=_SPACE, params=padded)
        is_long = self._style.annotations == "full" and len(params.params) > 2 and not _has_stars(params)
        if is_long and self._keeps():
            inner, outer = _break(4), _break(0)
            broken = [p.with_changes(comma=cst.Comma(whitespace_after=inner)) for p in params.params]
            broken[-1] = broken[-1].with_changes(comma=cst.Comma(whitespace_after=outer))
            return updated_node.with_changes(whitespace_before_params=inner, params=params.with_changes(params=broken))
        return updated_node

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
