"""Run one program against its tests, alone: started by path in a process of its own, standard library only.

Reads {"code", "tests", "seconds"} as JSON from standard input; writes {"import_error", "failed", "seconds"}
to standard output: the processor time used, and for every test whether it passed (0), was not true (1) or
raised (2). Every statement of the tests is one test, but for imports, definitions and assignments, which
count only when they raise.

The fences keep accidents in, not attackers: limits on processor time, memory, file size and processes, no new
file descriptor once imports are done (the kernel then refuses every socket), and a hook that refuses what
would start a process or a connection. Only run code that you would run by hand.
"""

from __future__ import annotations

import ast
import importlib
import json
import math
import os
import resource
import signal
import sys
import time
from typing import Any, NoReturn

MEMORY = 512 * 2**20
PASSED, NOT_TRUE, RAISED = 0, 1, 2
PRELUDE = """
import functools, itertools, math, random
rng = random.Random(0)
sizes = (0, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4, 5, 5, 6, 6, 7, 8, 8)
lists = [[rng.randint(-9, 9) for _ in range(n)] for n in sizes]
words = ["".join(rng.choice("abAB ") for _ in range(n)) for n in sizes]
def raises(kind, function, *arguments):
    try:
        function(*arguments)
    except kind:
        return True
    except Exception:
        return False
    return False
"""
"""What every test may use: seeded lists and words, and whether a call raises an error of a kind."""
PREPARES = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef, ast.Assign, ast.AnnAssign)
REFUSED = (
    "socket.",
    "subprocess.",
    "os.exec",
    "os.fork",
    "os.posix_spawn",
    "os.spawn",
    "os.system",
    "ctypes.",
)


def main() -> None:
    """One run, from standard input to standard output."""
    job = json.load(sys.stdin)
    answer = os.fdopen(os.dup(1), "w")
    sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: PTH123, SIM115 - what is run may print
    preload(job["code"] + "\n" + job["tests"])
    fence(job["seconds"])
    started = time.process_time()
    found = run(job["code"], job["tests"])
    json.dump({**found, "seconds": time.process_time() - started}, answer)
    answer.flush()
    os._exit(0)


def preload(source: str) -> None:
    """Import what the program and its tests name, while files can still be opened."""
    try:
        nodes = list(ast.walk(ast.parse(source)))
    except SyntaxError:
        return
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}
    for name in sorted(names | {"functools", "itertools", "math", "random", "encodings.idna"}):
        if name.partition(".")[0] in sys.stdlib_module_names:
            importlib.import_module(name)


def fence(seconds: float) -> None:
    """Limit this process for good; the timer takes fractions, the limit of the kernel only whole seconds."""
    signal.setitimer(signal.ITIMER_PROF, seconds)
    in_use = max(int(name) for name in os.listdir("/dev/fd")) if os.path.isdir("/dev/fd") else 16  # noqa: PTH112, PTH208
    limits = {
        resource.RLIMIT_CPU: math.ceil(time.process_time() + seconds) + 1,
        resource.RLIMIT_AS: MEMORY,
        resource.RLIMIT_FSIZE: 2**20,
        resource.RLIMIT_NPROC: 0,
        resource.RLIMIT_NOFILE: in_use,
        resource.RLIMIT_CORE: 0,
    }
    for kind, most in limits.items():
        resource.setrlimit(kind, (most, most))
    sys.addaudithook(refuse)


def refuse(event: str, _arguments: tuple[Any, ...]) -> None:
    """An audit hook: no connections, no processes."""
    if event.startswith(REFUSED):
        raise PermissionError(f"{event} is refused while tests run")


def run(code: str, tests: str) -> dict[str, Any]:
    """Execute the program, then its tests in order."""
    space: dict[str, Any] = {"__name__": "program"}
    try:
        exec(code, space)  # noqa: S102 - running it is what this process is for
    except BaseException as error:  # noqa: BLE001 - any end of the import is one
        return {"import_error": type(error).__name__, "failed": []}
    exec(PRELUDE, space)  # noqa: S102
    failed: list[int] = []
    for statement in ast.parse(tests).body:
        outcome = attempt(compile(ast.Module([statement], []), "<tests>", "exec"), space)
        if outcome or not isinstance(statement, PREPARES):
            failed.append(outcome)
    return {"import_error": None, "failed": failed}


def attempt(statement: Any, space: dict[str, Any]) -> int:
    """How one test ends."""
    try:
        exec(statement, space)  # noqa: S102
    except AssertionError:
        return NOT_TRUE
    except BaseException as error:  # noqa: BLE001 - SystemExit too is a failed test
        if isinstance(error, MemoryError):
            give_up()
        return RAISED
    return PASSED


def give_up() -> NoReturn:
    """End without an answer: the caller counts it as out of bounds."""
    os._exit(9)


if __name__ == "__main__":
    main()
