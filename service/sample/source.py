"""Pieces of Python's own standard library, as found on this machine, in neutral form.

Everything here is read at run time and none of it is committed. ``ast.unparse`` takes away comments, blank
lines, quotes and line breaks, so that nothing of the original authors' layout is left to learn.
"""

from __future__ import annotations

import ast
import os
import random
import sysconfig
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from service import ServiceError

_SKIPPED_FOLDERS = frozenset(
    "test tests idlelib lib2to3 encodings pydoc_data ensurepip turtledemo tkinter site-packages "
    "dist-packages __pycache__ __phello__ lib-dynload distutils ctypes curses dbm".split()
)
_SKIPPED_MODULES = frozenset(
    "this antigravity __init__ __main__ _sysconfigdata turtle opcode token keyword stringprep "
    "sre_constants".split()
)
_SKIPPED_NAMES = frozenset(["_test", "main", "test"])
_AREAS = {
    "asyncio": "runtime",
    "email": "mail",
    "http": "web",
    "html": "web",
    "wsgiref": "web",
    "urllib": "links",
    "xmlrpc": "links",
    "logging": "telemetry",
    "json": "codec",
    "re": "patterns",
    "unittest": "checks",
    "multiprocessing": "workers",
    "concurrent": "workers",
    "importlib": "loading",
}
_LOOSE_AREAS = ("core", "storage", "text", "tools", "net")
_MIN_BYTES, _MAX_BYTES = 6_000, 110_000
_MAX_UNIT_LINES = 60
_PART_LINES = 40
_MAX_COLUMNS = 110
_MAX_CONSTANT = 70

Definition = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Binding:
    """One imported name: ``import module`` if ``name`` is empty, else ``from module import name``."""

    module: str
    name: str = ""
    alias: str = ""

    @property
    def bound(self) -> str:
        """The name it makes available."""
        return self.alias or self.name or self.module.partition(".")[0]


@dataclass(frozen=True, slots=True)
class Chunk:
    """A function with the constants before it, or a class, or some more methods of one: what one commit adds.

    Attributes:
        path: file it belongs to in the sample repository.
        position: order within that file.
        source: neutral Python; for further methods, a class statement around them.
        title: what it is called, for commit messages.
        continues: name of the class that must be in the file already, or "".
        opens: name of the class it opens, or "".
        bindings: imports that it needs.
        attributes: names of the class' own data attributes.
    """

    path: str
    position: int
    source: str
    title: str
    continues: str
    opens: str
    bindings: tuple[Binding, ...]
    attributes: frozenset[str]


def stdlib_modules(seed: int) -> list[Path]:
    """The machine's pure-Python standard library modules fit for the sample, shuffled by the seed.

    Raises:
        ServiceError: if fewer than 40 are found, as in a zipped or stripped installation.
    """
    root = Path(sysconfig.get_paths()["stdlib"])
    found = sorted(path for path in _python_files(root) if _is_fit(path))
    if len(found) < 40:
        raise ServiceError(
            f"the sample organisation needs Python's standard library as source, but {root} has {len(found)} "
            "usable modules; run with a full Python installation (not a zipped or stripped one)"
        )
    random.Random(f"modules {seed}").shuffle(found)
    return found


def read_chunks(path: Path) -> list[Chunk]:
    """A module's chunks in the order of the file; empty if it cannot be parsed."""
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, UnicodeDecodeError, ValueError):
        return []
    bindings = {binding.bound: binding for binding in _bindings(tree)}
    target = _target(path)
    chunks: list[Chunk] = []
    constants: list[ast.stmt] = []
    for node in tree.body:
        if _is_plain_constant(node) and len(constants) < 2:
            constants.append(node)
        elif (
            isinstance(node, Definition) and node.name not in _SKIPPED_NAMES and _fits(node, _MAX_UNIT_LINES)
        ):
            chunks.append(
                _chunk(target, len(chunks), [*constants, _neutral(node)], bindings, title=node.name)
            )
            constants = []
        elif isinstance(node, ast.ClassDef):
            chunks.extend(_class_chunks(target, len(chunks), node, bindings))
    return [chunk for chunk in chunks if chunk.source.isascii()]


