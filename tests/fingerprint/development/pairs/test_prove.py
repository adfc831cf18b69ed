"""Programs in their fenced process: what passes, what is killed, what is refused."""

from __future__ import annotations

import pytest

from fingerprint.development.pairs.prove import LEAST_SECONDS, Outcome, patience, run_tests

TESTS = "x = f()\nassert x == 1\nassert x > 0\n"


@pytest.mark.parametrize(
    ("code", "verdict", "n_failed"),
    [
        ("def f(): return 1", "passes", 0),
        ("def f(): return 2", "not true", 1),
        ("def f(): return -1", "not true", 2),
        ("def f(): return None", "raises", 2),
        ("def f(): raise KeyError", "raises", 3),  # the assignment counts too once it raises
        ("def f(): raise SystemExit", "raises", 3),
        ("def g(): return 1", "raises", 3),
        ("import no_such_module", "no import", 0),
        ("def f(: pass", "no import", 0),
    ],
)
def test_a_program_meets_its_tests(code, verdict, n_failed):
    found = run_tests(code, TESTS)
    assert (found.verdict, found.n_failed) == (verdict, n_failed)
    assert found.is_killed == (verdict in {"not true", "raises"})


def test_a_loop_without_end_is_out_of_bounds():
    found = run_tests("def f():\n    while True: pass", TESTS, seconds=0.2)
    assert found.verdict == "out of bounds"
    assert found.is_killed


def test_memory_without_end_is_out_of_bounds():
    assert run_tests("def f(): return len([0] * 10**9)", TESTS).verdict == "out of bounds"


@pytest.mark.parametrize(
    "body",
    [
        "import socket; socket.socket(); return 1",
        "import os; os.system('true'); return 1",
        "import subprocess; subprocess.run(['true']); return 1",
        "import os; os.fork(); return 1",
        "open('left-behind', 'w').write('x'); return 1",
        "return len(open('/etc/hostname').read()) * 0 + 1",
    ],
)
def test_the_fence_holds(body):
    assert run_tests(f"def f():\n    {body}", TESTS).verdict == "raises"


def test_nothing_of_this_process_reaches_the_program(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "elsewhere")
    clean = "set(os.environ) <= {'PYTHONHASHSEED', 'LC_CTYPE'} and 'torch' not in sys.modules"
    code = f"import os, sys\ndef f(): return int({clean})"
    assert run_tests(code, TESTS).verdict == "passes"


def test_sets_have_one_order_in_every_run():
    code = "def f(): return ''.join({'a', 'b', 'c', 'd', 'e'})"
    order = [run_tests(code, f"assert f() == {o!r}").verdict for o in ("abcde", "edcba") for _ in range(2)]
    assert order[0] == order[1] and order[2] == order[3]


def test_patience_grows_with_the_correct_program_and_ends():
    assert patience(Outcome("passes", seconds=0.0)) == LEAST_SECONDS
    assert patience(Outcome("passes", seconds=0.05)) == 1.0
    assert patience(Outcome("passes", seconds=9.0)) == 2.0
