"""Ingest on real repositories: stored once, added to, started over when history was rewritten."""

from __future__ import annotations

import gzip
import os
import subprocess
from pathlib import Path

import psutil
import pytest

from connectors import ConnectorError
from connectors.identity.author import forgotten_digest
from service.artifacts import ArtifactError
from service.flows import contributions
from service.flows.contributions import forget_contributions
from service.flows.ingest import NotIngestedError, ingest, load_ingested
from service.flows.team import TeamChoice, UnknownAuthorError, enrol, find_author
from service.settings import Settings
from tests.connectors.conftest import Sandbox


def git(repository: Path, *arguments: str, author: str = "Ann Other <ann@example.org>", day: int = 1) -> str:
    name, _, email = author.rstrip(">").partition(" <")
    stamp = f"2024-03-{day:02}T12:00:00+00:00"
    identity = {f"GIT_{role}_{what}": value for role in ("AUTHOR", "COMMITTER")
                for what, value in (("NAME", name), ("EMAIL", email), ("DATE", stamp))}  # fmt: skip
    environment = {**os.environ, **identity}
    done = subprocess.run(
        ["git", "-C", str(repository), *arguments], env=environment, capture_output=True, check=True
    )
    return done.stdout.decode()


def commit(repository: Path, path: str, text: str, message: str = "work", **who: object) -> None:
    place = repository / path
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text)
    git(repository, "add", "-A")
    git(repository, "commit", "-q", "-m", message, **who)  # pyright: ignore[reportArgumentType]


def function(name: str, n: int = 6) -> str:
    body = "".join(f"    {name}_{i} = compute_{name}({i}, scale={i * 7})\n" for i in range(n))
    return f"def {name}(value):\n{body}    return {name}_0 + value\n\n"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    place = tmp_path / "project"
    place.mkdir()
    git(place, "init", "-q", "-b", "main")
    commit(place, "a.py", function("alpha"))
    commit(place, "src/b.py", function("beta"), author="Bob Some <bob@example.org>", day=2)
    trailer = "agent work\n\nCo-Authored-By: Claude <noreply@anthropic.com>"
    commit(place, "src/c.py", function("gamma"), trailer, author="Bob Some <bob@example.org>", day=3)
    return place


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home")


def test_a_second_run_reads_only_what_is_new(repository: Path, settings: Settings):
    first = ingest(repository, settings)
    assert (first.n_new, len(list(first.store))) == (3, 3)
    assert {author.name for author in first.authors} >= {"Ann Other", "Bob Some"}
    digest = first.store.digest
    again = ingest(repository, settings)
    assert (again.n_new, again.store.digest) == (0, digest)
    commit(repository, "d.py", function("delta"), day=4)
    third = ingest(repository, settings)
    assert third.n_new == 1
    assert [item.path for item in third.store] == ["a.py", "src/b.py", "src/c.py", "d.py"]
    assert third.ledger.kept.lines == sum(item.n_added for item in third.store)
    assert list(load_ingested(repository, settings).store) == list(third.store)


def test_rewritten_history_is_read_again(repository: Path, settings: Settings):
    ingest(repository, settings)
    git(repository, "reset", "-q", "--hard", "HEAD~1")
    commit(repository, "e.py", function("epsilon"), day=5)
    found = ingest(repository, settings)
    assert found.is_restarted
    assert [item.path for item in found.store] == ["a.py", "src/b.py", "e.py"]


def test_a_torn_run_leaves_the_last_one(repository: Path, settings: Settings):
    store = ingest(repository, settings).store
    (store.directory / "part-000002.tmp").write_bytes(b"half")
    (store.directory / "part-000002.jsonl.gz").write_bytes(b"half")
    assert len(list(store)) == 3
    commit(repository, "d.py", function("delta"), day=4)
    assert ingest(repository, settings).n_new == 1
    assert len(list(store)) == 4


def test_a_run_that_fails_in_the_middle_leaves_no_git_behind(
    repository: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
):
    before = children()

    def full(*_: object) -> bytes:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(contributions.gzip.GzipFile, "write", full)
    monkeypatch.setattr(contributions, "BLOCK_BYTES", 1)
    with pytest.raises(OSError, match="No space left"):
        ingest(repository, settings)
    assert children() == before
    monkeypatch.undo()
    assert ingest(repository, settings).n_new == 3


def children() -> set[int]:
    """Processes that this one started and has not waited for."""
    return {process.pid for process in psutil.Process().children()}


