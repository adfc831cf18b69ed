"""Pull requests from the API and in bulk; squashes, merges and rebases in real repositories."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from graphql import DocumentNode, FieldNode, OperationDefinitionNode, parse, validate
from graphql.language import IntValueNode, VariableNode

from connectors.git.history import read_history
from connectors.git.mirror import Mirror, MirrorDials, open_mirror
from connectors.github import GoneError, RateLimitedError, RefusedError
from connectors.github.merges import Merge, how_merged, squashes
from connectors.github.pulls import (
    MergedPull,
    StaleHeadError,
    all_merged_pulls,
    check_head,
    merged_pulls,
    read_base_file,
    read_patches,
    read_pull_state,
)
from connectors.github.queries import MERGED_PULLS
from connectors.github.threads import style_remarks
from connectors.ledger import DropReason
from tests.connectors.conftest import Sandbox
from tests.contract.github.bench import HEAD
from tests.contract.github.graph import schema
from tests.contract.github.world import Pull

REPO = "acme/rocket"
FILE = MirrorDials(protocols=("file",))
DIFF = """diff --git a/app.py b/app.py
--- a/app.py
+++ b/app.py
@@ -1 +1,2 @@
 x = 1
+y = 2
"""


# ------------------------------------------------------------------------------------------- the query


def cost_and_nodes(query: str, **variables: int) -> tuple[int, int]:
    """GitHub's formula: docs.github.com/graphql/overview/rate-limits-and-query-limits-for-the-graphql-api"""

    def first(field: FieldNode) -> int | None:
        for argument in field.arguments or ():
            if argument.name.value == "first":
                value = argument.value
                assert isinstance(value, IntValueNode | VariableNode)
                return int(value.value) if isinstance(value, IntValueNode) else variables[value.name.value]
        return None

    def walk(selections: Any, times: int) -> tuple[int, int]:
        requests = nodes = 0
        for field in (f for f in selections if isinstance(f, FieldNode)):
            count = first(field)
            inner = times * count if count else times
            requests += times if count else 0
            nodes += inner if count else 0
            if field.selection_set:
                more = walk(field.selection_set.selections, inner)
                requests, nodes = requests + more[0], nodes + more[1]
        return requests, nodes

    document: DocumentNode = parse(query)
    operation = document.definitions[0]
    assert isinstance(operation, OperationDefinitionNode)
    requests, nodes = walk(operation.selection_set.selections, 1)
    return max(1, round(requests / 100)), nodes


def test_the_query_is_valid_and_has_its_price():
    assert validate(schema(), parse(MERGED_PULLS)) == []
    assert cost_and_nodes(MERGED_PULLS, count=50) == (16, 14_050)


def test_a_misspelt_field_is_caught():
    assert validate(schema(), parse(MERGED_PULLS.replace("isResolved", "isResolvd")))


# ----------------------------------------------------------------------------------------- one of them


def add_files(pull: Pull, n: int) -> None:
    pull.files = [{"filename": f"f{k}.py", "status": "modified", "additions": 1} for k in range(n)]


def test_a_pull_as_it_is_now(bench):
    repo = bench.repo()
    add_files(repo.pulls[1], 3)
    state = read_pull_state(bench.client(repo), REPO, 1)
    assert (state.pull.head_sha, state.n_files, state.repository.id) == (HEAD, 3, repo.id)
    assert state.clone_url.endswith("acme/rocket.git")
    with pytest.raises(GoneError):
        read_pull_state(bench.client(repo), REPO, 2)


def test_a_small_diff_comes_from_the_api(bench):
    repo = bench.repo()
    repo.pulls[1].diff = DIFF
    client = bench.client(repo)
    (patch,) = read_patches(client, REPO, read_pull_state(client, REPO, 1), None)
    assert patch.hunks[0].added == ("y = 2",)


@pytest.mark.parametrize("change", [{"head_sha": "d" * 40}, {"base_ref": "other"}, {"state": "closed"}])
def test_a_diff_of_another_head_is_not_taken(bench, change):
    repo = bench.repo()
    repo.pulls[1].diff = DIFF
    client = bench.client(repo)
    state = read_pull_state(client, REPO, 1)
    check_head(client, REPO, state)
    for name, value in change.items():
        setattr(repo.pulls[1], name, value)
    with pytest.raises(StaleHeadError):
        read_patches(client, REPO, state, None)


def test_an_unchanged_head_costs_nothing(bench):
    client = bench.client()
    state = read_pull_state(client, REPO, 1)
    used = bench.world.rate_used
    check_head(client, REPO, state)
    assert bench.world.rate_used == used


