"""Whether a program passes its tests: each in a process of its own, fenced and timed."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fingerprint.development.pairs.runner import PASSED, RAISED

RUNNER = Path(__file__).resolve().with_name("runner.py")
CPU_SECONDS = 2.0
"""Processor time of a program and its tests, at most."""
WALL_SECONDS = 20
"""Only what sleeps gets here: processor time is what ends a loop, so a loaded machine changes no verdict."""
PATIENCE, LEAST_SECONDS = 20, 0.3
"""A mutant may take so many times its correct program's time, and no less than this: most never end."""

Verdict = Literal["passes", "not true", "raises", "out of bounds", "no import"]


@dataclass(frozen=True)
class Outcome:
    """How a program did.

    Attributes:
        verdict: "passes"; "not true" when a test is false and none raises; "raises"; "out of bounds" of time
            or memory; "no import" when the program itself cannot be executed.
        n_failed, n_tests: tests failed and run; both 0 without an answer. seconds: processor time of the
        program
            and its tests; 0 without an answer.
    """

    verdict: Verdict
    n_failed: int = 0
    n_tests: int = 0
    seconds: float = 0.0

    @property
    def is_killed(self) -> bool:
        """Whether the tests tell it from a correct program."""
        return self.verdict in {"not true", "raises", "out of bounds"}


def patience(correct: Outcome) -> float:
    """Processor time that a mutant may take, seconds."""
    return min(CPU_SECONDS, max(LEAST_SECONDS, PATIENCE * correct.seconds))


def run_tests(code: str, tests: str, seconds: float = CPU_SECONDS) -> Outcome:
    """Run a program against its tests in a fresh process, without network, in an empty folder.

    The flags are those that ``-I`` stands for, with one variable set in place of none: a fixed hash seed,
    so that an order of a set that a mutant lets through is the same in every run.
    """
    job = json.dumps({"code": code, "tests": tests, "seconds": seconds})
    with tempfile.TemporaryDirectory(prefix="pairs-") as folder:
        try:
            done = subprocess.run(
                [sys.executable, "-P", "-s", "-S", "-B", str(RUNNER)], input=job, cwd=folder,
                timeout=WALL_SECONDS, env={"PYTHONHASHSEED": "0"}, capture_output=True, text=True,
                check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return Outcome("out of bounds")
    if done.returncode != 0 or not done.stdout:
        return Outcome("out of bounds")
    answer = json.loads(done.stdout)
    if answer["import_error"] is not None:
        return Outcome("no import")
    failed = [one for one in answer["failed"] if one != PASSED]
    if not failed:
        return Outcome("passes", 0, len(answer["failed"]), answer["seconds"])
    verdict: Verdict = "raises" if RAISED in failed else "not true"
    return Outcome(verdict, len(failed), len(answer["failed"]), answer["seconds"])