def test_parts_are_the_same_however_they_are_cut(
    repository: Path, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    whole = ingest(repository, settings).store
    monkeypatch.setattr(contributions, "BLOCK_BYTES", 1)
    cut = ingest(repository, Settings(home=tmp_path / "other")).store
    assert (list(cut), cut.digest) == (list(whole), whole.digest)


def test_damage_is_named(repository: Path, settings: Settings):
    store = ingest(repository, settings).store
    part = store.directory / "part-000001.jsonl.gz"
    lines = gzip.decompress(part.read_bytes()).splitlines(keepends=True)
    part.write_bytes(gzip.compress(b"".join(lines[:-1])))
    with pytest.raises(ArtifactError, match="holds 2 contributions, expected 3"):
        list(store)
    part.write_bytes(part.read_bytes()[:20])
    with pytest.raises(ArtifactError, match="--again"):
        list(store)


def test_what_was_never_read(tmp_path: Path, settings: Settings):
    with pytest.raises(NotIngestedError, match="routeprint ingest"):
        load_ingested(tmp_path, settings)
    with pytest.raises(ConnectorError):
        ingest(tmp_path, settings)


def test_enrolment_leaves_agents_out_and_says_so(repository: Path, settings: Settings):
    found = ingest(repository, settings)
    team = enrol(found.store, found.authors, TeamChoice())
    assert {passage.path for passage in team.corpus} == {"a.py", "src/b.py"}
    assert team.left_out == {"by a declared agent": 9}
    assert enrol(found.store, found.authors, TeamChoice(with_agents=True)).left_out == {}
    below = enrol(found.store, found.authors, TeamChoice(paths=("src/*",), with_agents=True))
    assert {passage.path for passage in below.corpus} == {"src/b.py", "src/c.py"}
    bob = find_author(found.authors, "bob@example.org")
    only = enrol(found.store, found.authors, TeamChoice(authors=(bob.key,)))
    assert {passage.author for passage in only.corpus} == {bob.key}


def test_an_author_is_found_by_any_name(repository: Path, settings: Settings):
    authors = ingest(repository, settings).authors
    assert find_author(authors, "ANN other").name == "Ann Other"
    assert find_author(authors, "bob").name == "Bob Some"
    with pytest.raises(UnknownAuthorError, match="fits no author"):
        find_author(authors, "nobody")
    with pytest.raises(UnknownAuthorError, match="fits several"):
        find_author(authors, "example.org")


def test_a_squash_is_replaced_by_the_commits_it_hides(tmp_path: Path):
    root = tmp_path / "repo"
    root.mkdir()
    sandbox = Sandbox(root)
    sandbox.git("init", "-q", "-b", "main")
    code = "def read_{0}(path):\n    return open(path).read().strip() + '{0}'\n"
    sandbox.commit("Begin", {"a.py": code.format("a")})
    sandbox.git("checkout", "-q", "-b", "topic")
    sandbox.commit("One", {"b.py": code.format("b")}, "Ada <ada@acme.io>")
    head = sandbox.commit("Two", {"c.py": code.format("c")}, "Bob <bob@acme.io>")
    sandbox.git("checkout", "-q", "main")
    sandbox.git("merge", "-q", "--squash", "topic")
    squash = sandbox.commit("Topic (#7)", {}, "Ada <ada@acme.io>")
    found = ingest(root, Settings(home=tmp_path / "home"), replacing={squash: head})
    assert found.n_new == 3
    assert {author.name for author in found.authors} >= {"Ada", "Bob"}
    assert ingest(root, Settings(home=tmp_path / "home"), replacing={squash: head}).n_new == 0


def test_who_is_forgotten_is_gone_from_the_disk_and_stays_away(repository: Path, settings: Settings):
    commit(repository, "e.py", function("epsilon"), author="Bob Some <bob@example.org>", day=5)
    ingest(repository, settings)
    commit(repository, "f.py", function("zeta"), author="Cat Other <cat@example.org>", day=6)
    store = ingest(repository, settings).store
    before = store.digest
    assert forget_contributions(repository, settings, "human:bob-some") == 2
    assert {item.path: item.author for item in store} == {
        "a.py": "human:ann-other", "src/c.py": next(c.author for c in store if c.path == "src/c.py"),
        "f.py": "human:cat-other",
    }  # fmt: skip
    assert store.digest != before
    files = [path for path in store.directory.iterdir() if path.suffix in {".gz", ".json"}]
    told = b"".join(gzip.decompress(p.read_bytes()) if p.suffix == ".gz" else p.read_bytes() for p in files)
    assert b"bob@example.org" not in told and b"epsilon" not in told
    assert forget_contributions(repository, settings, "human:bob-some") == 0  # done again, nothing more
    commit(repository, "g.py", function("eta"), author="Bob Some <bob@example.org>", day=7)
    commit(repository, "h.py", function("theta"), author="Cat Other <cat@example.org>", day=8)
    later = ingest(repository, settings, forgotten=[forgotten_digest("human:bob-some")])
    assert [item.path for item in later.store][-2:] == ["f.py", "h.py"]
    assert "human:bob-some" not in {author.key for author in later.authors}
    assert b"bob@example.org" not in (store.directory / "state.json").read_bytes()
