"""Mutants of a correct program: one small change each, labelled with what was changed and where."""

from __future__ import annotations

import ast
import io
import random
import tokenize
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import libcst as cst

from fingerprint import FingerprintError
from fingerprint.development.pairs import expressions, statements
from fingerprint.development.pairs.expressions import Spot

OPERATORS: dict[str, Callable[[Spot], Iterator[cst.CSTNode]]] = {
    "boundary": expressions.move_boundary,
    "negated comparison": expressions.negate_comparison,
    "arithmetic": expressions.swap_arithmetic,
    "and-or": expressions.swap_logic,
    "dropped not": expressions.drop_not,
    "constant": expressions.change_constant,
    "default": expressions.change_default,
    "off by one": expressions.shift_bound,
    "min-max, any-all": expressions.swap_extremes,
    "method": expressions.swap_method,
    "arguments": expressions.change_arguments,
    "variable": expressions.mistake_variable,
    "break-continue": statements.swap_jump,
    "deleted statement": statements.delete_statement,
    "returns nothing": statements.return_nothing,
    "plain assignment": statements.forget_accumulation,
    "swallowed error": statements.swallow_error,
}
"""Every operator by the name that labels its mutants."""

Change = tuple[str, cst.CSTNode, cst.CSTNode]
"""An operator's name, a node and what is to stand in its place."""
_SILENT = {
    tokenize.ENCODING,
    tokenize.ENDMARKER,
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.INDENT,
    tokenize.DEDENT,
}


class SourceError(FingerprintError):
    """A program is not Python that can be read."""


@dataclass(frozen=True)
class Candidate:
    """A changed program, not yet proven wrong.

    Attributes:
        operator: that changed it. code: of the whole program. span: half-open character range of the
            correct program that differs. changed_span: of the changed one; empty for a deletion.
        tokens_changed: Python tokens in the longer of the two.
    """

    operator: str
    code: str
    span: tuple[int, int]
    changed_span: tuple[int, int]
    tokens_changed: int


def list_changes(code: str) -> tuple[cst.Module, list[Change]]:
    """Every change that an operator offers inside the program's functions, in the order of the source.

    Raises:
        SourceError: the program is not Python.
    """
    try:
        module = cst.parse_module(code)
    except cst.ParserSyntaxError as error:
        raise SourceError(f"expected a Python program to change; {error}") from error
    changes = [
        (name, spot.node, new)
        for spot in _spots(module)
        for name, operator in OPERATORS.items()
        for new in operator(spot)
    ]
    return module, changes


def choose_changes(
    changes: Sequence[Change], n_by_operator: Mapping[str, int], most: int, rng: random.Random
) -> list[Change]:
    """So many changes, drawn operator by operator, those first that are rarest among all programs.

    Args:
        n_by_operator: changes that each operator offers in all programs together.
    """
    waiting: dict[str, list[Change]] = {}
    for change in changes:
        waiting.setdefault(change[0], []).append(change)
    for own in waiting.values():
        rng.shuffle(own)
    order = sorted(waiting, key=lambda name: (n_by_operator[name], name))
    chosen: list[Change] = []
    while len(chosen) < most and any(waiting.values()):
        for name in order:
            if waiting[name] and len(chosen) < most:
                chosen.append(waiting[name].pop())
    return chosen


def make_candidates(code: str, module: cst.Module, changes: Sequence[Change]) -> list[Candidate]:
    """Apply each change by itself; what reads the same once parsed is left out."""
    seen, found = {normal_form(code)}, []
    for operator, old, new in changes:
        changed = module.deep_replace(old, new)
        assert isinstance(changed, cst.Module)
        try:
            form = normal_form(changed.code)
        except SyntaxError:  # `continue` for the `break` of a match, say: never a program
            continue
        if form not in seen:
            seen.add(form)
            found.append(Candidate(operator, changed.code, *locate_change(code, changed.code)))
    return found


def normal_form(code: str) -> str:
    """The program's syntax tree as text, without positions, layout, comments and docstrings."""
    tree = ast.parse(code)
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module)
            and ast.get_docstring(node) is not None
        ):
            node.body = node.body[1:] or [ast.Pass()]
    return ast.dump(tree)


def locate_change(before: str, after: str) -> tuple[tuple[int, int], tuple[int, int], int]:
    """Where two programs differ, by Python tokens: both character ranges, and the tokens of the longer."""
    old, new = _tokens(before), _tokens(after)
    n_same = min(len(old), len(new))
    start = next((i for i in range(n_same) if old[i][0] != new[i][0]), n_same)
    end = next((i for i in range(n_same - start) if old[-1 - i][0] != new[-1 - i][0]), n_same - start)
    n_old, n_new = len(old) - start - end, len(new) - start - end
    return _range_of(old, start, n_old), _range_of(new, start, n_new), max(n_old, n_new)


def _range_of(tokens: Sequence[tuple[str, int, int]], first: int, n: int) -> tuple[int, int]:
    """Characters of n tokens; of none, the point before the token that follows."""
    if n:
        return tokens[first][1], tokens[first + n - 1][2]
    point = tokens[first][1] if first < len(tokens) else tokens[-1][2]
    return point, point


def _tokens(code: str) -> list[tuple[str, int, int]]:
    """(text, start, end) of every token that shows."""
    starts = [0]
    for line in code.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    return [
        (token.string, starts[token.start[0] - 1] + token.start[1], starts[token.end[0] - 1] + token.end[1])
        for token in tokenize.generate_tokens(io.StringIO(code).readline)
        if token.type not in _SILENT
    ]


def _spots(module: cst.Module) -> Iterator[Spot]:
    """Every node inside a function, with its parent and the function's variables; decorators left out."""

    def walk(node: cst.CSTNode, parent: cst.CSTNode, names: tuple[str, ...] | None) -> Iterator[Spot]:
        if isinstance(node, cst.FunctionDef):
            names = tuple(sorted({*(names or ()), *_variables(node)}))
        elif names is not None:
            yield Spot(node, parent, names)
        for child in node.children:
            if not isinstance(child, cst.Decorator | cst.Annotation):
                yield from walk(child, node, names)

    yield from walk(module, module, None)


def _variables(function: cst.FunctionDef) -> set[str]:
    """Parameters and assigned names."""
    tree = ast.parse(cst.Module([function.with_changes(decorators=[])]).code)
    written = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    return written | {n.arg for n in ast.walk(tree) if isinstance(n, ast.arg)}
