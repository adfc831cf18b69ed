"""Buttons, path teams, retries, and what merged pull requests leave, on a GitHub that remembers."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlmodel import select

from connectors.github.pulls import MergedPull
from connectors.identity.author import forgotten_digest
from service.artifacts import ArtifactStore
from service.db.queries.audit import list_newest
from service.db.queries.people import find_author, note_forgotten
from service.db.queries.pulls import UnknownMuteError, list_abandoned, list_mutes, withdraw
from service.db.queries.repositories import keep_team, number_of
from service.db.queries.signatures import NewSignature, add_version, scope_of_team
from service.db.states import AcceptanceKind, DeliveryStatus, ReviewStatus
from service.db.tables import Acceptance, Alias, Author, Delivery, PullCommit, PullRequest, ReviewThread
from service.flows import kept_pages
from service.flows.history_rows import HistoryRead, keep_rows
from service.flows.ingest import load_ingested
from service.jobs.github import PASSES
from service.jobs.github_history import _tell_of_rest
from service.jobs.work import RepositoryTask
from tests.flows.github_scene import Scene, head, running


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with running(tmp_path_factory.mktemp("home")) as found:
        yield found


@pytest.fixture
def scene(whole: Scene) -> Scene:
    whole.scorer.may_answer.set()
    whole.scorer.fails = 0
    return whole


def outputs(scene: Scene, head_sha: str) -> str:
    return json.dumps([r["output"] for r in scene.world.check_runs.values() if r["head_sha"] == head_sha])


# ------------------------------------------------------------------------------------------ buttons


def test_re_score_makes_another_answer_on_another_check(scene: Scene):
    scene.push(pull := scene.open_pull(1, "1"), "opened")
    scene.wait(lambda: scene.is_answered(1))
    scene.press(pull, "rescore", "eve")
    assert len(scene.reviews(1)) == 1
    scene.press(pull, "rescore")
    scene.wait(lambda: scene.is_answered(1, 2))
    assert scene.checks(pull.head_sha) == [("completed", "neutral")] * 2
    assert len(scene.scorer.of(pull.head_sha)) == 2
    assert len(scene.comments(1)) == 1


def test_accept_as_intended_changes_what_is_said_and_scores_nothing(scene: Scene):
    scene.push(pull := scene.open_pull(2, "2"), "opened")
    scene.wait(lambda: scene.is_answered(2))
    scene.press(pull, "accept", "eve")
    assert "Accepted as intended" not in scene.comments(2)[0]
    scene.press(pull, "accept")
    assert "Accepted as intended" in scene.comments(2)[0]
    assert "ccepted as intended" in outputs(scene, pull.head_sha)
    assert len(scene.scorer.of(pull.head_sha)) == 1
    with scene.worker.database.reading() as session:
        (kept,) = session.exec(select(Acceptance).where(Acceptance.number == 2)).all()
        assert (kept.kind, kept.fingerprint, kept.by) == (AcceptanceKind.FINDING, pull.head_sha, "ada")


def test_accepting_is_about_what_was_seen_and_not_about_what_was_pushed_since(scene: Scene):
    scene.push(pull := scene.open_pull(13, "e"), "opened")
    scene.wait(lambda: scene.is_answered(13))
    scene.say(pull, "/routeprint accept", "ada", written_at="2026-01-01T12:00:00Z")  # long before the answer
    scene.push(scene.open_pull(13, "f"))
    scene.wait(lambda: scene.is_answered(13, 2))
    scene.press(pull, "accept")  # on the check of the commit before
    with scene.worker.database.reading() as session:
        kept = session.exec(select(Acceptance.fingerprint).where(Acceptance.number == 13)).all()
    assert head("f") not in kept
    assert "Accepted as intended" not in scene.comments(13)[0]
    scene.say(pull, "/routeprint accept", "ada", written_at=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}")
    assert "Accepted as intended" in scene.comments(13)[0]


def test_mute_path_mutes_the_worst_path_for_good(scene: Scene):
    scene.push(pull := scene.open_pull(3, "3"), "opened")
    scene.wait(lambda: scene.is_answered(3))
    scene.press(pull, "mute-path")
    scene.wait(lambda: scene.is_answered(3, 2))
    with scene.worker.database.reading() as session:
        kept = session.exec(select(Acceptance).where(Acceptance.kind == AcceptanceKind.PATH)).all()
    (mute,) = [row for row in kept if row.number is None]
    assert mute.reason == "muted by ada"
    muted = mute.path
    later = scene.open_pull(4, "4", path=muted)
    scene.push(later, "opened")
    scene.wait(lambda: scene.is_answered(4))
    assert scene.scorer.of(later.head_sha) == [""]
    with scene.worker.database.writing() as session:
        assert list_newest(session)[0].who == "ada on GitHub"
        (mute_again,) = list_mutes(session, mute.repository_id)
        assert withdraw(session, mute.repository_id, mute_again.id or 0).path == muted
        assert list_mutes(session, mute.repository_id) == []
        with pytest.raises(UnknownMuteError):
            withdraw(session, mute.repository_id, mute_again.id or 0)


def test_explain_shows_every_finding_once_in_the_one_comment(scene: Scene):
    scene.push(pull := scene.open_pull(5, "5"), "opened")
    scene.wait(lambda: scene.is_answered(5))
    (before,) = scene.comments(5)
    scene.say(pull, "/routeprint explain", "eve")
    assert scene.comments(5) == [before]
    scene.say(pull, "/routeprint explain", "ada")
    (after,) = scene.comments(5)
    assert len(after) > len(before)
    assert after.startswith(before.splitlines()[0])
    assert len(scene.scorer.of(pull.head_sha)) == 1


# --------------------------------------------------------------------------------- pages and retries


def test_a_check_links_to_its_page_which_holds_the_diff(scene: Scene):
    scene.push(pull := scene.open_pull(6, "6"), "opened")
    scene.wait(lambda: scene.is_answered(6))
    (row,) = scene.reviews(6)
    (run,) = [r for r in scene.world.check_runs.values() if r["head_sha"] == pull.head_sha]
    assert run["details_url"] == f"https://routeprint.example/reviews/{row.id}"
    kept = kept_pages.find_review(ArtifactStore(scene.hub.settings.home), row.job_id)
    assert kept is not None
    assert {patch.path for patch in kept.patches} == {"src/app.py", "legacy/old.py"}
    assert kept.subject.startswith("#6 (")


def test_a_review_that_failed_says_why_and_its_retry_leaves_one_check(scene: Scene):
    scene.scorer.fails = 1
    scene.push(pull := scene.open_pull(7, "7"), "opened")
    scene.wait(lambda: scene.reviews(7) and scene.reviews(7)[0].status is ReviewStatus.FAILED)
    (row,) = scene.reviews(7)
    assert row.reason == "the model is on fire"
    assert scene.checks(pull.head_sha) == [("in_progress", None)]
    scene.worker.enqueuer.retry(row.job_id)
    scene.wait(lambda: scene.is_answered(7))
    assert scene.checks(pull.head_sha) == [("completed", "neutral")]
    with scene.worker.database.reading() as session:
        assert list_abandoned(session) == []


def test_what_went_wrong_is_told_after_the_last_try(scene: Scene, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("service.jobs.attempt.FIRST_PAUSE_S", 0.01)
    pull = scene.open_pull(8, "8")
    scene.scorer.may_answer.clear()
    scene.push(pull, "opened")
    scene.wait(lambda: scene.scorer.of(pull.head_sha))
    installation = next(iter(scene.world.installations.values()))
    installation.permissions.pop("checks")  # taken away while it was scored
    scene.world.tokens.clear()
    scene.scorer.may_answer.set()
    scene.wait(lambda: scene.reviews(8)[0].status is ReviewStatus.FAILED)
    installation.permissions["checks"] = "write"
    scene.world.tokens.clear()
    reason = scene.reviews(8)[0].reason
    assert "permissions requested are not granted" in reason
    assert "retries" not in reason


def test_what_a_limit_of_github_stopped_goes_on_by_itself(scene: Scene, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("service.enqueue.FIRST_PAUSE", timedelta(0))
    asking, limited = scene.worker.enqueuer, {"headers": {"retry-after": "3000"}}
    scene.world.fail("GET", "/pulls/12", 429, times=4, **limited)
    guid = scene.push(pull := scene.open_pull(12, "c"), "opened")
    scene.wait(lambda: delivery(scene, guid).status is DeliveryStatus.FAILED)
    assert "try again in 3000 s" in delivery(scene, guid).error
    scene.world.fail("POST", "/check-runs", 429, **limited)
    assert asking.deliveries_again() == 1
    scene.wait(lambda: scene.reviews(12) and scene.reviews(12)[0].status is ReviewStatus.FAILED)
    assert delivery(scene, guid).body is None
    assert scene.checks(pull.head_sha) == []
    assert asking.reviews_again(PASSES) == 1
    scene.wait(lambda: scene.is_answered(12))
    assert scene.checks(pull.head_sha) == [("completed", "neutral")]


def delivery(scene: Scene, guid: str) -> Delivery:
    with scene.worker.database.reading() as session:
        return session.exec(select(Delivery).where(Delivery.guid == guid)).one()


# ---------------------------------------------------------------------------------------- path teams


def test_a_pull_request_is_scored_against_the_team_of_its_paths(scene: Scene):
    repository = number_of(scene.row())
    made = NewSignature(repository, scope_of_team("app"), "profile", "artifact", "base", "c", "c0ffee", 9, {})
    with scene.worker.database.writing() as session:
        keep_team(session, repository, "app", ["src/*"])
        keep_team(session, repository, "untaught", ["legacy/*", "docs/*", "src/*"])
        add_version(session, made)
    try:
        for number, letter, paths, team in (
            (9, "9", ("src/app.py", "src/b.py", "docs/a.py"), "app"),
            (10, "a", ("src/app.py", "docs/a.py"), ""), (11, "b", ("docs/a.py",), ""),
        ):  # fmt: skip
            scene.push(pull := scene.open_pull(number, letter, path=paths), "opened")
            scene.wait(lambda n=number: scene.is_answered(n))
            (row,) = scene.reviews(number)
            assert (row.team, row.signature_version) == (team, 1 if team else 0)
            (scored,) = scene.scorer.of(pull.head_sha)
            assert ("docs/a.py" in scored) == (team == "")
        assert "outside the paths of team app" in outputs(scene, head("9"))
    finally:
        with scene.worker.database.writing() as session:
            keep_team(session, repository, "app", [])


# ------------------------------------------------------------------------------ squashes, people, labels


def git(place: Path, *words: str, author: str = "Ada Lovelace <ada@example.org>", day: int = 1) -> str:
    name, _, email = author.rstrip(">").partition(" <")
    identity = {"GIT_AUTHOR_NAME": name, "GIT_AUTHOR_EMAIL": email, "GIT_COMMITTER_NAME": "GitHub",
                "GIT_COMMITTER_EMAIL": "noreply@github.com", "GIT_CONFIG_GLOBAL": "/dev/null",
                "HOME": str(place),
                "GIT_AUTHOR_DATE": f"2026-01-{day:02}T12:00:00Z",
                "GIT_COMMITTER_DATE": f"2026-01-{day:02}T12:00:00Z", "PATH": "/usr/bin:/bin"}  # fmt: skip
    done = subprocess.run(["git", "-C", str(place), *words], env=identity, check=True, capture_output=True)
    return done.stdout.decode().strip()


def commit(place: Path, path: str, author: str, message: str, day: int) -> str:
    stem = Path(path).stem
    text = "".join(f"{stem}_{n} = compute_{stem}({n}, scale={n * 7})\n" for n in range(12))
    (place / path).write_text(text)
    git(place, "add", "-A")
    git(place, "commit", "-q", "-m", message, author=author, day=day)
    return git(place, "rev-parse", "HEAD")


BOB = "Bob Some <2+bob@users.noreply.github.com>"
CAT = "Cat Other <cat@example.org>"


def squashed(scene: Scene, place: Path) -> tuple[str, str, str]:
    """Bob and Cat work on a branch; Ada's button squashes it under Bob's name. (own, own, squash) commits."""
    git(place, "init", "-q", "-b", "main")
    base = commit(place, "start.py", "Ada Lovelace <ada@example.org>", "Begin", 1)
    git(place, "checkout", "-q", "-b", "topic")
    own = [commit(place, f"{name}.py", who, f"Add {name}", day)
           for name, who, day in (("bobs", BOB, 2), ("cats", CAT, 3))]  # fmt: skip
    git(place, "update-ref", "refs/pull/20/head", own[-1])
    git(place, "checkout", "-q", "main")
    git(place, "merge", "-q", "--squash", "topic")
    git(place, "commit", "-q", "-m", "Both (#20)", author=BOB, day=4)
    merged = git(place, "rev-parse", "HEAD")
    git(place, "branch", "-q", "-D", "topic")
    git(place, "config", "uploadpack.hideRefs", "refs/none")
    pull = scene.open_pull(20, "d")
    pull.head_sha, pull.base_sha, pull.merge_commit_sha, pull.user = own[-1], base, merged, "bob"
    pull.state, pull.merged_at = "closed", "2026-01-04T12:00:00Z"
    scene.world.users["bob"] = 2
    pull.commits = [
        {"sha": sha, "message": "m", "date": "2026-01-02T12:00:00Z", "name": who.split(" <")[0],
         "email": who.split("<")[1][:-1], "login": login}
        for sha, who, login in zip(own, (BOB, CAT), ("bob", None), strict=True)
    ]  # fmt: skip
    remark = [{"body": "nit: we never abbreviate here", "user": "bob"}]
    pull.threads = [
        {"id": "T1", "isResolved": True, "path": "cats.py", "line": 3, "comments": remark},
        {"id": "T2", "isResolved": False, "path": "cats.py", "line": 4, "comments": remark},
        {"id": "T3", "isResolved": True, "path": "cats.py", "line": None,
         "comments": [{"body": "this overflows", "user": "bob"}]},
    ]  # fmt: skip
    scene.fake.git_urls[scene.repo.full_name] = f"file://{place}"
    return own[0], own[1], merged


def read(scene: Scene, forgotten: tuple[str, ...] = ()) -> tuple[RepositoryTask, HistoryRead]:
    row = scene.row()
    task = RepositoryTask("job", number_of(row), row.full_name, Path(row.path), forgotten=forgotten)
    return task, scene.work.ingest(task, lambda _: None)


def test_a_squash_is_learned_from_its_own_commits_and_leaves_labels(scene: Scene, tmp_path: Path):
    first, second, merged = squashed(scene, tmp_path)
    task, found = read(scene)
    stored = list(load_ingested(task.path, scene.hub.settings).store)
    assert {(c.commit, c.author) for c in stored if c.path != "start.py"} == {
        (first, "human:bob-some"), (second, "human:cat-other"),
    }  # fmt: skip
    assert merged not in {c.commit for c in stored}
    for _ in range(2):  # done again, nothing is there twice
        with scene.worker.database.writing() as session:
            keep_rows(session, task.repository_id, found, ())
    with scene.worker.database.reading() as session:
        pull = session.exec(select(PullRequest).where(PullRequest.number == 20)).one()
        assert (pull.author_key, pull.merge_commit_sha) == ("human:bob-some", merged)
        rows = session.exec(select(PullCommit).where(PullCommit.pull_request_id == pull.id)).all()
        told = [(r.sha, r.author_key, r.label) for r in sorted(rows, key=lambda r: r.position)]
        assert told == [
            (first, "human:bob-some", "undeclared"), (second, "human:cat-other", "undeclared"),
        ]  # fmt: skip
        (thread,) = session.exec(select(ReviewThread)).all()
        assert (thread.node_id, thread.path, thread.line, thread.body) == ("T1", "cats.py", 3, None)
        assert (thread.is_resolved, thread.author_key) == (True, "human:bob-some")
        assert find_author(session, task.repository_id, "human:bob-some").github_id == 2
        assert "cat@example.org" in [a.email for a in session.exec(select(Alias)).all()]


def test_a_thread_resolved_after_the_merge_is_a_label_until_it_is_opened_again(scene: Scene):
    def tell(
        action: str, number: int, said: str = "nit: we never abbreviate", login: str = "bob"
    ) -> list[str]:
        first = {"path": "cats.py", "line": 4, "body": said, "user": scene.fake.user(login)}
        thread = {"node_id": f"T-{number}-{said[:3]}", "comments": [first]}
        payload = {"action": action, "pull_request": {"number": number}, "thread": thread}
        scene.settle(scene.tell("pull_request_review_thread", payload), "pull_request_review_thread")
        with scene.worker.database.reading() as session:
            found = session.exec(select(ReviewThread).where(ReviewThread.node_id != "T1")).all()
            return [f"{one.node_id} {one.author_key} {one.line}" for one in found]

    assert tell("resolved", 20, "this overflows") == [], "not about style"
    assert tell("resolved", 13) == [], "it comes in when it is merged"
    assert tell("resolved", 20) == tell("resolved", 20) == ["T-20-nit human:bob-some 4"]
    assert tell("unresolved", 20) == []


def test_what_a_page_of_pull_requests_lacks_is_said(caplog: pytest.LogCaptureFixture):
    moment = datetime(2026, 1, 5, tzinfo=UTC)
    whole = MergedPull(7, "t", None, "main", "", "h", "m", moment, moment, (), 0, (), 0)
    _tell_of_rest("acme/rocket", [whole])
    assert caplog.messages == []
    _tell_of_rest(
        "acme/rocket", [whole, replace(whole, n_threads=31), replace(whole, number=8, n_commits=101)]
    )
    assert caplog.messages == [
        "acme/rocket: only the first 30 review threads are labels of #7",
        "acme/rocket: only the first 100 commits are listed of #8",
    ]


def test_nothing_is_written_of_who_asked_to_be_forgotten(scene: Scene):
    task, found = read(scene)
    with scene.worker.database.writing() as session:
        cat = find_author(session, task.repository_id, "human:cat-other")
        session.delete(cat)
        note_forgotten(session, task.repository_id, "human:cat-other")
        keep_rows(session, task.repository_id, found, [forgotten_digest("human:cat-other")])
    with scene.worker.database.reading() as session:
        assert "human:cat-other" not in [a.key for a in session.exec(select(Author)).all()]
        rows = session.exec(select(PullCommit)).all()
        assert "human:cat-other" not in [row.author_key for row in rows]
