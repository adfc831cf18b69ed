"""Expression habits: quotes, formatting, names, attributes, comparisons, literals."""

from __future__ import annotations

import random
import re
import zlib
from collections.abc import Callable, Sequence

import libcst as cst

from service.sample.habits import Habits
from service.sample.style import Style

_ESCAPES = re.compile(r"\\['\"]")
_PERCENT = re.compile(r"%(?:(%)|([srd]))")
_BRACES = re.compile(r"\{\{|\}\}|\{(\d*)(!r)?\}")

Part = str | tuple[cst.BaseExpression, bool]
"""Literal text of a template (as in the source), or a value and whether it is shown by ``repr``."""


class ExpressionHabits(Habits):
    """Rewrite expressions in a style. One instance serves one chunk."""

    def __init__(
        self,
        style: Style,
        rng: random.Random,
        renamings: Sequence[dict[str, str]],
        attributes: frozenset[str],
    ) -> None:
        super().__init__(style, rng)
        self._renamings = iter(renamings)
        self._attributes = attributes
        self._depth = 0
        self._names: dict[str, str] = {}

    # Names

    def visit_FunctionDef(self, node: cst.FunctionDef) -> None:
        if not self._depth:
            self._names = dict(next(self._renamings, {}))
        self._depth += 1

    def leave_FunctionDef(
        self, original_node: cst.FunctionDef, updated_node: cst.FunctionDef
    ) -> cst.FunctionDef:
        self._depth -= 1
        if not self._depth:
            self._names = {}
        return updated_node.with_changes(name=original_node.name)

    def visit_ExceptHandler(self, node: cst.ExceptHandler) -> None:
        if node.name and isinstance(node.name.name, cst.Name) and self._keeps():
            self._names[node.name.name.value] = self._style.caught

    def leave_Name(self, original_node: cst.Name, updated_node: cst.Name) -> cst.Name:
        new = self._names.get(original_node.value) if self._depth else None
        return updated_node.with_changes(value=new) if new else updated_node

    def leave_Arg(self, original_node: cst.Arg, updated_node: cst.Arg) -> cst.Arg:
        return updated_node.with_changes(keyword=original_node.keyword)

    def leave_Attribute(self, original_node: cst.Attribute, updated_node: cst.Attribute) -> cst.Attribute:
        attr = original_node.attr
        is_own = isinstance(original_node.value, cst.Name) and original_node.value.value == "self"
        if is_own and attr.value in self._attributes and self._renames_attribute(attr.value):
            prefix = {"private": "_", "member": "m_", "public": ""}[self._style.attributes]
            attr = attr.with_changes(value=prefix + attr.value)
        return updated_node.with_changes(attr=attr)

    def _renames_attribute(self, name: str) -> bool:
        """The same answer for every author, so that a class stays one class."""
        return zlib.crc32(name.encode()) % 100 < 100 * self._style.fidelity

    # Strings

    def leave_SimpleString(
        self, original_node: cst.SimpleString, updated_node: cst.SimpleString
    ) -> cst.SimpleString:
        if updated_node.quote in ("'", '"') and self._keeps():
            return updated_node.with_changes(value=self._requoted(updated_node))
        return updated_node

    def leave_FormattedString(
        self, original_node: cst.FormattedString, updated_node: cst.FormattedString
    ) -> cst.BaseExpression:
        return self._reformatted(_parts_of_fstring(updated_node), updated_node)

    def leave_BinaryOperation(
        self, original_node: cst.BinaryOperation, updated_node: cst.BinaryOperation
    ) -> cst.BaseExpression:
        if not isinstance(updated_node.operator, cst.Modulo):
            return updated_node
        return self._reformatted(_parts_of_percent(updated_node), updated_node)

    def leave_Call(self, original_node: cst.Call, updated_node: cst.Call) -> cst.BaseExpression:
        return self._reformatted(_parts_of_format(updated_node), updated_node)

    def _mark(self) -> str:
        return '"' if self._style.quote == "double" else "'"

    def _requoted(self, node: cst.SimpleString) -> str:
        mark, body = self._mark(), node.raw_value
        if mark in body or _ESCAPES.search(body):
            return node.value
        return f"{node.prefix}{mark}{body}{mark}"

    def _reformatted(self, parts: list[Part] | None, node: cst.BaseExpression) -> cst.BaseExpression:
        if not parts or not any(isinstance(part, tuple) for part in parts) or not self._keeps():
            return node
        texts = [part for part in parts if isinstance(part, str)]
        if any(set(text) & set("'\"\\{}%") for text in texts):
            return node
        build = {"percent": _as_percent, "format": _as_format, "fstring": _as_fstring}[self._style.formatting]
        return build(parts, self._mark()) or node

    # Literals and comparisons

    def leave_List(self, original_node: cst.List, updated_node: cst.List) -> cst.BaseExpression:
        return self._emptied("list", updated_node) if not updated_node.elements else updated_node

    def leave_Dict(self, original_node: cst.Dict, updated_node: cst.Dict) -> cst.BaseExpression:
        return self._emptied("dict", updated_node) if not updated_node.elements else updated_node

    def _emptied(self, kind: str, node: cst.BaseExpression) -> cst.BaseExpression:
        if self._style.empties == "call" and self._keeps():
            return cst.Call(cst.Name(kind))
        return node

    def leave_Comparison(self, original_node: cst.Comparison, updated_node: cst.Comparison) -> cst.Comparison:
        if len(updated_node.comparisons) != 1 or self._style.none_test == "is":
            return updated_node
        target = updated_node.comparisons[0]
        is_none = isinstance(target.comparator, cst.Name) and target.comparator.value == "None"
        if not is_none or not isinstance(target.operator, cst.Is | cst.IsNot) or not self._keeps():
            return updated_node
        if self._style.none_test == "yoda":
            swapped = target.with_changes(comparator=updated_node.left)
            return updated_node.with_changes(left=target.comparator, comparisons=[swapped])
        operator = cst.Equal() if isinstance(target.operator, cst.Is) else cst.NotEqual()
        return updated_node.with_changes(comparisons=[target.with_changes(operator=operator)])

    def leave_UnaryOperation(
        self, original_node: cst.UnaryOperation, updated_node: cst.UnaryOperation
    ) -> cst.BaseExpression:
        value = updated_node.expression
        is_plain = isinstance(updated_node.operator, cst.Not) and isinstance(value, cst.Name | cst.Attribute)
        if not is_plain or self._style.emptiness == "truth" or not self._keeps():
            return updated_node
        if self._style.emptiness == "equals":
            return cst.Comparison(value, [cst.ComparisonTarget(cst.Equal(), cst.Name("False"))])
        counted = cst.Call(cst.Name("len"), [cst.Arg(value)])
        return cst.Comparison(counted, [cst.ComparisonTarget(cst.Equal(), cst.Integer("0"))])


