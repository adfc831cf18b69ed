"""A chunk in one author's hand."""

from __future__ import annotations

import ast
import random

import libcst as cst

from service.sample.definitions import DefinitionHabits
from service.sample.expressions import ExpressionHabits
from service.sample.layout import LayoutHabits
from service.sample.naming import renamings
from service.sample.source import Binding, Chunk
from service.sample.statements import StatementHabits
from service.sample.style import Style

_MAX_COLUMNS = 140


def render_chunk(chunk: Chunk, style: Style, rng: random.Random) -> list[str] | None:
    """The chunk's lines in a style, or None where the rewriting leaves no valid Python.

    Further methods of a class come without the class line, indented as they stand in the class.
    """
    names = renamings(ast.parse(chunk.source), style)
    try:
        module = cst.parse_module(chunk.source)
        module = module.visit(ExpressionHabits(style, rng, names, chunk.attributes))
        module = module.visit(StatementHabits(style, rng))
        module = module.visit(DefinitionHabits(style, rng))
        code = module.visit(LayoutHabits(style, rng)).code
        tree = ast.parse(code)
    except (cst.ParserSyntaxError, cst.CSTValidationError, SyntaxError):
        return None
    lines = code.rstrip("\n").split("\n")
    if max(map(len, lines)) > _MAX_COLUMNS:
        return None
    if chunk.continues:
        lines = lines[_first_method_line(tree, lines) - 1 :]
    return lines


def _first_method_line(tree: ast.Module, lines: list[str]) -> int:
    """The line after the class' head, with the comments above its first method."""
    owner = next(node for node in tree.body if isinstance(node, ast.ClassDef))
    method = next(node for node in owner.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    first = min([method.lineno, *(decorator.lineno for decorator in method.decorator_list)])
    while first > 2 and lines[first - 2].lstrip().startswith("#"):
        first -= 1
    return first


def render_imports(bindings: list[Binding], style: Style) -> list[str]:
    """Import lines for some names. The house breaks ``from`` imports over lines; others do not."""
    lines: list[str] = []
    by_module: dict[str, list[str]] = {}
    for binding in bindings:
        alias = f" as {binding.alias}" if binding.alias else ""
        if binding.name:
            by_module.setdefault(binding.module, []).append(binding.name + alias)
        else:
            lines.append(f"import {binding.module}{alias}")
    for module, names in sorted(by_module.items()):
        if style.calls == "exploded" and len(names) > 1:
            lines += [f"from {module} import (", *(f"    {name}," for name in names), ")"]
        else:
            lines.append(f"from {module} import {', '.join(names)}")
    return lines
