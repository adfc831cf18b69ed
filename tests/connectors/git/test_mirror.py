"""Mirrors of real repositories: fetching, force pushes, forks, hostile repositories and addresses."""

from __future__ import annotations

import base64
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from connectors.git import HistoryError
from connectors.git.mirror import (
    MirrorDials,
    MissingCommitError,
    TooLargeError,
    check_url,
    open_mirror,
)
from tests.connectors.conftest import Sandbox

FILE = MirrorDials(protocols=("file",))
TOKEN = "ghs_1001_secret.value-of"


def url_of(sandbox: Sandbox) -> str:
    return f"file://{sandbox.root}"


def open_pull(sandbox: Sandbox, number: int, files: dict[str, str | bytes], message: str = "Change") -> str:
    """Commit on a branch of its own, as a fork's head: only refs/pull/N/head names it."""
    sandbox.git("checkout", "-q", "-B", "fork", "main")
    head = sandbox.commit(message, files)
    sandbox.git("update-ref", f"refs/pull/{number}/head", head)
    sandbox.git("checkout", "-q", "main")
    sandbox.git("branch", "-q", "-D", "fork")
    return head


@pytest.fixture
def remote(sandbox: Sandbox) -> Sandbox:
    sandbox.commit("Begin", {"app.py": "x = 1\n", "docs.md": "words\n"})
    return sandbox


def test_branches_pulls_and_notes_come(remote: Sandbox, tmp_path: Path):
    head = open_pull(remote, 1, {"app.py": "x = 2\n"})
    remote.git("update-ref", "refs/notes/ai", "HEAD")
    mirror = open_mirror(tmp_path / "m.git", FILE)
    mirror.fetch(url_of(remote))
    assert mirror.tip("refs/heads/main") == remote.git("rev-parse", "main")
    assert mirror.tip("refs/pull/1/head") == head
    assert mirror.tip("refs/notes/ai")
    assert mirror.holds(head)
    assert not (mirror.path / "hooks").exists()
    assert not (mirror.path / "FETCH_HEAD").exists()


def test_one_pull_alone_can_be_fetched(remote: Sandbox, tmp_path: Path):
    open_pull(remote, 1, {"a.py": "a = 1\n"})
    second = open_pull(remote, 2, {"b.py": "b = 1\n"})
    mirror = open_mirror(tmp_path / "m.git", FILE)
    mirror.fetch(url_of(remote), pulls=[2])
    assert mirror.tip("refs/pull/2/head") == second
    with pytest.raises(HistoryError):
        mirror.tip("refs/pull/1/head")
    with pytest.raises(HistoryError, match="refs/pull/9/head"):
        mirror.fetch(url_of(remote), pulls=[9])


def test_a_force_push_is_followed(remote: Sandbox, tmp_path: Path):
    mirror = open_mirror(tmp_path / "m.git", FILE)
    old = remote.commit("Second", {"app.py": "x = 2\n"})
    mirror.fetch(url_of(remote))
    remote.git("reset", "-q", "--hard", "HEAD~1")
    new = remote.commit("Other second", {"app.py": "x = 3\n"})
    mirror.fetch(url_of(remote))
    assert mirror.tip("refs/heads/main") == new
    assert not mirror.is_ancestor(old, new)


def test_a_deleted_branch_goes_and_its_pull_stays(remote: Sandbox, tmp_path: Path):
    remote.git("branch", "topic")
    head = open_pull(remote, 1, {"app.py": "x = 2\n"})
    mirror = open_mirror(tmp_path / "m.git", FILE)
    mirror.fetch(url_of(remote))
    remote.git("branch", "-D", "topic")
    mirror.fetch(url_of(remote))
    with pytest.raises(HistoryError):
        mirror.tip("refs/heads/topic")
    assert mirror.tip("refs/pull/1/head") == head


def test_a_diff_is_against_where_the_head_left(remote: Sandbox, tmp_path: Path):
    head = open_pull(remote, 1, {"new.py": "y = 1\n", "pic.bin": b"\0\1", "notes.md": "words\n"})
    base = remote.commit("Main goes on", {"app.py": "x = 9\n"})
    mirror = open_mirror(tmp_path / "m.git", FILE)
    mirror.fetch(url_of(remote))
    patches = {patch.path: patch for patch in mirror.diff(base, head)}
    assert set(patches) == {"new.py", "pic.bin", "notes.md"}
    assert patches["new.py"].hunks[0].added == ("y = 1",)
    assert patches["notes.md"].hunks == ()  # no code


