"""Traces of habits: exactly the tokens that realise them."""

from __future__ import annotations

import pytest

from service.sample.people import AGENT, STRANGER, TEAM
from service.sample.traces import PlantedHabit, find_traces, habits_of


@pytest.mark.parametrize(
    ("dimension", "choice", "text", "expected"),
    [
        ("quote", "double", "x = \"a\"\ny = 'b'\n", ['"', '"']),
        ("quote", "double", 'def f():\n    """Do."""\n', ['"""', '"""']),
        ("quote", "single", "x = 'it' + \"s\"\n", ["'", "'"]),
        ("formatting", "fstring", 'x = f"{y}"\n', ['f"']),
        ("formatting", "percent", "x = '%s' % y\n", ["% "]),
        ("annotations", "full", "def f(a: int, b=1) -> str:\n    return b\n", [": int", " -> str"]),
        ("calls", "padded", "f( a )\ng()\n", ["( ", " )"]),
        ("increments", "spelled", "n = n + 1\nm = n + 1\n", ["n = "]),
        (
            "guards",
            "nested",
            "def f(a):\n    if a:\n        return 1\n    else:\n        return 2\n",
            ["else:"],
        ),
        ("blanks", "dense", "def f(a):\n    b = a\n    return b\n\n    return a\n", ["    return"]),
        ("docstring", "google", 'def f():\n    """Do.\n\n    Args:\n    """\n', ['"""Do.', "Args:", '"""']),
        ("naming", "hungarian", "def f(aName):\n    theX = another\n", ["aName", "theX"]),
    ],
)
def test_finds_the_tokens(dimension: str, choice: str, text: str, expected: list[str]) -> None:
    lines = text.splitlines()
    spans = sorted(find_traces(text, PlantedHabit(dimension, choice, "")))
    assert [lines[line - 1][start:end] for line, start, end in spans] == expected


def test_every_habit_of_every_author_is_described_once() -> None:
    for person in (*TEAM, AGENT, STRANGER):
        habits = habits_of(person.style)
        assert len({habit.dimension for habit in habits}) == len(habits)
