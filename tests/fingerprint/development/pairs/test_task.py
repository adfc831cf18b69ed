"""The bank, and files that others keep."""

from __future__ import annotations

import gzip
import json

import pytest

from fingerprint.development.pairs.prove import run_tests
from fingerprint.development.pairs.task import TaskError, load_bank, load_humaneval, load_mbpp


def test_the_bank_is_large_enough_and_each_task_defines_its_function():
    bank = load_bank()
    assert len(bank) >= 100
    assert len({task.name for task in bank}) == len(bank)
    assert all(f"def {task.name}(" in task.code for task in bank)
    assert all(task.tests.count("assert ") >= 3 for task in bank)


def test_humaneval_assertions_become_tests_of_their_own(tmp_path):
    row = {
        "task_id": "HumanEval/0", "entry_point": "add",
        "prompt": 'def add(a, b):\n    """Sum."""\n', "canonical_solution": "    return a + b\n",
        "test": "META = {}\n\ndef check(add_):\n    assert add_(1, 2) == 3\n    assert add_(0, 0) == 0\n",
    }  # fmt: skip
    path = tmp_path / "he.jsonl"
    path.write_text(json.dumps(row) + "\n\n")
    (task,) = load_humaneval(path)
    assert (task.name, task.source) == ("HumanEval/0", "humaneval")
    assert run_tests(task.code, task.tests).n_tests == 2
    assert run_tests(task.code.replace("+", "-"), task.tests).n_failed == 1


def test_mbpp_keeps_its_setup(tmp_path):
    row = {
        "task_id": 7, "code": "def twice(x):\r\n    return 2 * x", "test_setup_code": "n = 4",
        "test_list": ["assert twice(n) == 8", "assert twice(0) == 0"],
    }  # fmt: skip
    path = tmp_path / "mbpp.jsonl"
    path.write_text(json.dumps(row))
    (task,) = load_mbpp(path)
    assert task.name == "mbpp/7"
    assert run_tests(task.code, task.tests).verdict == "passes"


def test_published_files_are_read_as_they_come(tmp_path):
    """HumanEval.jsonl.gz, and MBPP's sanitised edition: one list, imports beside the assertions."""
    human = {
        "task_id": "HumanEval/1", "entry_point": "inc", "prompt": "def inc(a):\n",
        "canonical_solution": "    return a + 1\n",
        "test": "def check(candidate):\n    assert candidate(1) == 2\n",
    }  # fmt: skip
    (tmp_path / "HumanEval.jsonl.gz").write_bytes(gzip.compress(json.dumps(human).encode()))
    sane = {
        "task_id": 2, "prompt": "Double.", "code": "def twice(x):\n    return 2 * x",
        "test_imports": ["import math"], "test_list": ["assert twice(math.floor(2.5)) == 4"],
    }  # fmt: skip
    (tmp_path / "sanitized-mbpp.json").write_text(json.dumps([sane], indent=2))
    for task in (
        *load_humaneval(tmp_path / "HumanEval.jsonl.gz"),
        *load_mbpp(tmp_path / "sanitized-mbpp.json"),
    ):
        assert run_tests(task.code, task.tests).verdict == "passes"
        broken = task.code.replace("+", "-").replace("2 *", "3 *")
        assert run_tests(broken, task.tests).n_failed == 1


@pytest.mark.parametrize(
    ("text", "match"),
    [("{", "expected JSON"), ('{"task_id": 1}', "is missing"), ("[1]", "is missing")],
)
def test_other_formats_are_refused_by_line(tmp_path, text, match):
    path = tmp_path / "x.jsonl"
    path.write_text("\n" + text)
    for load in (load_humaneval, load_mbpp):
        with pytest.raises(TaskError, match=f"line 2: .*{match}"):
            load(path)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(TaskError, match="JSONL"):
        load_mbpp(tmp_path / "none.jsonl")


def test_a_test_that_is_no_check_is_refused(tmp_path):
    row = {"task_id": "x", "entry_point": "f", "prompt": "", "canonical_solution": "", "test": "assert True"}
    path = tmp_path / "he.jsonl"
    path.write_text(json.dumps(row))
    with pytest.raises(TaskError, match="check"):
        load_humaneval(path)
