"""Chunks in an author's hand: valid, complete, and in the style asked for."""

from __future__ import annotations

import ast
import random

import pytest

from service.sample.people import AGENT, MARA, PRIYA, STRANGER, TEAM, TOMASZ, Person
from service.sample.rendering import render_chunk, render_imports
from service.sample.source import Binding, Chunk, read_chunks, stdlib_modules
from service.sample.style import Style

SOURCE = '''def find(table, key, default=None):
    """Find a key in a table"""
    rows = []
    if not table:
        return default
    for row in table:
        try:
            rows.append(read(row, key, 'strict'))
        except ValueError as problem:
            raise LookupError('no %s in %r' % (key, row))
    count = 0
    count += 1
    if default is None:
        return rows
    return [row for row in rows if row]
'''


def _chunk(source: str) -> Chunk:
    return Chunk("src/acme/core/x.py", 0, source, "find", "", "", (), frozenset())


def _render(person: Person, fidelity: float = 1.0) -> str:
    style = Style(**{**person.style.choices(), "fidelity": fidelity})
    lines = render_chunk(_chunk(SOURCE), style, random.Random(1))
    assert lines is not None
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("person", "expected"),
    [
        (
            MARA,
            [
                "def find(\n    table_,\n",
                "raise LookupError('no %s in %r' % (key_, row_)) from None",
                "rows_ = list()",
            ],
        ),
        (
            TOMASZ,
            [
                "'''Find a key in a table.'''\n\n",
                "l_count",
                "for cur_row in",
                "p_table == False",
                "except ValueError as exc",
            ],
        ),
        (
            PRIYA,
            [
                ":param table: the table.",
                "if None is default:",
                "count = count + 1",
                "log.error('",
            ],
        ),
        (
            AGENT,
            [
                '"""Find a key in a table.\n\n    Args:\n',
                'f"no {',
                ") -> Any:",
                'logger.exception("Failed to find")',
            ],
        ),
        (
            STRANGER,
            [
                "def find( aTable, aKey, aDefault=None ):",
                'read( eachRow, aKey, "strict" )',
                "if ( aDefault == None ):",
            ],
        ),
    ],
    ids=lambda value: value.key if isinstance(value, Person) else "",
)
def test_habits_show_at_full_fidelity(person: Person, expected: list[str]) -> None:
    text = _render(person)
    ast.parse(text)
    for part in expected:
        assert part in text, f"{part!r} is not in\n{text}"


def test_without_fidelity_names_and_quotes_stay_as_they_were() -> None:
    assert "'strict'" in _render(STRANGER, fidelity=0.0)


def test_further_methods_come_without_their_class() -> None:
    size = "    @property\n    def size(self):\n        return self.n\n"
    source = f"class Reader:\n\n{size}\n    def close(self):\n        pass\n"
    chunk = Chunk("src/acme/core/x.py", 1, source, "size", "Reader", "", (), frozenset(["n"]))
    lines = render_chunk(chunk, TOMASZ.style, random.Random(2))
    assert lines is not None
    assert lines[0] == "    @property"
    assert not any("class Reader" in line for line in lines)


def test_imports_are_broken_over_lines_by_the_house_only() -> None:
    bindings = [Binding("os"), Binding("re", "compile"), Binding("re", "escape", "quote")]
    assert render_imports(bindings, TOMASZ.style) == [
        "import os", "from re import (", "    compile,", "    escape as quote,", ")"
    ]  # fmt: skip
    assert render_imports(bindings, AGENT.style) == ["import os", "from re import compile, escape as quote"]


@pytest.fixture(scope="module")
def chunks() -> list[Chunk]:
    return [chunk for path in stdlib_modules(1)[:3] for chunk in read_chunks(path)][:30]


@pytest.mark.parametrize("person", [*TEAM, AGENT, STRANGER], ids=lambda person: person.key)
def test_real_chunks_keep_their_definitions(chunks: list[Chunk], person: Person) -> None:
    n_lost = 0
    for chunk in chunks:
        lines = render_chunk(chunk, person.style, random.Random(7))
        if lines is None:
            n_lost += 1
            continue
        head = "class _:\n" if chunk.continues else ""
        assert _definitions(head + "\n".join(lines)) == _definitions(chunk.source)
    assert n_lost <= 0.1 * len(chunks)


def _definitions(source: str) -> list[str]:
    nodes = ast.walk(ast.parse(source))
    return sorted(node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