def test_more_than_three_hundred_files(remote: Sandbox, tmp_path: Path):
    head = open_pull(remote, 1, {f"src/f{n}.py": f"v = {n}\n" for n in range(350)})
    mirror = open_mirror(tmp_path / "m.git", FILE)
    mirror.fetch(url_of(remote))
    assert len(mirror.diff(remote.git("rev-parse", "main"), head)) == 350
    small = open_mirror(mirror.path, MirrorDials(("file",), max_diff_bytes=1000))
    with pytest.raises(TooLargeError, match="1,000 bytes"):
        small.diff(remote.git("rev-parse", "main"), head)


def test_what_is_not_here_is_said(remote: Sandbox, tmp_path: Path):
    mirror = open_mirror(tmp_path / "m.git", FILE)
    mirror.fetch(url_of(remote))
    tip = mirror.tip("refs/heads/main")
    with pytest.raises(MissingCommitError, match="fetch it first"):
        mirror.diff(tip, "f" * 40)
    for bad in ("main", "--output=/tmp/x", tip[:39], tip + "\n", "HEAD", ""):
        with pytest.raises(HistoryError, match="full id"):
            mirror.diff(bad, tip)
    for bad in ("main", "-x", "refs"):
        with pytest.raises(HistoryError, match="full ref name"):
            mirror.tip(bad)


def test_histories_without_a_common_commit(remote: Sandbox, tmp_path: Path):
    remote.git("checkout", "-q", "--orphan", "alone")
    head = remote.commit("Alone", {"z.py": "z = 1\n"})
    remote.git("checkout", "-q", "-f", "main")
    mirror = open_mirror(tmp_path / "m.git", FILE)
    mirror.fetch(url_of(remote))
    with pytest.raises(HistoryError, match="merge base"):
        mirror.diff(mirror.tip("refs/heads/main"), head)


def test_a_file_of_the_base(remote: Sandbox, tmp_path: Path):
    mirror = open_mirror(tmp_path / "m.git", FILE)
    mirror.fetch(url_of(remote))
    tip = mirror.tip("refs/heads/main")
    assert mirror.file(tip, "app.py") == b"x = 1\n"
    assert mirror.file(tip, "none.py") is None
    assert mirror.file(tip, "../../etc/passwd") is None


# ------------------------------------------------------------------------------------------- hostility


def test_nothing_that_a_repository_configures_runs(remote: Sandbox, tmp_path: Path):
    trap, sprung = tmp_path / "trap.sh", tmp_path / "sprung"
    trap.write_text(f"#!/bin/sh\ntouch {sprung}\ncat\n")
    trap.chmod(0o755)
    attributes = "*.py filter=trap diff=trap\n"
    modules = f'[submodule "s"]\n\tpath = s\n\turl = ext::{trap}\n'
    head = open_pull(remote, 1, {".gitattributes": attributes, ".gitmodules": modules, "t.py": "t = 1\n"})
    mirror = open_mirror(tmp_path / "m.git", FILE)
    hooks = mirror.path / "hooks"
    hooks.mkdir()
    for name in ("reference-transaction", "post-checkout", "update", "pre-auto-gc"):
        (hooks / name).symlink_to(trap)
    with (mirror.path / "config").open("a") as config:
        config.write(f'[filter "trap"]\n\tsmudge = {trap}\n\tclean = {trap}\n')
        config.write(f'[diff "trap"]\n\tcommand = {trap}\n\ttextconv = {trap}\n[diff]\n\texternal = {trap}\n')
    mirror.fetch(url_of(remote))
    assert "t.py" in {patch.path for patch in mirror.diff(remote.git("rev-parse", "main"), head)}
    assert not sprung.exists()


@pytest.mark.parametrize(
    "url",
    ["http://host/a", "ssh://host/a", "git@host:a/b", "ext::sh -c x", "file:///etc", "/etc", "-oX=y",
     "https://", "https:///a", "https://host/a b", "https://host/a\n", "--upload-pack=x", ""],
)  # fmt: skip
def test_only_https_is_fetched(url: str, tmp_path: Path):
    with pytest.raises(HistoryError, match="expected an address"):
        open_mirror(tmp_path / "m.git").fetch(url)


