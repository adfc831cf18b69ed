"""A pull request from webhook to check and comment, on a GitHub that remembers; only the scorer stands in."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.db.columns import now
from service.db.queries.repositories import keep_repository, number_of
from service.db.states import RepositoryStatus, ReviewStatus
from service.db.tables import Review
from service.flows.ingest import load_ingested
from service.jobs.github import release_checks, sweep_deliveries
from service.jobs.work import RepositoryTask
from tests.contract.github.bench import BASE
from tests.contract.github.contract import MOMENT
from tests.flows.github_scene import Scene, head, running


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with running(tmp_path_factory.mktemp("home")) as found:
        yield found


@pytest.fixture
def scene(whole: Scene) -> Scene:
    whole.scorer.may_answer.set()
    return whole


def test_a_webhook_becomes_a_check_and_a_comment(scene: Scene):
    scene.scorer.may_answer.clear()
    guid = scene.push(pull := scene.open_pull(1, "1"), "opened")
    scene.wait(lambda: scene.scorer.of(pull.head_sha))
    assert scene.checks(pull.head_sha) == [("in_progress", None)]
    scene.scorer.may_answer.set()
    scene.wait(lambda: scene.is_answered(1))
    assert scene.checks(pull.head_sha) == [("completed", "neutral")]
    (comment,) = scene.comments(1)
    assert comment.startswith("<!-- routeprint:v1")
    (scored,) = scene.scorer.of(pull.head_sha)
    assert "src/app.py" in scored
    assert "legacy" not in scored
    (run,) = [r for r in scene.world.check_runs.values() if r["head_sha"] == pull.head_sha]
    assert "frozen since the rewrite" in json.dumps(run["output"])
    # what GitHub sends again, under the same name and under another, changes nothing
    n_requests = len([entry for entry in scene.world.log if entry[0] != "GET"])
    assert scene.push(pull, "opened", guid) == guid
    scene.settle(scene.push(pull, "opened"), "pull_request")
    assert scene.is_answered(1)
    assert len(scene.scorer.of(pull.head_sha)) == 1
    assert len([entry for entry in scene.world.log if entry[0] != "GET"]) == n_requests


def test_a_second_push_takes_the_place_of_the_first(scene: Scene):
    scene.scorer.may_answer.clear()
    first = scene.open_pull(2, "2")
    scene.push(first, "opened")
    scene.wait(lambda: scene.scorer.of(head("2")))
    second = scene.open_pull(2, "3")
    scene.settle(scene.push(second), "pull_request")
    assert scene.checks(head("2")) == [("completed", "neutral")]
    scene.scorer.may_answer.set()
    scene.wait(lambda: scene.is_answered(2))
    assert scene.checks(head("3")) == [("completed", "neutral")]
    assert {row.status for row in scene.reviews(2)} == {ReviewStatus.DONE, ReviewStatus.SUPERSEDED}
    assert len(scene.comments(2)) == 1


def test_commands_are_for_people_who_may_write(scene: Scene):
    scene.push(pull := scene.open_pull(3, "4"), "opened")
    scene.wait(lambda: scene.is_answered(3))
    scene.say(pull, "/routeprint score", "eve")
    assert len(scene.reviews(3)) == 1
    scene.say(pull, "/routeprint score", "ada")
    scene.wait(lambda: scene.is_answered(3, 2))
    assert len(scene.checks(pull.head_sha)) == 2
    scene.say(pull, "/routeprint accept", "ada")
    (comment,) = scene.comments(3)
    assert "Accepted as intended" in comment


def test_a_muted_path_is_not_scored_again(scene: Scene):
    scene.push(pull := scene.open_pull(4, "5"), "opened")
    scene.wait(lambda: scene.is_answered(4))
    scene.press(pull, "mute-path", "eve")
    assert len(scene.reviews(4)) == 1
    scene.say(pull, "/routeprint ignore a vendored file", "ada")
    scene.wait(lambda: scene.is_answered(4, 2))
    assert scene.scorer.of(pull.head_sha)[-1] == ""
    shown = json.dumps([r["output"] for r in scene.world.check_runs.values() if r["head_sha"] == head("5")])
    assert "a vendored file" in shown


def test_drafts_closed_pulls_and_merge_queues_are_answered(scene: Scene):
    draft = scene.open_pull(5, "6", draft=True)
    scene.settle(scene.push(draft, "opened"), "pull_request")
    assert scene.checks(head("6")) == [("completed", "neutral")]
    assert scene.reviews(5) == []
    scene.scorer.may_answer.clear()
    pull = scene.open_pull(6, "7")
    scene.push(pull, "opened")
    scene.wait(lambda: scene.scorer.of(head("7")))
    pull.state = "closed"
    scene.settle(scene.push(pull, "closed"), "pull_request")
    assert scene.checks(head("7")) == [("completed", "neutral")]
    scene.scorer.may_answer.set()
    assert [row.status for row in scene.reviews(6)] == [ReviewStatus.SUPERSEDED]
    group = {"head_sha": head("8"), "base_sha": BASE, "base_ref": "refs/heads/main"}
    for _ in range(2):
        scene.settle(
            scene.tell("merge_group", {"action": "checks_requested", "merge_group": group}), "merge_group"
        )
    assert scene.checks(head("8")) == [("completed", "neutral")]


def test_what_is_not_signed_is_refused(scene: Scene):
    before = len(scene.reviews())
    scene.open_pull(7, "9")
    assert scene.tell("pull_request", {"action": "opened"}, secret="") == "401"
    assert scene.tell("pull_request", {"action": "opened"}, secret="another") == "401"
    assert len(scene.reviews()) == before


def test_an_overdue_check_is_released_and_failed_deliveries_are_asked_for(scene: Scene):
    scene.scorer.may_answer.clear()
    scene.push(scene.open_pull(8, "a"), "opened")
    scene.wait(lambda: scene.scorer.of(head("a")))
    (run,) = [r for r in scene.world.check_runs.values() if r["head_sha"] == head("a")]
    run["started_at"] = MOMENT
    assert release_checks(scene.hub, scene.worker.enqueuer) == 0  # not for long enough by our own clock
    with scene.worker.database.writing() as session:
        session.get_one(Review, scene.reviews(8)[0].id).started_at = now().replace(year=2020)
    assert release_checks(scene.hub, scene.worker.enqueuer) == 1
    assert scene.checks(head("a")) == [("completed", "neutral")]
    assert [row.status for row in scene.reviews(8)] == [ReviewStatus.FAILED]
    scene.scorer.may_answer.set()
    moment = now().strftime("%Y-%m-%dT%H:%M:%SZ")
    known = {"guid": "lost", "event": "push", "status": "", "delivered_at": moment, "status_code": 502}
    scene.world.deliveries.append({"id": 77, **known})
    assert sweep_deliveries(scene.hub) == 1
    assert scene.world.attempts == [77]
    scene.world.deliveries.clear()


def test_a_history_is_read_through_a_mirror(scene: Scene, tmp_path: Path):
    scene.settle(scene.push(scene.open_pull(9, "b", draft=True), "opened"), "pull_request")

    def git(*words: str) -> None:
        who = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org")
        subprocess.run(["git", *who, *words], cwd=tmp_path, check=True, capture_output=True)

    git("init", "-b", "main")
    (tmp_path / "app.py").write_text("".join(f"value_{n} = {n}\n" for n in range(30)))
    git("add", "app.py")
    git("commit", "-m", "A file")
    scene.fake.git_urls[scene.repo.full_name] = f"file://{tmp_path}"
    row = scene.row()
    task = RepositoryTask("job", number_of(row), row.full_name, Path(row.path))
    tip = scene.work.ingest(task, lambda _: None).head
    assert tip == scene.work.ingest(task, lambda _: None).head
    assert [c.commit for c in load_ingested(task.path, scene.hub.settings).store] == [tip]
    with scene.worker.database.writing() as session:
        folder = number_of(keep_repository(session, "a folder", path=str(tmp_path)))
    assert scene.work.ingest(RepositoryTask("job", folder, "a folder", tmp_path), lambda _: None).head == tip


def test_names_and_installations_are_followed(scene: Scene):
    old, installation = scene.row(), next(iter(scene.world.installations))
    shown = {"id": scene.repo.id, "full_name": "acme/missile", "default_branch": "main"}
    renamed = {
        "action": "renamed",
        "repository": shown,
        "changes": {"repository": {"name": {"from": "rocket"}}},
    }
    scene.settle(scene.tell("repository", renamed), "repository")
    assert (scene.row().id, scene.row().full_name) == (old.id, "acme/missile")
    about = {"id": installation, "account": scene.fake.user("acme")}
    for action, status in (("suspend", "paused"), ("unsuspend", "active"), ("deleted", "removed")):
        scene.settle(scene.tell("installation", {"action": action, "installation": about}), "installation")
        assert scene.row().status is RepositoryStatus(status)
    scene.settle(scene.push(scene.open_pull(10, "c"), "opened"), "pull_request")
    assert scene.reviews(10) == []
    added = {"action": "added", "installation": about, "repositories_added": [shown]}
    scene.settle(scene.tell("installation_repositories", added), "installation_repositories")
    assert scene.row().status is RepositoryStatus.ACTIVE
