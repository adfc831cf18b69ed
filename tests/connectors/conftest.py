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

    def git(self, *words: str, stdin: bytes | None = None, **environment: str) -> str:
        run = subprocess.run(
            ["git", *words],
            cwd=self.root,
            env={**CLEAN, **environment},
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
        self.git("commit", "-q", "--allow-empty", "-F", "-", *options, stdin=message.encode(), **who)
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
