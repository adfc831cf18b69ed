"""Foreign code comes in the form of hunks."""

from __future__ import annotations

from pathlib import Path

import pytest

from service import ServiceError
from service.flows.foreign import read_foreign


def test_the_standard_library_is_cut_into_hunks_of_the_teams_sizes():
    foreign = read_foreign(None, (5, 9), 5_000, 0)
    sizes = [passage.marked.count("\n") for passage in foreign.corpus]
    assert foreign.name == "Python's standard library"
    assert max(sizes) == 9
    assert sum(len(passage.marked) for passage in foreign.corpus) >= 25_000
    assert {passage.language for passage in foreign.corpus} == {"python"}
    assert read_foreign(None, (5, 9), 5_000, 0).corpus.digest == foreign.corpus.digest
    assert read_foreign(None, (5, 9), 5_000, 1).corpus.digest != foreign.corpus.digest


def test_hunks_have_context_and_a_section(tmp_path: Path):
    (tmp_path / "m.py").write_text("def first():\n" + "".join(f"    x{i} = {i}\n" for i in range(20)))
    passages = read_foreign(tmp_path, (10,), 1_000, 0).corpus.passages
    assert [passage.first_line for passage in passages] == [1, 8, 18]
    assert passages[1].text.splitlines()[:5] == [
        "@@ .py def first():",
        "    x6 = 6",
        "    x7 = 7",
        "    x8 = 8",
        "    x9 = 9",
    ]
    assert passages[1].marked.splitlines()[0] == "    x9 = 9"


def test_no_code_is_an_error(tmp_path: Path):
    (tmp_path / "README").write_text("words")
    with pytest.raises(ServiceError, match="no code found"):
        read_foreign(tmp_path, (5,), 100, 0)
