"""Operators that change one expression: each gives the nodes that could stand in place of a node."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import libcst as cst

_BOUNDARY = {
    cst.LessThan: cst.LessThanEqual,
    cst.LessThanEqual: cst.LessThan,
    cst.GreaterThan: cst.GreaterThanEqual,
    cst.GreaterThanEqual: cst.GreaterThan,
}
_NEGATION = {
    cst.Equal: cst.NotEqual,
    cst.NotEqual: cst.Equal,
    cst.LessThan: cst.GreaterThanEqual,
    cst.GreaterThanEqual: cst.LessThan,
    cst.GreaterThan: cst.LessThanEqual,
    cst.LessThanEqual: cst.GreaterThan,
    cst.In: cst.NotIn,
    cst.NotIn: cst.In,
    cst.Is: cst.IsNot,
    cst.IsNot: cst.Is,
}
_ARITHMETIC = {
    cst.Add: cst.Subtract,
    cst.Subtract: cst.Add,
    cst.Multiply: cst.Add,
    cst.Divide: cst.FloorDivide,
    cst.FloorDivide: cst.Modulo,
    cst.Modulo: cst.FloorDivide,
    cst.Power: cst.Multiply,
    cst.BitAnd: cst.BitOr,
    cst.BitOr: cst.BitAnd,
}
_LOGIC = {cst.And: cst.Or, cst.Or: cst.And}
_FUNCTIONS = {"min": "max", "max": "min", "any": "all", "all": "any"}
_METHODS = {
    "append": "extend", "extend": "append", "strip": "rstrip", "rstrip": "strip", "lstrip": "strip",
    "find": "index", "index": "find", "startswith": "endswith", "endswith": "startswith", "lower": "upper",
    "upper": "lower", "partition": "rpartition", "keys": "values", "values": "keys", "isdigit": "isalpha",
    "isalnum": "isalpha", "isupper": "islower", "add": "discard", "capitalize": "upper", "remove": "discard",
    "setdefault": "get", "get": "pop", "popleft": "pop", "union": "intersection",
}  # fmt: skip


@dataclass(frozen=True)
class Spot:
    """A node where it stands.

    Attributes:
        node: to be replaced. parent: what holds it. names: variables of the function around, sorted.
    """

    node: cst.CSTNode
    parent: cst.CSTNode
    names: tuple[str, ...]


def move_boundary(spot: Spot) -> Iterator[cst.CSTNode]:
    """``<`` for ``<=`` and the like."""
    if isinstance(spot.node, cst.ComparisonTarget):
        yield from _with_operator(spot.node, _BOUNDARY)


def negate_comparison(spot: Spot) -> Iterator[cst.CSTNode]:
    """The opposite comparison."""
    if isinstance(spot.node, cst.ComparisonTarget):
        yield from _with_operator(spot.node, _NEGATION)


def swap_arithmetic(spot: Spot) -> Iterator[cst.CSTNode]:
    """Another arithmetic operator."""
    if isinstance(spot.node, cst.BinaryOperation):
        yield from _with_operator(spot.node, _ARITHMETIC)


def swap_logic(spot: Spot) -> Iterator[cst.CSTNode]:
    """``and`` for ``or``."""
    if isinstance(spot.node, cst.BooleanOperation):
        yield from _with_operator(spot.node, _LOGIC)


def drop_not(spot: Spot) -> Iterator[cst.CSTNode]:
    """An expression without its ``not``."""
    if isinstance(spot.node, cst.UnaryOperation) and isinstance(spot.node.operator, cst.Not):
        yield spot.node.expression


def change_constant(spot: Spot) -> Iterator[cst.CSTNode]:
    """An integer one more or one less, or the other truth value; not in a default."""
    if not isinstance(spot.parent, cst.Param):
        yield from _other_constants(spot.node)


def change_default(spot: Spot) -> Iterator[cst.CSTNode]:
    """Another default of a parameter."""
    if isinstance(spot.parent, cst.Param) and spot.parent.default is spot.node:
        yield from _other_constants(spot.node)
        if isinstance(spot.node, cst.SimpleString) and len(spot.node.value) > 2:
            yield spot.node.with_changes(value=spot.node.quote * 2)


def shift_bound(spot: Spot) -> Iterator[cst.CSTNode]:
    """A bound of a range or slice, or an index, off by one."""
    node = spot.node
    if isinstance(node, cst.Call) and isinstance(node.func, cst.Name) and node.func.value == "range":
        for i, argument in enumerate(node.args[:2]):
            for value in _off_by_one(argument.value):
                changed = argument.with_changes(value=value)
                yield node.with_changes(args=[*node.args[:i], changed, *node.args[i + 1 :]])
    elif isinstance(node, cst.Slice):
        for side in ("lower", "upper"):
            bound = getattr(node, side)
            for value in () if bound is None else _off_by_one(bound):
                yield node.with_changes(**{side: value})
    elif isinstance(node, cst.Index) and not isinstance(node.value, cst.SimpleString):
        for value in _off_by_one(node.value):
            yield node.with_changes(value=value)


def swap_extremes(spot: Spot) -> Iterator[cst.CSTNode]:
    """``min`` for ``max``, ``any`` for ``all``."""
    func = spot.node.func if isinstance(spot.node, cst.Call) else None
    if isinstance(func, cst.Name) and func.value in _FUNCTIONS:
        yield spot.node.with_changes(func=func.with_changes(value=_FUNCTIONS[func.value]))


def swap_method(spot: Spot) -> Iterator[cst.CSTNode]:
    """A method of similar name or use."""
    func = spot.node.func if isinstance(spot.node, cst.Call) else None
    if isinstance(func, cst.Attribute) and func.attr.value in _METHODS:
        attr = func.attr.with_changes(value=_METHODS[func.attr.value])
        yield spot.node.with_changes(func=func.with_changes(attr=attr))


def change_arguments(spot: Spot) -> Iterator[cst.CSTNode]:
    """The first two arguments swapped, or the last one left out."""
    if not isinstance(spot.node, cst.Call) or len(spot.node.args) < 2:
        return
    first, second, *rest = spot.node.args
    if not any(one.star or one.keyword for one in (first, second)):
        swapped = (first.with_changes(value=second.value), second.with_changes(value=first.value))
        yield spot.node.with_changes(args=[*swapped, *rest])
    *kept, last = spot.node.args[:-1]
    yield spot.node.with_changes(args=[*kept, last.with_changes(comma=cst.MaybeSentinel.DEFAULT)])


def mistake_variable(spot: Spot) -> Iterator[cst.CSTNode]:
    """Another variable of the function, where one is read."""
    if not isinstance(spot.node, cst.Name) or spot.node.value not in spot.names or not _is_read(spot):
        return
    for name in spot.names:
        if name != spot.node.value:
            yield spot.node.with_changes(value=name)


def _with_operator(
    node: cst.ComparisonTarget | cst.BinaryOperation | cst.BooleanOperation, swaps: dict[Any, Any]
) -> Iterator[cst.CSTNode]:
    old: Any = node.operator  # the base classes of operators do not declare their spaces
    if type(old) in swaps:
        spaces = {"whitespace_before": old.whitespace_before, "whitespace_after": old.whitespace_after}
        yield node.with_changes(operator=swaps[type(old)](**spaces))


def _other_constants(node: cst.CSTNode) -> Iterator[cst.CSTNode]:
    if isinstance(node, cst.Integer):
        number = node.evaluated_value
        yield node.with_changes(value=str(number + 1))
        if number > 0:
            yield node.with_changes(value=str(number - 1))
    elif isinstance(node, cst.Name) and node.value in {"True", "False"}:
        yield node.with_changes(value="False" if node.value == "True" else "True")


def _off_by_one(bound: cst.BaseExpression) -> Iterator[cst.BaseExpression]:
    """The bound one more and one less; from ``n - 1`` the one is dropped. Constants are not its matter."""
    if isinstance(bound, cst.BinaryOperation) and isinstance(bound.operator, cst.Add | cst.Subtract):
        if isinstance(bound.right, cst.Integer) and bound.right.value == "1":
            yield bound.left
        return
    if isinstance(bound, cst.Name | cst.Attribute | cst.Call):
        yield cst.BinaryOperation(bound, cst.Subtract(), cst.Integer("1"))
        yield cst.BinaryOperation(bound, cst.Add(), cst.Integer("1"))


def _is_read(spot: Spot) -> bool:
    parent, node = spot.parent, spot.node
    if isinstance(parent, cst.Attribute):
        return parent.value is node
    if isinstance(parent, cst.Arg):
        return parent.value is node
    if isinstance(parent, cst.For | cst.CompFor):
        return parent.iter is node
    if isinstance(parent, cst.AugAssign):
        return parent.value is node
    writes = (
        cst.AssignTarget,
        cst.Param,
        cst.FunctionDef,
        cst.NamedExpr,
        cst.NameItem,
        cst.Del,
        cst.Nonlocal,
    )
    return not isinstance(parent, writes)
