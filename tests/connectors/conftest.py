"""Real git repositories, built commit by commit with real git."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

CLEAN = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "PATH": os.environ["PATH"],
    "HOME": "/nonexistent",
    "LC_ALL": "C",
}


@dataclass
class Sandbox:
    """A work tree and a clock that moves one hour per commit."""

    root: Path
    hours: int = field(default=0)

    def git(self, *words: str, stdin: bytes | None = None, env: dict[str, str] | None = None) -> str:
        run = subprocess.run(
            ["git", *words],
            cwd=self.root,
            env={**CLEAN, **(env or {})},
            input=stdin,
            capture_output=True,
            check=False,
        )
        assert run.returncode == 0, run.stderr.decode()
        return run.stdout.decode("utf-8", "replace").strip()

    def write(self, path: str, text: str | bytes) -> None:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(text if isinstance(text, bytes) else text.encode())

    def commit(
        self,
        message: str,
        files: dict[str, str | bytes] | None = None,
        author: str = "Jane Doe <jane@corp.io>",
        *options: str,
    ) -> str:
        for path, text in (files or {}).items():
            self.write(path, text)
        self.git("add", "-A")
        self.hours += 1
        date = f"{1_600_000_000 + 3600 * self.hours} +0200"
        name, _, email = author.rstrip(">").partition(" <")
        who = {
            "GIT_AUTHOR_NAME": name,
            "GIT_AUTHOR_EMAIL": email,
            "GIT_COMMITTER_NAME": name or "x",
            "GIT_COMMITTER_EMAIL": email or "x",
            "GIT_AUTHOR_DATE": date,
            "GIT_COMMITTER_DATE": date,
        }
        self.git("commit", "-q", "--allow-empty", "-F", "-", *options, stdin=message.encode(), env=who)
        return self.git("rev-parse", "HEAD")


@pytest.fixture
def new_sandbox(tmp_path: Path) -> Callable[[str], Sandbox]:
    def build(name: str = "repo") -> Sandbox:
        root = tmp_path / name
        root.mkdir()
        sandbox = Sandbox(root)
        sandbox.git("init", "-q", "-b", "main")
        return sandbox

    return build


@pytest.fixture
def sandbox(new_sandbox: Callable[[str], Sandbox]) -> Sandbox:
    return new_sandbox("repo")


def _fast_import(sandbox: Sandbox, n_commits: int) -> None:
    """A tree of 400 files; each commit changes ten lines in three of them. Straight into git, then packed."""
    files = {
        f"src/part{n % 40}/file{n}.py": [f"value_{k} = compute({k}, offset={n * k})" for k in range(200)]
        for n in range(400)
    }
    paths = list(files)
    stream: list[str] = []
    for n in range(n_commits + 20):
        # the first commits bring the files, twenty at a time
        changed = (
            paths[n * 20 : n * 20 + 20] if n < 20 else [paths[(n * 7 + k * 131) % 400] for k in range(3)]
        )
        for path in changed if n >= 20 else []:
            start = n * 37 % 190
            for k in range(start, start + 10):
                files[path][k] = f"value_{k} = compute_{n % 89}({n * k}, offset={n + k}, scale={n * 13 % 97})"
        who = f"Author {'ABC'[n % 3]}son <a{n % 3}@corp.io> {1_600_000_000 + n * 60} +0000"
        message = f"Change {n}"
        stream.append(
            f"commit refs/heads/main\nauthor {who}\ncommitter {who}\ndata {len(message)}\n{message}\n"
        )
        for path in changed:
            text = "\n".join(files[path]) + "\n"
            stream.append(f"M 100644 inline {path}\ndata {len(text)}\n{text}\n")
    sandbox.git("fast-import", "--quiet", stdin="".join(stream).encode())
    sandbox.git("gc", "--quiet")


@pytest.fixture
def fast_import() -> Callable[[Sandbox, int], None]:
    return _fast_import
