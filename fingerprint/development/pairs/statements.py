"""Operators that change one statement: each gives the nodes that could stand in place of a node."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import libcst as cst

from fingerprint.development.pairs.expressions import Spot

_PASS = cst.SimpleStatementLine([cst.Pass()])


def swap_jump(spot: Spot) -> Iterator[cst.CSTNode]:
    """``continue`` for ``break``."""
    if isinstance(spot.node, cst.Break):
        yield cst.Continue(semicolon=spot.node.semicolon)
    elif isinstance(spot.node, cst.Continue):
        yield cst.Break(semicolon=spot.node.semicolon)


def delete_statement(spot: Spot) -> Iterator[cst.CSTNode]:
    """A block without one of its statements; docstrings, imports, returns and raises stay."""
    if not isinstance(spot.node, cst.IndentedBlock):
        return
    body = spot.node.body
    for i, statement in enumerate(body):
        if _may_go(statement):
            yield spot.node.with_changes(body=[*body[:i], *body[i + 1 :]] or [_PASS])


def return_nothing(spot: Spot) -> Iterator[cst.CSTNode]:
    """A ``return`` without its value."""
    if not isinstance(spot.node, cst.Return) or spot.node.value is None:
        return
    if not (isinstance(spot.node.value, cst.Name) and spot.node.value.value == "None"):
        none = spot.node.value.deep_clone() if isinstance(spot.node.value, cst.Name) else cst.Name("None")
        yield spot.node.with_changes(value=none.with_changes(value="None"))


def forget_accumulation(spot: Spot) -> Iterator[cst.CSTNode]:
    """``=`` for ``+=`` and its like."""
    if isinstance(spot.node, cst.AugAssign):
        target = cst.AssignTarget(spot.node.target)
        yield cst.Assign([target], spot.node.value, semicolon=spot.node.semicolon)


def swallow_error(spot: Spot) -> Iterator[cst.CSTNode]:
    """A handler that does nothing, or an error that is not raised."""
    node = spot.node
    if isinstance(node, cst.ExceptHandler) and not _is_pass(node.body.body):
        yield node.with_changes(body=cst.IndentedBlock([_PASS]))
    elif isinstance(node, cst.Raise):
        yield cst.Pass(semicolon=node.semicolon)


def _may_go(statement: cst.BaseStatement | cst.BaseSmallStatement) -> bool:
    if isinstance(statement, cst.If):
        return True
    if not isinstance(statement, cst.SimpleStatementLine):
        return False
    kept = (
        cst.Import,
        cst.ImportFrom,
        cst.Return,
        cst.Raise,
        cst.Pass,
        cst.Break,
        cst.Continue,
        cst.Nonlocal,
        cst.Global,
    )
    only = statement.body[0]
    is_text = isinstance(only, cst.Expr) and isinstance(only.value, cst.BaseString)
    return not isinstance(only, kept) and not is_text


def _is_pass(body: Sequence[cst.CSTNode]) -> bool:
    only = body[0] if len(body) == 1 else None
    return isinstance(only, cst.SimpleStatementLine) and isinstance(only.body[0], cst.Pass)