@pytest.mark.parametrize("n_files", [3, 350])
def test_a_large_diff_comes_from_the_mirror(bench, sandbox: Sandbox, tmp_path: Path, n_files):
    base = sandbox.commit("Begin", {"app.py": "x = 1\n"})
    head = sandbox.commit("Change", {f"f{k}.py": f"v = {k}\n" for k in range(n_files)})
    mirror = fetched(sandbox, tmp_path)
    repo = bench.repo()
    pull = repo.pulls[1]
    pull.head_sha, pull.base_sha, pull.diff = head, base, None
    add_files(pull, n_files)
    client = bench.client(repo)
    state = read_pull_state(client, REPO, 1)
    assert len(read_patches(client, REPO, state, mirror)) == n_files
    with pytest.raises(RefusedError):
        read_patches(client, REPO, state, None)


def test_the_configuration_is_read_from_the_base(bench):
    repo = bench.repo(
        files={("base-sha", ".routeprint.yml"): "stage: gate\n", (HEAD, ".routeprint.yml"): "evil"}
    )
    client = bench.client(repo)
    assert read_base_file(client, REPO, ".routeprint.yml", "base-sha") == "stage: gate\n"
    with pytest.raises(GoneError):
        read_base_file(client, REPO, ".routeprint.yml", "other")


# --------------------------------------------------------------------------------------------- in bulk


def merged(number: int, **more: Any) -> Pull:
    known: dict[str, Any] = {"state": "closed", "merged_at": f"2026-01-05T09:{number % 60:02}:00Z", **more}
    return Pull(number, f"{number:040x}", "b" * 40, merge_commit_sha=f"{number + 7000:040x}", **known)


def commit(n: int, **more: Any) -> dict[str, Any]:
    return {"sha": f"{n:040x}", "name": "Ada", "email": "ada@acme.io", "message": f"Change {n}",
            "date": "2026-01-05T09:00:00Z", "login": "ada", **more}  # fmt: skip


def thread(body: str, *, user: str | None = "eve", resolved: bool = True) -> dict[str, Any]:
    return {"id": f"T-{body[:4]}", "isResolved": resolved, "path": "app.py", "line": 3,
            "comments": [{"body": body, "user": user}]}  # fmt: skip


def test_pages_are_read_to_their_end(bench):
    repo = bench.repo()
    repo.pulls |= {n: merged(n) for n in range(10, 130)}
    client = bench.client(repo)
    page = merged_pulls(client, REPO)
    assert (len(page.pulls), page.cost, page.repository.id) == (50, 16, repo.id)
    assert [p.number for p in all_merged_pulls(client, REPO)] == list(range(129, 9, -1))
    assert merged_pulls(client, REPO, after=page.cursor).pulls[0].number == 79


def test_commits_threads_and_people(bench):
    repo = bench.repo()
    commits = [commit(1), commit(2, login=None, message="Body\n\nCo-authored-by: X <x@y.z>")]
    repo.pulls[7] = merged(7, user="helper[bot]", commits=commits, threads=[thread("nit: rename", user=None)])
    (pull,) = merged_pulls(bench.client(repo), REPO).pulls
    assert pull.author is not None
    assert (pull.author.login, pull.author.is_bot) == ("helper[bot]", True)
    assert [c.account.login if c.account else None for c in pull.commits] == ["ada", None]
    assert pull.commits[1].message.endswith("<x@y.z>")
    assert (pull.n_commits, pull.n_threads) == (2, 1)
    assert pull.threads[0].comments[0].author is None


def test_resolved_style_remarks_are_labels(bench):
    repo = bench.repo()
    repo.pulls[7] = merged(7, threads=[
        thread("nit: we usually call this ctx"), thread("prefer pathlib here", resolved=False),
        thread("This overflows for negative n"), thread("style: sort imports", user="lint[bot]"),
        thread("Naming is inconsistent", user=None),
    ])  # fmt: skip
    (pull,) = merged_pulls(bench.client(repo), REPO).pulls
    assert [(r.pull, r.thread, r.path, r.line) for r in style_remarks(pull)] == [(7, "T-nit:", "app.py", 3)]


