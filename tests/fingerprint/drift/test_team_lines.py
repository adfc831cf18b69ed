from pathlib import Path

import pytest

from fingerprint import FingerprintError
from fingerprint.drift.team_lines import TeamLines
from fingerprint.passage import passage_from_lines

LINES = TeamLines.of(
    [
        passage_from_lines(
            [(True, "use crate::config::Old;"), (False, "x"), (True, "use crate::configure;")],
            path="a.rs", language="rust",
        ),
        passage_from_lines(
            [(True, "pub use crate::config::Map;"), (True, "let config = 1;")], path="b.rs", language="rust"
        ),
    ]
)  # fmt: skip


def test_the_longest_common_left_context_wins() -> None:
    found = LINES.find("fn x\npub use crate::", "config")
    assert [(line.text, line.path) for line in found] == [
        ("pub use crate::config::Map;", "b.rs"), ("use crate::config::Old;", "a.rs"),
    ]  # fmt: skip


def test_words_are_matched_whole() -> None:
    assert [line.text for line in LINES.find("    use crate::", "configure")] == ["use crate::configure;"]
    assert LINES.find("use crate::", "conf") == ()
    assert LINES.find("use crate::", "") == ()
    assert LINES.find("@", "config") == ()


def test_the_latest_line_comes_first_among_equals() -> None:
    assert LINES.find(" ", "config", 1)[0].text == "let config = 1;"


def test_layout_is_found_too() -> None:
    assert LINES.find("Map;", "\n")[0].text == "pub use crate::config::Map;"
    assert LINES.find("?;", "\n") == ()


def test_only_the_latest_are_kept_when_there_is_too_much() -> None:
    passages = [
        passage_from_lines([(True, f"line {i}")], path="a", language="go", written_at=float(i))
        for i in range(9)
    ]
    kept = TeamLines.of(passages, most_characters=20)
    assert [text for text, _ in kept.chunks] == ["line 7\n", "line 8\n"]


def test_round_trip_and_damage(tmp_path: Path) -> None:
    LINES.save(tmp_path / "lines.jsonl")
    assert TeamLines.load(tmp_path / "lines.jsonl") == LINES
    (tmp_path / "lines.jsonl").write_text("{")
    with pytest.raises(FingerprintError, match="Profile the team again"):
        TeamLines.load(tmp_path / "lines.jsonl")
    with pytest.raises(FingerprintError, match="No readable team lines"):
        TeamLines.load(tmp_path / "absent")