def _python_files(root: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(root):
        folders[:] = [
            name for name in folders if name not in _SKIPPED_FOLDERS and not name.startswith("config-")
        ]
        yield from (Path(folder, name) for name in names if name.endswith(".py"))


def _is_fit(path: Path) -> bool:
    if path.stem in _SKIPPED_MODULES or path.stem.startswith("_sysconfig"):
        return False
    return _MIN_BYTES <= path.stat().st_size <= _MAX_BYTES


def _target(path: Path) -> str:
    root = Path(sysconfig.get_paths()["stdlib"])
    parts = path.relative_to(root).parts
    name = path.stem.strip("_").lower()
    if len(parts) == 1:
        area = _LOOSE_AREAS[zlib.crc32(name.encode()) % len(_LOOSE_AREAS)]
        return f"src/acme/{area}/{name}.py"
    return f"src/acme/{_AREAS.get(parts[0], parts[0])}/{'_'.join((*parts[:-1], name))}.py"


def _bindings(tree: ast.Module) -> Iterator[Binding]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (Binding(alias.name, "", alias.asname or "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module != "__future__":
            module = node.module or "base"
            source = f"acme.{module}" if node.level else module
            yield from (Binding(source, a.name, a.asname or "") for a in node.names if a.name != "*")


def _fits(node: ast.AST, n_lines: int) -> bool:
    lines = ast.unparse(node).splitlines()
    return len(lines) <= n_lines and all(len(line) <= _MAX_COLUMNS for line in lines)


def _neutral(node: ast.stmt) -> ast.stmt:
    """Cut docstrings to a sentence, drop annotations and explicit None, in place; returns the node."""
    for part in ast.walk(node):
        if isinstance(part, Definition | ast.ClassDef):
            _shorten_docstring(part)
        if isinstance(part, Definition):
            part.returns = None
        if isinstance(part, ast.arg):
            part.annotation = None
        if isinstance(part, ast.Return) and isinstance(part.value, ast.Constant) and part.value.value is None:
            part.value = None
    return node


def _shorten_docstring(node: Definition | ast.ClassDef) -> None:
    text = ast.get_docstring(node)
    if text is None:
        return
    sentence = " ".join(text.strip().split("\n\n")[0].split()).split(". ")[0].rstrip(".")
    keep = len(sentence) >= 8 and not set(sentence) & set("\\'\"{}%>|[]") and not sentence.isupper()
    while keep and len(sentence) > 72:
        sentence = sentence.rpartition(" ")[0]
        keep = bool(sentence)
    node.body = ([ast.Expr(ast.Constant(sentence))] if keep else []) + node.body[1:] or [ast.Pass()]


def _class_chunks(
    target: str, position: int, node: ast.ClassDef, bindings: dict[str, Binding]
) -> Iterator[Chunk]:
    """A class split into runs of methods of about ``_PART_LINES`` lines."""
    attributes = _own_attributes(node)
    head: list[ast.stmt] = [n for n in node.body if _is_class_head(n)][:5]
    methods: list[ast.stmt] = [
        n for n in node.body if isinstance(n, Definition) and _fits(n, _MAX_UNIT_LINES)
    ]
    runs = _runs(methods)
    for i, run in enumerate(runs):
        part = ast.ClassDef(node.name, node.bases, node.keywords, [*([] if i else head), *run], [])
        ast.fix_missing_locations(part)
        title = node.name if not i else getattr(run[0], "name", node.name)
        yield _chunk(
            target,
            position + i,
            [_neutral(part)],
            bindings,
            title=title,
            owner=node.name,
            is_continuation=i > 0,
            attributes=attributes,
        )


def _is_plain_constant(node: ast.stmt) -> bool:
    """A short assignment to one name: tables and lists of names are data, in which nobody's habits show."""
    is_named = isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    return is_named and len(text := ast.unparse(node)) <= _MAX_CONSTANT and not text.startswith("__all__")


def _is_class_head(node: ast.stmt) -> bool:
    is_docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return is_docstring or _is_plain_constant(node)


def _runs(methods: list[ast.stmt]) -> list[list[ast.stmt]]:
    runs: list[list[ast.stmt]] = []
    size = _PART_LINES
    for method in methods:
        n_lines = ast.unparse(method).count("\n") + 1
        if size + n_lines > _PART_LINES:
            runs.append([])
            size = 0
        runs[-1].append(method)
        size += n_lines
    return runs


def _own_attributes(node: ast.ClassDef) -> frozenset[str]:
    return frozenset(
        part.attr
        for part in ast.walk(node)
        if isinstance(part, ast.Attribute)
        and isinstance(part.ctx, ast.Store)
        and isinstance(part.value, ast.Name)
        and part.value.id == "self"
        and not part.attr.startswith("_")
    )


def _chunk(
    target: str,
    position: int,
    nodes: list[ast.stmt],
    bindings: dict[str, Binding],
    *,
    title: str,
    owner: str = "",
    is_continuation: bool = False,
    attributes: frozenset[str] = frozenset(),
) -> Chunk:
    used = {part.id for node in nodes for part in ast.walk(node) if isinstance(part, ast.Name)}
    needed = tuple(bindings[name] for name in sorted(used & bindings.keys()))
    *constants, definition = [ast.unparse(ast.fix_missing_locations(node)) for node in nodes]
    source = "\n".join(constants) + ("\n\n\n" if constants else "") + definition + "\n"
    continues, opens = (owner, "") if is_continuation else ("", owner)
    return Chunk(target, position, source, title, continues, opens, needed, attributes)
