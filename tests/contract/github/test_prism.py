"""A second judge, where Node is: Prism as a proxy between the app and the fake, with the same description."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from connectors.github import RefusedError
from connectors.github.app import App
from connectors.github.checks import CheckOutput, Conclusion, complete_check, start_check
from connectors.github.comments import marker_of, upsert_comment
from connectors.github.pulls import read_pull_state
from tests.contract.github.bench import HEAD, Bench, connected
from tests.contract.github.contract import description
from tests.contract.github.world import BOT

PRISM = shutil.which("prism")
REPO = "acme/rocket"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(PRISM is None, reason="no prism on PATH: npm install -g @stoplight/prism-cli@5.14.2"),
]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


@contextmanager
def proxied(bench: Bench, folder: Path) -> Iterator[App]:
    """The bench's app, with Prism in between."""
    port, spec = free_port(), folder / "openapi.json"
    spec.write_text(json.dumps(description()))
    command = [str(PRISM), "proxy", "--errors", "-p", str(port), str(spec), bench.fake.url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        try:
            wait_for(port)
            yield App(bench.app.key, replace(bench.app.dials, url=f"http://127.0.0.1:{port}"))
        finally:
            process.terminate()


def wait_for(port: int) -> None:
    for _ in range(600):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    pytest.fail("prism did not listen within a minute")


def test_the_app_through_prism(tmp_path: Path):
    with connected() as bench, proxied(bench, tmp_path) as app:
        repo = bench.repo()
        assert app.slug() == "routeprint"
        client = app.installation_client(app.installation_of(REPO).id, (repo.id,))
        assert read_pull_state(client, REPO, 1).pull.head_sha == HEAD
        run = start_check(client, REPO, HEAD, "v1", title="Scoring")
        done = complete_check(client, REPO, run.id, CheckOutput(Conclusion.NEUTRAL, "title", "summary"))
        assert done.is_completed
        marker, bot = marker_of(repo.id, 1), bench.world.users[BOT]
        first = upsert_comment(client, REPO, 1, "one", marker=marker, bot=bot)
        assert upsert_comment(client, REPO, 1, "two", marker=marker, bot=bot) == first
        assert [c["body"] for c in bench.world.comments.values()] == [f"{marker}\ntwo"]
        with pytest.raises(RefusedError, match="422"):
            client.create(f"/repos/{REPO}/check-runs", {"head_sha": HEAD})
