"""How authors name the variables of a function."""

from __future__ import annotations

import ast
import builtins
import keyword
import re

from service.sample.style import Style

_EXPANDED = {
    "a": "first_value",
    "b": "second_value",
    "c": "character",
    "d": "mapping",
    "e": "entry",
    "f": "file_handle",
    "fp": "file_handle",
    "fd": "file_descriptor",
    "g": "group_value",
    "h": "header_value",
    "i": "index",
    "j": "inner_index",
    "k": "key_name",
    "l": "line_value",
    "m": "match_result",
    "n": "item_count",
    "p": "path_value",
    "q": "queue_value",
    "r": "result_value",
    "s": "input_text",
    "t": "time_value",
    "v": "item_value",
    "x": "current_value",
    "y": "other_value",
    "z": "last_value",
    "msg": "message_text",
    "args": "argument_list",
    "res": "computed_result",
    "ret": "return_value",
    "val": "item_value",
}
_KEPT = frozenset(["self", "cls", "_", "__class__", "mcs", *dir(builtins), *keyword.kwlist])

Definition = ast.FunctionDef | ast.AsyncFunctionDef


def words_of(name: str) -> list[str]:
    """``bufferSize_max`` -> ``["buffer", "size", "max"]``."""
    spaced = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name)
    return [word.lower() for word in spaced.split("_") if word]


def renamings(tree: ast.Module, style: Style) -> list[dict[str, str]]:
    """For each outermost function or method in source order, its local names in the author's way."""
    return [_renaming(node, style) for node in _outermost(tree.body)]


def _outermost(body: list[ast.stmt]) -> list[Definition]:
    found: list[Definition] = []
    for node in body:
        if isinstance(node, Definition):
            found.append(node)
        elif isinstance(node, ast.ClassDef):
            found.extend(_outermost(node.body))
    return found


def _renaming(function: Definition, style: Style) -> dict[str, str]:
    if style.naming == "plain":
        return {}
    taken = {node.id for node in ast.walk(function) if isinstance(node, ast.Name)} | _KEPT
    fixed = _fixed_names(function)
    renamed: dict[str, str] = {}
    for name, role in _local_names(function).items():
        if name in _KEPT or name in fixed or name.startswith("_"):
            continue
        new = _name(name, role, style.naming)
        if new.isidentifier() and new not in taken:
            renamed[name] = new
            taken.add(new)
    return renamed


def _local_names(function: Definition) -> dict[str, str]:
    """Name -> role (``argument``, ``each`` for loop targets, ``local``)."""
    roles: dict[str, str] = {}
    spec = function.args
    for argument in [*spec.posonlyargs, *spec.args]:
        roles[argument.arg] = "argument"
    for node in ast.walk(function):
        if isinstance(node, ast.For | ast.comprehension):
            for part in ast.walk(node.target):
                if isinstance(part, ast.Name):
                    roles.setdefault(part.id, "each")
    for node in ast.walk(function):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            roles.setdefault(node.id, "local")
    return roles


def _fixed_names(function: Definition) -> set[str]:
    """Names that mean something outside: globals, imports, definitions, keyword arguments, caught errors."""
    fixed: set[str] = {argument.arg for argument in function.args.kwonlyargs}
    for node in ast.walk(function):
        if isinstance(node, ast.Global | ast.Nonlocal):
            fixed.update(node.names)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            fixed.update((alias.asname or alias.name).partition(".")[0] for alias in node.names)
        elif node is not function and isinstance(node, ast.ExceptHandler | Definition | ast.ClassDef):
            fixed.add(node.name or "")
    return fixed


def _name(name: str, role: str, naming: str) -> str:
    words = words_of(name)
    if not words:
        return name
    if naming == "suffixed":
        return "_".join(words) + "_"
    if naming == "prefixed":
        return {"argument": "p_", "each": "cur_", "local": "l_"}[role] + "_".join(words)
    if naming == "hungarian":
        prefix = {"argument": "a", "each": "each", "local": "the"}[role]
        return prefix + "".join(word.capitalize() for word in words)
    return _descriptive(words, role)


def _descriptive(words: list[str], role: str) -> str:
    if len(words) == 1 and words[0] in _EXPANDED:
        return _EXPANDED[words[0]]
    joined = "_".join(words)
    if role == "argument":
        return joined if len(words) > 1 else f"{joined}_value"
    return f"current_{joined}" if role == "each" else f"computed_{joined}"