def test_an_address_holds_no_credential():
    with pytest.raises(HistoryError, match="without a credential") as caught:
        check_url(f"https://x:{TOKEN}@github.com/a/b", ("https",))
    assert TOKEN not in str(caught.value)


def test_the_protocol_is_fenced_below_the_check_too(remote: Sandbox, tmp_path: Path):
    mirror = open_mirror(tmp_path / "m.git")
    with pytest.raises(HistoryError, match="not allowed"):
        mirror.repository.read("fetch", url_of(remote))


@contextmanager
def answering(answer: bytes | None) -> Iterator[tuple[str, list[bytes]]]:
    """A server that gives one answer, or none; it keeps what it was sent."""
    seen: list[bytes] = []
    held: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    held.append(server.accept()[0])
                except OSError:
                    return
                with suppress(OSError):  # git may be gone already
                    seen.append(held[-1].recv(65_536))
                    if answer is not None:
                        held[-1].sendall(answer)
                        held[-1].close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}/acme/rocket.git", seen
        finally:
            for connection in (server, *held):  # a blocked accept or recv returns
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            thread.join(10)
            for connection in held:
                connection.close()


NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


def test_the_credential_is_sent_and_kept_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    argv: list[str] = []
    real = os.read

    def note_arguments(descriptor: int, n: int) -> bytes:
        for entry in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                argv.append(entry.read_text(errors="replace"))
            except OSError:
                continue
        return real(descriptor, n)

    monkeypatch.setattr("connectors.git.command.os.read", note_arguments)
    mirror = open_mirror(tmp_path / "m.git", MirrorDials(("http",)))
    with answering(NOT_FOUND) as (url, seen), pytest.raises(HistoryError) as caught:
        mirror.fetch(url, credential=TOKEN)
    encoded = base64.b64encode(f"x-access-token:{TOKEN}".encode())
    assert b"Authorization: Basic " + encoded in seen[0]
    secret = (TOKEN, encoded.decode())
    assert any("fetch" in line for line in argv)
    assert not any(word in line for word in secret for line in argv)
    assert not any(word in str(caught.value) for word in secret)
    kept = [path.read_bytes() for path in mirror.path.rglob("*") if path.is_file()]
    assert not any(word.encode() in content for word in secret for content in kept)


def test_a_redirect_is_not_followed_with_the_credential(tmp_path: Path):
    with answering(NOT_FOUND) as (elsewhere, seen_elsewhere):
        moved = f"HTTP/1.1 301 Moved\r\nLocation: {elsewhere}/info/refs\r\nContent-Length: 0\r\n\r\n".encode()
        with answering(moved) as (url, _), pytest.raises(HistoryError):
            open_mirror(tmp_path / "m.git", MirrorDials(("http",))).fetch(url, credential=TOKEN)
    assert seen_elsewhere == []


def test_a_fetch_that_hangs_is_ended(tmp_path: Path):
    mirror = open_mirror(tmp_path / "m.git", MirrorDials(("http",), timeout_s=0.5))
    start = time.monotonic()
    with answering(None) as (url, _), pytest.raises(HistoryError, match=r"longer than 0\.5 s"):
        mirror.fetch(url)
    assert time.monotonic() - start < 10


def test_two_fetches_take_turns(remote: Sandbox, tmp_path: Path):
    for n in range(3):
        open_pull(remote, n + 1, {f"a{n}.py": "a = 1\n"})
    errors: list[BaseException] = []

    def fetch() -> None:
        try:
            open_mirror(tmp_path / "m.git", FILE).fetch(url_of(remote))
        except BaseException as error:  # noqa: BLE001 - shown by the assertion below
            errors.append(error)

    threads = [threading.Thread(target=fetch) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_a_mirror_is_for_its_owner_alone(tmp_path: Path, new_sandbox: Callable[[str], Sandbox]):
    mirror = open_mirror(tmp_path / "deep" / "m.git", FILE)
    assert mirror.path.stat().st_mode & 0o077 == 0
    sandbox = new_sandbox("other")
    commit = sandbox.commit("One", {"a.py": "a = 1\n"})
    mirror.fetch(url_of(sandbox))
    assert open_mirror(mirror.path, FILE).holds(commit)
