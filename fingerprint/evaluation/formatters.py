"""The formatters found on this machine, and how complete files go through them. Torch-free.

gofmt, rustfmt and prettier are looked for on PATH; each runs with its defaults and no configuration of its
surroundings. Python goes through black where that is importable and else through ``ast.unparse``. That is the
strongest normaliser there is: comments go, every statement is one line, quotes, redundant parentheses and
number formats are settled. A table should name the formatters it used (``formatters_here``).
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import shutil
import subprocess
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

_BATCH = 64  # files a process, where it takes many
_SECONDS = 120  # that it may take


@dataclass(frozen=True, slots=True)
class Tool:
    """A formatter on PATH.

    Attributes:
        name: the program.
        arguments: of every call.
        probe: file name and text of a file that it must change.
        takes_many: it rewrites many files in place and goes on after one it cannot read; else it is given one
            on standard input. Worth it for a program that takes long to start.
    """

    name: str
    arguments: tuple[str, ...]
    probe: tuple[str, str]
    takes_many: bool = False


# lines keep their order, so that what was marked can be found again
_RUSTFMT = "--edition 2024 --config-path . --config reorder_imports=false,reorder_modules=false"
_PRETTIER = "--write --no-config --no-editorconfig --log-level=silent"
_TOOLS = {
    "go": Tool("gofmt", (), ("a.go", "package  p\n")),
    "rust": Tool("rustfmt", tuple(_RUSTFMT.split()), ("a.rs", "fn  f() {}\n")),
    "typescript": Tool("prettier", tuple(_PRETTIER.split()), ("a.ts", "f( )\n"), takes_many=True),
}


def formatters_here() -> dict[str, str]:
    """Families of languages (as lexing.py names them) that can be formatted here, and by what."""
    tools = {
        family: tool.name
        for family, tool in _TOOLS.items()
        if (path := shutil.which(tool.name)) and _works(tool, path)
    }
    return {"python": "black" if _has_black() else "ast.unparse", **tools}


def format_files(family: str, suffix: str, texts: Sequence[str]) -> list[str | None]:
    """Complete files through the family's formatter; None for those it cannot read.

    Args:
        family: one of ``formatters_here()``.
        suffix: of the files, with the dot.
        texts: each one that formatting changes: a file that stays as it is counts as not read.
    """
    if family == "python":
        return [_format_python(text) for text in texts]
    tool = _TOOLS[family]
    return _run(tool, shutil.which(tool.name) or tool.name, suffix, texts)


@cache
def _works(tool: Tool, path: str) -> bool:
    name, text = tool.probe
    return _run(tool, path, Path(name).suffix, [text]) != [None]


def _run(tool: Tool, path: str, suffix: str, texts: Sequence[str]) -> list[str | None]:
    with TemporaryDirectory(prefix="formatted-") as folder:
        Path(folder, "rustfmt.toml").touch()  # rustfmt takes no folder without one
        if not tool.takes_many:
            return [_pipe([path, *tool.arguments], folder, text) for text in texts]
        done: list[str | None] = []
        for start in range(0, len(texts), _BATCH):
            done += _rewrite([path, *tool.arguments], folder, suffix, texts[start : start + _BATCH])
        return done


def _pipe(command: list[str], folder: str, text: str) -> str | None:
    """One file through standard input and output."""
    given = text.encode(errors="replace")
    try:
        result = subprocess.run(
            command, cwd=folder, input=given, capture_output=True, timeout=_SECONDS, check=False
        )
    except (subprocess.TimeoutExpired, OSError):
        return None
    return result.stdout.decode(errors="replace") if result.returncode == 0 else None


def _rewrite(command: list[str], folder: str, suffix: str, texts: Sequence[str]) -> list[str | None]:
    """Many files in place; the exit code speaks of all at once, so what has changed has been read."""
    files = [Path(folder, f"{number}{suffix}") for number in range(len(texts))]
    for file, text in zip(files, texts, strict=True):
        file.write_bytes(text.encode(errors="replace"))
    names = [file.name for file in files]
    try:
        subprocess.run([*command, *names], cwd=folder, capture_output=True, timeout=_SECONDS, check=False)
    except (subprocess.TimeoutExpired, OSError):
        return [None] * len(texts)
    found = [file.read_bytes().decode(errors="replace") for file in files]
    return [new if new != old else None for new, old in zip(found, texts, strict=True)]


# --------------------------------------------------------------------------------------------- Python


def _has_black() -> bool:
    return importlib.util.find_spec("black") is not None


def _format_python(text: str) -> str | None:
    try:
        with warnings.catch_warnings():  # invalid escapes in the code that is read
            warnings.simplefilter("ignore")
            if not _has_black():
                return ast.unparse(ast.parse(text)) + "\n"
            black = importlib.import_module("black")
            return black.format_str(text, mode=black.Mode())
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # all four mean: not this text
        return None