def _parts_of_fstring(node: cst.FormattedString) -> list[Part] | None:
    parts: list[Part] = []
    for part in node.parts:
        if isinstance(part, cst.FormattedStringText):
            parts.append(part.value)
        elif isinstance(part, cst.FormattedStringExpression):
            if part.format_spec is not None or part.equal is not None or part.conversion not in (None, "r"):
                return None
            parts.append((part.expression, part.conversion == "r"))
    return parts


def _parts_of_percent(node: cst.BinaryOperation) -> list[Part] | None:
    if not isinstance(node.left, cst.SimpleString) or node.left.prefix:
        return None
    right = node.right
    if isinstance(right, cst.Tuple):
        values = [element.value for element in right.elements]
    elif isinstance(right, cst.Name | cst.Attribute | cst.Call | cst.Subscript):
        values = [right]
    else:
        return None
    return _filled(node.left.raw_value, _PERCENT, values, lambda match: match.group(2) == "r")


def _parts_of_format(node: cst.Call) -> list[Part] | None:
    func = node.func
    if not isinstance(func, cst.Attribute) or func.attr.value != "format":
        return None
    if not isinstance(func.value, cst.SimpleString) or func.value.prefix:
        return None
    if any(arg.keyword or arg.star for arg in node.args):
        return None
    values = [arg.value for arg in node.args]
    return _filled(func.value.raw_value, _BRACES, values, lambda match: bool(match.group(2)))


def _filled(
    text: str,
    holes: re.Pattern[str],
    values: Sequence[cst.BaseExpression],
    is_repr: Callable[[re.Match[str]], bool],
) -> list[Part] | None:
    found = list(holes.finditer(text))
    is_simple = all(match.group() not in ("%%", "{{", "}}") for match in found)
    if not is_simple or len(found) != len(values):
        return None
    parts: list[Part] = []
    end = 0
    for match, value in zip(found, values, strict=True):
        parts += [text[end : match.start()], (value, is_repr(match))]
        end = match.end()
    return [*parts, text[end:]]


def _as_percent(parts: list[Part], mark: str) -> cst.BaseExpression:
    text = "".join(part if isinstance(part, str) else "%r" if part[1] else "%s" for part in parts)
    values = [part[0] for part in parts if not isinstance(part, str)]
    right: cst.BaseExpression = cst.Tuple([cst.Element(value) for value in values])
    if len(values) == 1 and isinstance(values[0], cst.Name | cst.Attribute | cst.Call):
        right = values[0]
    return cst.BinaryOperation(cst.SimpleString(mark + text + mark), cst.Modulo(), right)


def _as_format(parts: list[Part], mark: str) -> cst.BaseExpression:
    text = "".join(part if isinstance(part, str) else "{!r}" if part[1] else "{}" for part in parts)
    values = [cst.Arg(part[0]) for part in parts if not isinstance(part, str)]
    return cst.Call(cst.Attribute(cst.SimpleString(mark + text + mark), cst.Name("format")), values)


def _as_fstring(parts: list[Part], mark: str) -> cst.BaseExpression | None:
    text = ""
    for part in parts:
        if isinstance(part, str):
            text += part
            continue
        code = cst.Module([]).code_for_node(part[0])
        if set(code) & set("'\"\\{}\n:!"):
            return None
        text += "{" + code + ("!r}" if part[1] else "}")
    end = '"' if mark == '"' else "'"
    return cst.FormattedString([cst.FormattedStringText(text)], start="f" + mark, end=end)
