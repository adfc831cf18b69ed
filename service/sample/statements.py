"""Statement habits: comments, blank lines, guards, loops, increments, raising and returning."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

import libcst as cst

from service.sample.habits import Habits
from service.sample.style import Style
from service.sample.wording import sentence_for

_BLANK = cst.EmptyLine(indent=False)
_BLOCKS = (cst.If, cst.For, cst.While, cst.Try, cst.With, cst.FunctionDef, cst.ClassDef)
_COMMENT_RATES = {
    "none": (0.0, 0.0),
    "dashes": (0.6, 0.15),
    "note": (0.6, 0.0),
    "marker": (0.1, 0.4),
    "step": (0.95, 0.5),
    "banner": (0.6, 0.15),
}
"""How often a comment stands above a block and above a simple statement."""

Body = list[cst.BaseStatement]
NodeT = TypeVar("NodeT", bound=cst.BaseSmallStatement)


class StatementHabits(Habits):
    """Rewrite blocks in a style. Runs after ``ExpressionHabits``, whose names it puts into comments."""

    def __init__(self, style: Style, rng: random.Random) -> None:
        super().__init__(style, rng)
        self._handlers = 0

    def visit_ExceptHandler(self, node: cst.ExceptHandler) -> None:
        self._handlers += 1

    def leave_ExceptHandler(
        self, original_node: cst.ExceptHandler, updated_node: cst.ExceptHandler
    ) -> cst.ExceptHandler:
        self._handlers -= 1
        return updated_node

    def leave_Raise(self, original_node: cst.Raise, updated_node: cst.Raise) -> cst.Raise:
        is_fresh = self._handlers and isinstance(updated_node.exc, cst.Call) and updated_node.cause is None
        if self._style.raises == "from_none" and is_fresh and self._keeps():
            return updated_node.with_changes(
                cause=cst.From(cst.Name("None"), whitespace_before_from=cst.SimpleWhitespace(" "))
            )
        return updated_node

    def leave_Return(self, original_node: cst.Return, updated_node: cst.Return) -> cst.Return:
        if updated_node.value is None and self._style.returns == "explicit" and self._keeps():
            return cst.Return(cst.Name("None"))
        return updated_node

    def leave_AugAssign(
        self, original_node: cst.AugAssign, updated_node: cst.AugAssign
    ) -> cst.BaseSmallStatement:
        operators = {
            cst.AddAssign: cst.Add,
            cst.SubtractAssign: cst.Subtract,
            cst.MultiplyAssign: cst.Multiply,
        }
        operator = operators.get(type(updated_node.operator))
        is_simple = isinstance(updated_node.target, cst.Name | cst.Attribute)
        if self._style.increments == "augmented" or operator is None or not is_simple or not self._keeps():
            return updated_node
        value = _parenthesised(updated_node.value)
        total = cst.BinaryOperation(
            cst.ensure_type(updated_node.target, cst.BaseExpression), operator(), value
        )
        return cst.Assign([cst.AssignTarget(updated_node.target)], total)

    def leave_IndentedBlock(
        self, original_node: cst.IndentedBlock, updated_node: cst.IndentedBlock
    ) -> cst.IndentedBlock:
        body: Body = list(updated_node.body)
        body = self._with_walrus(body)
        body = [part for statement in body for part in self._expanded(statement)]
        body = self._with_log_calls(body)
        return updated_node.with_changes(body=self._guarded(body))

    def _with_walrus(self, body: Body) -> Body:
        if self._style.walrus == "never":
            return body
        merged: Body = []
        for statement in body:
            joined = _joined(merged[-1], statement) if merged and self._keeps() else None
            if joined is None:
                merged.append(statement)
            else:
                merged[-1] = joined
        return merged

    def _expanded(self, statement: cst.BaseStatement) -> Body:
        """``x = [f(y) for y in z if c]`` as a loop."""
        assign = _single(statement, cst.Assign)
        if self._style.loops == "comprehension" or assign is None or not self._keeps():
            return [statement]
        target = assign.targets[0].target
        made = assign.value
        if len(assign.targets) > 1 or not isinstance(target, cst.Name) or not isinstance(made, cst.ListComp):
            return [statement]
        part = made.for_in
        if part.inner_for_in is not None or part.asynchronous is not None:
            return [statement]
        call = cst.Call(cst.Attribute(target, cst.Name("append")), [cst.Arg(made.elt)])
        inner: cst.BaseStatement = cst.SimpleStatementLine([cst.Expr(call)])
        for condition in reversed(part.ifs):
            inner = cst.If(condition.test, cst.IndentedBlock([inner]))
        loop = cst.For(part.target, part.iter, cst.IndentedBlock([inner]))
        return [cst.SimpleStatementLine([assign.with_changes(value=cst.List([]))]), *self._laid_out([loop])]

    def _with_log_calls(self, body: Body) -> Body:
        if self._style.raises != "logged":
            return body
        logged: Body = []
        for statement in body:
            raised = _single(statement, cst.Raise)
            if raised is not None and isinstance(raised.exc, cst.Call) and self._keeps():
                text = sentence_for(statement, self._rng).removeprefix("report the ")
                logged.append(_line(f"log.error('{text}')"))
            logged.append(statement)
        return logged

    def _guarded(self, body: Body) -> Body:
        for i, statement in enumerate(body):
            if not isinstance(statement, cst.If) or not _ends(statement.body):
                continue
            rest = body[i + 1 :]
            is_nestable = statement.orelse is None and 0 < len(rest) <= 8
            if self._style.guards == "nested" and is_nestable and self._keeps():
                branch = cst.Else(cst.IndentedBlock(self._laid_out(rest)))
                return self._laid_out([*body[:i], statement.with_changes(orelse=branch)])
            if self._style.guards == "early" and isinstance(statement.orelse, cst.Else) and self._keeps():
                freed = _body_of(statement.orelse.body)
                flat = [*body[:i], statement.with_changes(orelse=None), *freed, *rest]
                return self._laid_out(flat)
        return self._laid_out(body)

    def _laid_out(self, body: Sequence[cst.BaseStatement]) -> Body:
        """Blank lines and comments above statements."""
        laid: Body = []
        for i, statement in enumerate(body):
            lines = self._lines_above(statement, body[i - 1] if i else None)
            laid.append(
                statement.with_changes(leading_lines=lines)
                if hasattr(statement, "leading_lines")
                else statement
            )
        return laid

    def _lines_above(
        self, statement: cst.BaseStatement, before: cst.BaseStatement | None
    ) -> list[cst.EmptyLine]:
        if isinstance(statement, cst.FunctionDef | cst.ClassDef):
            comments = [line for line in statement.leading_lines if line.comment is not None]
            return [*([_BLANK] if before is not None else []), *comments]
        if is_docstring(statement):
            return []
        before = None if before is not None and is_docstring(before) else before
        is_apart = isinstance(before, _BLOCKS) or _single(statement, cst.Return) is not None
        is_apart = is_apart or isinstance(statement, _BLOCKS)
        lines = (
            [_BLANK]
            if before is not None and self._style.blanks == "airy" and is_apart and self._keeps()
            else []
        )
        comment = self._comment(statement)
        if comment and self._style.comments == "step" and before is not None:
            lines = [_BLANK]
        return [*lines, *([cst.EmptyLine(comment=cst.Comment(comment))] if comment else [])]

    def _comment(self, statement: cst.BaseStatement) -> str:
        on_block, on_line = _COMMENT_RATES[self._style.comments]
        if not self._keeps(on_block if isinstance(statement, _BLOCKS) else on_line):
            return ""
        text = sentence_for(statement, self._rng)
        return {
            "dashes": f"# -- {text}",
            "note": f"# NOTE: {text}",
            "marker": f"#: {text}",
            "step": f"# {text[:1].upper() + text[1:]}.",
            "banner": f"#--- {text} ---#",
        }[self._style.comments]


def is_docstring(statement: cst.CSTNode) -> bool:
    """Whether a statement is a lone string."""
    expression = _single(statement, cst.Expr)
    return expression is not None and isinstance(expression.value, cst.SimpleString)


def _single(statement: cst.CSTNode, kind: type[NodeT]) -> NodeT | None:
    first = statement.body[0] if isinstance(statement, cst.SimpleStatementLine) else None
    return first if isinstance(first, kind) else None


def _line(code: str) -> cst.BaseStatement:
    return cst.ensure_type(cst.parse_statement(code), cst.SimpleStatementLine)


def _body_of(suite: cst.BaseSuite) -> Body:
    return [statement for statement in suite.body if isinstance(statement, cst.BaseStatement)]


def _ends(suite: cst.BaseSuite) -> bool:
    last = suite.body[-1]
    return isinstance(last, cst.SimpleStatementLine) and isinstance(last.body[0], cst.Return | cst.Raise)


def _parenthesised(value: cst.BaseExpression) -> cst.BaseExpression:
    is_plain = isinstance(
        value, cst.Name | cst.Integer | cst.Call | cst.Attribute | cst.SimpleString | cst.Subscript
    )
    if is_plain or value.lpar:
        return value
    return value.with_changes(lpar=[cst.LeftParen()], rpar=[cst.RightParen()])


def _joined(before: cst.BaseStatement, statement: cst.BaseStatement) -> cst.BaseStatement | None:
    """``x = f()`` and ``if x:`` as ``if (x := f()):``."""
    assign = _single(before, cst.Assign)
    if assign is None or not isinstance(statement, cst.If) or len(assign.targets) > 1:
        return None
    name = assign.targets[0].target
    if not isinstance(name, cst.Name) or not isinstance(
        assign.value, cst.Call | cst.Attribute | cst.Subscript
    ):
        return None
    walrus = cst.NamedExpr(name, assign.value, lpar=[cst.LeftParen()], rpar=[cst.RightParen()])
    test = statement.test
    if isinstance(test, cst.Name) and test.value == name.value:
        return statement.with_changes(test=walrus)
    if isinstance(test, cst.UnaryOperation) and test.expression.deep_equals(name):
        return statement.with_changes(test=test.with_changes(expression=walrus))
    if isinstance(test, cst.Comparison) and test.left.deep_equals(name):
        return statement.with_changes(test=test.with_changes(left=walrus))
    return None