@pytest.mark.parametrize(
    ("commit_sha", "more", "began"),
    [
        ("c" * 40, {"originalLine": 8, "line": None}, (8, "c" * 40)),
        ("c" * 40, {"line": 5}, (5, f"{7:040x}")),
        (None, {"originalLine": 8, "line": 5}, (5, f"{7:040x}")),
        ("c" * 40, {"originalLine": 8, "diffSide": "LEFT"}, (0, "c" * 40)),
    ],
    ids=["told", "no line then", "no commit then", "on a deleted line"],
)
def test_a_remark_knows_where_it_began(bench, commit_sha, more, began):
    repo = bench.repo()
    said = {"body": "nit: shorter", "user": "eve"} | ({"commit": commit_sha} if commit_sha else {})
    repo.pulls[7] = merged(7, threads=[thread("nit: shorter") | more | {"comments": [said]}])
    (pull,) = merged_pulls(bench.client(repo), REPO).pulls
    assert [(r.line, r.commit_sha) for r in style_remarks(pull)] == [began]


def test_bulk_faults(bench):
    repo = bench.repo()
    repo.pulls[7] = merged(7)
    client = bench.client(repo)
    bench.world.fail("POST", "graphql", 502)
    assert merged_pulls(client, REPO).pulls
    limited = {"errors": [{"type": "RATE_LIMITED", "message": "API rate limit exceeded"}]}
    bench.world.fail("POST", "graphql", 200, body=limited, headers={"Retry-After": "3000"})
    with pytest.raises(RateLimitedError):
        merged_pulls(client, REPO)
    gone = {"data": None, "errors": [{"type": "NOT_FOUND", "message": "Could not resolve to a Repository"}]}
    bench.world.fail("POST", "graphql", 200, body=gone)
    with pytest.raises(GoneError):
        merged_pulls(client, REPO)


def test_a_renamed_repository_is_found_in_bulk(bench):
    repo = bench.repo()
    repo.pulls[7] = merged(7)
    bench.world.repos["acme/moon"] = bench.world.repos.pop(REPO)
    repo.name = "moon"
    bench.world.renamed[REPO] = "acme/moon"
    assert merged_pulls(bench.client(repo), REPO).repository.full_name == "acme/moon"


# -------------------------------------------------------------------------------------- how it was merged


def fetched(sandbox: Sandbox, tmp_path: Path) -> Mirror:
    mirror = open_mirror(tmp_path / "mirror.git", FILE)
    mirror.fetch(f"file://{sandbox.root}")
    return mirror


CODE = "def read_{0}(path):\n    handle = open(path)\n    return handle.read().strip() + '{0}'\n"


def work(sandbox: Sandbox, number: int, n_commits: int = 2) -> str:
    """A pull request of Ada's and Bob's commits; main goes on meanwhile."""
    sandbox.git("checkout", "-q", "-B", "topic", "main")
    for k in range(n_commits):
        who = ("Ada <ada@acme.io>", "Bob <bob@acme.io>")[k % 2]
        sandbox.commit(f"Topic {number}.{k}", {f"topic_{number}_{k}.py": CODE.format(f"{number}_{k}")}, who)
    head = sandbox.git("rev-parse", "HEAD")
    sandbox.git("update-ref", f"refs/pull/{number}/head", head)
    sandbox.git("checkout", "-q", "main")
    sandbox.commit(
        f"Main {number}", {f"main_{number}.py": CODE.format(f"main_{number}")}, "Cyd <cyd@acme.io>"
    )
    return head


IDENTITY = {f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER")
            for what, value in (("NAME", "GitHub"), ("EMAIL", "noreply@github.com"))}  # fmt: skip


def finish(sandbox: Sandbox, number: int, head: str, kind: Merge) -> MergedPull:
    if kind is Merge.MERGE:
        sandbox.git("merge", "-q", "--no-ff", "-m", f"Merge #{number}", head, env=IDENTITY)
    elif kind is Merge.SQUASH:
        sandbox.git("merge", "-q", "--squash", head, env=IDENTITY)
        sandbox.commit(f"Topic ({number})\n\nCo-authored-by: Bob <bob@acme.io>", {}, "Ada <ada@acme.io>")
    else:
        picked = sandbox.git("rev-list", "--reverse", head, "--not", "main").split()
        for sha in picked:
            env = {name: value for name, value in IDENTITY.items() if "COMMITTER" in name}
            sandbox.git("cherry-pick", sha, env=env)
    return pull_of(number, head, sandbox.git("rev-parse", "main"))


def pull_of(number: int, head: str, merge: str) -> MergedPull:
    from datetime import UTC, datetime

    moment = datetime(2026, 1, 5, tzinfo=UTC)
    return MergedPull(number, "t", None, "main", "", head, merge, moment, moment, (), 0, (), 0)


