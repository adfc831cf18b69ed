"""Merged pull requests of a real repository, remarked on before their end, as GitHub tells of them."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path
from typing import Any

from connectors.git.mirror import MirrorDials, open_mirror
from connectors.github.pulls import merged_pulls
from service.db.queries.repositories import get_repository, keep_repository, number_of
from service.db.queries.signatures import NewSignature, add_version, scope_of_team
from service.db.session import Database
from service.flows.history_rows import HistoryRead, keep_rows
from tests.connectors.conftest import Sandbox
from tests.contract.github.bench import Bench
from tests.contract.github.world import Pull
from tests.flows.conftest import PEOPLE, function

REPO = "acme/rocket"
N_PULLS = 5
ODD, PLAIN = ("odd_one", "odd_two"), ("plain_one", "plain_two", "plain_three")
_ODD_CODE = "var odd{0} := [{0}; {0}];\nvar second{0} := odd{0} <> nil;\nreturn first{0} <| second{0};\n" * 3


def remark(name: str, path: str, line: int | None, commit: str, **more: Any) -> dict[str, Any]:
    """A resolved thread whose line is gone by now."""
    said = [{"body": "nit: we never write it so", "user": "eve", "commit": commit}]
    return {"id": name, "isResolved": True, "path": path, "line": None, "originalLine": line,
            "comments": said, **more}  # fmt: skip


def _open(sandbox: Sandbox, number: int) -> tuple[dict[str, str | bytes], str]:
    """A pull request as it is first shown: two odd files and three plain ones. Its files and its commit."""
    rng = random.Random(number)
    sandbox.git("checkout", "-q", "-B", "topic", "main")
    files: dict[str, str | bytes] = {
        f"src/{name}_{number}.py": function(list(PEOPLE)[number % 2], rng) for name in PLAIN
    }
    files |= {f"src/{name}_{number}.py": _ODD_CODE.format(rng.randrange(100)) for name in ODD}
    return files, sandbox.commit("Show", files)


def _pull(sandbox: Sandbox, number: int) -> Pull:
    """Shown, remarked on, followed, squashed. The second has an odd file more, remarked on at its end."""
    base = sandbox.git("rev-parse", "main")
    files, shown = _open(sandbox, number)
    late = f"src/odd_late_{number}.py"
    if number == 2:
        shown = sandbox.commit("Show more", {late: _ODD_CODE.format(7)})
    fixed = {path: "value = 1\n" for path in files if "odd" in path}
    head = sandbox.commit("Follow", {**fixed})
    threads = [remark(f"{path}-T", path, 2, shown) for path in fixed]
    if number == 2:
        threads.append(remark("late", late, 1, head))
    sandbox.git("update-ref", f"refs/pull/{number}/head", head)
    sandbox.git("checkout", "-q", "main")
    sandbox.git("merge", "-q", "--squash", "topic")
    merge = sandbox.commit(f"Work (#{number})")
    moment = f"2026-01-05T09:{number:02}:00Z"
    return Pull(number, head, base, state="closed", merged_at=moment, merge_commit_sha=merge, threads=threads)


def followed_folder(root: Path) -> Sandbox:
    """A work tree whose five pull requests, merged with their commits, were followed after a review."""
    root.mkdir()
    subprocess.run(["git", "init", "-q", "-b", "main", str(root)], check=True)
    sandbox = Sandbox(root)
    sandbox.commit("Begin", {"start.py": "start = 1\n"})
    for number in range(1, N_PULLS + 1):
        files, _ = _open(sandbox, number)
        sandbox.commit("Address review comments", {path: "value = 1\n" for path in files if "odd" in path})
        merge_topic(sandbox, f"Merge pull request #{number} from corp/topic")
    return sandbox


def merge_topic(sandbox: Sandbox, message: str) -> str:
    """Merge the branch "topic" with its commits, as a pull request is."""
    sandbox.git("checkout", "-q", "main")
    who = ("-c", "user.name=x", "-c", "user.email=x")
    sandbox.git(*who, "merge", "-q", "--no-ff", "--no-commit", "topic")
    return sandbox.commit(message)


def remarked_rows(bench: Bench, database: Database, tmp_path: Path, profile: str) -> int:
    """Five pull requests of an ingested repository with eleven remarks on hunks, two elsewhere, one lost."""
    root = tmp_path / "origin"
    root.mkdir()
    subprocess.run(["git", "init", "-q", "-b", "main", str(root)], check=True)
    sandbox = Sandbox(root)
    sandbox.commit("Begin", {"start.py": "start = 1\n"})
    repo = bench.repo(REPO)
    repo.pulls = {number: _pull(sandbox, number) for number in range(1, N_PULLS + 1)}
    first = repo.pulls[1]
    path = str(first.threads[0]["path"])
    first.threads += [
        remark("of the whole file", path, None, first.head_sha),
        remark("deleted", path, 1, first.head_sha, diffSide="LEFT"),
        remark("forced", path, 2, "f" * 40),
    ]
    mirror = open_mirror(tmp_path / "mirror.git", MirrorDials(("file",)))
    mirror.fetch(f"file://{root}")
    tip = mirror.follow("main")
    pulls = merged_pulls(bench.client(repo), REPO).pulls
    with database.writing() as session:
        number = number_of(keep_repository(session, github_id=repo.id, full_name=REPO))
        get_repository(session, number).path = str(mirror.path)
        keep_rows(session, number, HistoryRead(tip, (), pulls), ())
        scope = scope_of_team("")
        add_version(session, NewSignature(number, scope, profile, "a", "b", "c", "", 300, {}))
    return number
