"""Tasks: a correct function and the tests that tell it from a wrong one."""

from __future__ import annotations

import gzip
import json
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fingerprint import FingerprintError

BANK = Path(__file__).resolve().parent / "bank"


class TaskError(FingerprintError):
    """A file of tasks is missing or not of the format that is asked for."""


@dataclass(frozen=True)
class Task:
    """A correct function with its tests.

    Attributes:
        name: unique within its source. source: "bank", "humaneval" or "mbpp". code: of the module with the
            function. tests: statements, each a test; definitions, imports and assignments prepare.
    """

    name: str
    source: str
    code: str
    tests: str


def load_bank() -> tuple[Task, ...]:
    """The tasks shipped with this package, by file and in the files' order."""
    return tuple(
        Task(name, "bank", one["code"], one["tests"])
        for path in sorted(BANK.glob("*.toml"))
        for name, one in tomllib.loads(path.read_text(encoding="utf-8")).items()
    )


def load_humaneval(path: Path) -> tuple[Task, ...]:
    """Tasks of a local HumanEval file (Chen et al. 2021, arXiv 2107.03374), JSON lines, gzipped or not.

    Its ``check`` is one function with many assertions; here they become tests of their own.

    Raises:
        TaskError: no such file, or other fields.
    """
    found = []
    for number, row in _rows(path, ("task_id", "prompt", "canonical_solution", "test", "entry_point")):
        try:
            tests = _split_check(row["test"], row["entry_point"])
        except (SyntaxError, StopIteration) as error:
            raise TaskError(
                f"{path}, line {number}: expected a function check(candidate) in 'test'"
            ) from error
        found.append(Task(str(row["task_id"]), "humaneval", row["prompt"] + row["canonical_solution"], tests))
    return tuple(found)


def load_mbpp(path: Path) -> tuple[Task, ...]:
    """Tasks of a local MBPP file (Austin et al. 2021, arXiv 2108.07732): lines, or the sanitised list.

    Raises:
        TaskError: no such file, or other fields.
    """
    found = []
    for _, row in _rows(path, ("task_id", "code", "test_list")):
        code = row["code"].replace("\r\n", "\n").rstrip() + "\n"
        tests = [row.get("test_setup_code", ""), *row.get("test_imports", ()), *row["test_list"]]
        found.append(Task(f"mbpp/{row['task_id']}", "mbpp", code, "\n".join(tests).strip() + "\n"))
    return tuple(found)


def _split_check(test: str, entry_point: str) -> str:
    """The body of ``check(candidate)`` as statements, with the function under its parameter's name."""
    import ast

    module = ast.parse(test)
    check = next(node for node in module.body if isinstance(node, ast.FunctionDef) and node.name == "check")
    before = [node for node in module.body if node is not check]
    given = ast.parse(f"{check.args.args[0].arg} = {entry_point}").body
    return ast.unparse(ast.Module([*before, *given, *check.body], [])) + "\n"


def _rows(path: Path, fields: tuple[str, ...]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Rows of a JSONL file with the line of each, or of a JSON list; either may be gzipped."""
    try:
        data = path.read_bytes()
        text = (gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data).decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TaskError(f"cannot read tasks from {path}: {error}; give the path of a JSONL file") from error
    lines = _list_of(text) or text.splitlines()
    for number, line in enumerate(lines, 1):
        if isinstance(line, str) and not line.strip():
            continue
        try:
            row = json.loads(line) if isinstance(line, str) else line
        except ValueError as error:
            raise TaskError(f"{path}, line {number}: expected JSON, got {line[:40]!r}") from error
        missing = [name for name in fields if not isinstance(row, dict) or name not in row]
        if missing:
            raise TaskError(
                f"{path}, line {number}: expected the fields {', '.join(fields)}; {missing[0]} is missing"
            )
        yield number, row


def _list_of(text: str) -> list[Any] | None:
    """The objects of a JSON list, as MBPP's sanitised file is one."""
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, list) and all(isinstance(row, dict) for row in found) else None
