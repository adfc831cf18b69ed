from __future__ import annotations

import json

import pytest

from connectors.identity.notes import Attested, NoteError, parse_note

HUMANS = {"h_a1b2c3d4e5f678": {"author": "Jane Doe <jane@corp.io>"}}
SESSIONS = {"s_c9883b05a2487d": {"agent_id": {"tool": "claude", "id": "x", "model": "y"}}}
PROMPTS = {"c9883b05a2487d6d": {"agent_id": {"tool": "Cursor", "id": "x", "model": "y"}}}


def note(head: str, **facts: object) -> str:
    known = {"schema_version": "authorship/3.0.0", "prompts": PROMPTS, "sessions": SESSIONS, "humans": HUMANS}
    return f"{head}---\n{json.dumps(known | facts)}"


def test_lines_are_counted_by_writer_in_both_generations_of_the_format() -> None:
    text = note(
        "src/a.py\n  s_c9883b05a2487d::t_9f8e7d6c5b4a32 1-3,8\n  c9883b05a2487d6d 4\n"
        '  h_a1b2c3d4e5f678 5-6\n"my file.py"\n  h_a1b2c3d4e5f678 1\n'
    )
    found = parse_note(text)
    assert found.attested("src/a.py", range(1, 10)) == Attested({"claude": 4, "cursor": 1}, 2)  # type: ignore[arg-type]
    assert found.attested("src/a.py", [2, 3, 5]) == Attested({"claude": 2}, 1)  # type: ignore[arg-type]
    assert found.attested("my file.py", [1]) == Attested(n_human=1)
    assert found.attested("other.py", [1]) == Attested()


def test_a_range_without_end_costs_nothing() -> None:
    found = parse_note(note("a.py\n  c9883b05a2487d6d 1-999999999999\n")).attested("a.py", range(5, 8))
    assert found.n_agent == 3


@pytest.mark.parametrize("facts", [{"prompts": None}, {"prompts": []}, {"prompts": {"c9883b05a2487d6d": {}}}])
def test_an_agents_lines_stay_an_agents_when_its_record_is_gone(facts: dict[str, object]) -> None:
    found = parse_note(note("a.py\n  c9883b05a2487d6d 1\n", **facts)).attested("a.py", [1])
    assert found.by_tool == {"unknown": 1}


def test_a_note_without_lines_attests_nothing() -> None:
    assert parse_note(note("")).attested("a.py", [1]) == Attested()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("just a remark", "'---'"),
        ("a.py\n  h_1 1\n---\nnot json", "JSON"),
        (note("a.py\n", schema_version="authorship/9.0.0"), "authorship/3"),
        (note("  h_1 1\n"), "path"),
        (note("a.py\n  h_1 one-two\n"), "line ranges"),
        ("a.py\n---\n[]", "schema"),
    ],
)
def test_a_damaged_note_says_what_is_wrong(text: str, message: str) -> None:
    with pytest.raises(NoteError, match=message):
        parse_note(text)