@pytest.mark.parametrize("kind", [Merge.MERGE, Merge.SQUASH, Merge.REBASE])
@pytest.mark.parametrize("n_commits", [1, 3])
def test_every_way_to_merge_is_read_once(sandbox: Sandbox, tmp_path: Path, kind: Merge, n_commits: int):
    sandbox.commit("Begin", {"app.py": CODE.format("app")}, "Cyd <cyd@acme.io>")
    pull = finish(sandbox, 5, work(sandbox, 5, n_commits), kind)
    mirror = fetched(sandbox, tmp_path)
    assert how_merged(mirror, pull) is kind
    replacing = squashes(mirror, [pull], pull.merge_sha)
    assert bool(replacing) == (kind is Merge.SQUASH)
    stream = read_history(mirror.path, rev="refs/heads/main", replacing=replacing)
    found = list(stream)
    lines = Counter(c.path for c in found)
    topic = [c for c in found if c.path.startswith("topic")]
    assert set(lines.values()) == {1}
    assert len(topic) == n_commits
    names = {stream.authors[c.author].name for c in topic}
    assert names == ({"Ada"} if n_commits == 1 else {"Ada", "Bob"})
    tally = stream.ledger.dropped.get(DropReason.SQUASHED)
    assert (tally is not None and tally.commits == 1) == (kind is Merge.SQUASH)


def test_later_runs_read_nothing_twice(sandbox: Sandbox, tmp_path: Path):
    sandbox.commit("Begin", {"app.py": CODE.format("app")}, "Cyd <cyd@acme.io>")
    first = finish(sandbox, 5, work(sandbox, 5), Merge.SQUASH)
    mirror = fetched(sandbox, tmp_path)
    stream = read_history(
        mirror.path, rev="refs/heads/main", replacing=squashes(mirror, [first], first.merge_sha)
    )
    before = [c.path for c in stream]
    second = finish(sandbox, 6, work(sandbox, 6), Merge.SQUASH)
    mirror.fetch(f"file://{sandbox.root}")
    both = squashes(mirror, [first, second], second.merge_sha)
    state = type(stream.state).from_json(stream.state.to_json())
    later = read_history(mirror.path, rev="refs/heads/main", since=state, replacing=both)
    after = [c.path for c in later]
    assert sorted(before) == ["app.py", "main_5.py", "topic_5_0.py", "topic_5_1.py"]
    assert sorted(after) == ["main_6.py", "topic_6_0.py", "topic_6_1.py"]
    again = read_history(mirror.path, rev="refs/heads/main", since=later.state, replacing=both)
    assert list(again) == []


def test_a_squash_that_was_read_as_it_is_stays_so(sandbox: Sandbox, tmp_path: Path):
    sandbox.commit("Begin", {"app.py": CODE.format("app")}, "Cyd <cyd@acme.io>")
    pull = finish(sandbox, 5, work(sandbox, 5), Merge.SQUASH)
    mirror = fetched(sandbox, tmp_path)
    stream = read_history(mirror.path, rev="refs/heads/main")
    assert sorted(c.path for c in stream) == ["app.py", "main_5.py", "topic_5_0.py", "topic_5_1.py"]
    later = read_history(
        mirror.path,
        rev="refs/heads/main",
        since=stream.state,
        replacing=squashes(mirror, [pull], pull.merge_sha),
    )
    assert list(later) == []


def test_a_squash_whose_head_is_lost_is_read_as_it_is(sandbox: Sandbox, tmp_path: Path):
    sandbox.commit("Begin", {"app.py": CODE.format("app")})
    pull = finish(sandbox, 5, work(sandbox, 5), Merge.SQUASH)
    sandbox.git("update-ref", "-d", "refs/pull/5/head")
    sandbox.git("branch", "-q", "-D", "topic")
    mirror = fetched(sandbox, tmp_path)
    assert how_merged(mirror, pull) is Merge.UNKNOWN
    assert squashes(mirror, [pull], pull.merge_sha) == {}
    assert "topic_5_0.py" in {c.path for c in read_history(mirror.path, rev="refs/heads/main")}


def test_a_squash_onto_another_branch_is_not_this_ones(sandbox: Sandbox, tmp_path: Path):
    sandbox.commit("Begin", {"app.py": CODE.format("app")})
    tip = sandbox.git("rev-parse", "main")
    head = work(sandbox, 5)
    sandbox.git("checkout", "-q", "-b", "release")
    pull = finish(sandbox, 5, head, Merge.SQUASH)
    release = sandbox.git("rev-parse", "release")
    sandbox.git("checkout", "-q", "main")
    mirror = fetched(sandbox, tmp_path)
    there = pull_of(5, head, release)
    assert how_merged(mirror, there) is Merge.SQUASH
    assert squashes(mirror, [there], tip) == {}
    assert squashes(mirror, [there], release) == {release: head}
    assert pull.number == 5
