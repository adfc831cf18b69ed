"""A pull request from webhook to check and comment, on a GitHub that remembers; only the scorer stands in."""

from __future__ import annotations

import itertools
import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from connectors.git.mirror import MirrorDials
from connectors.github.app import AppKey
from connectors.github.webhooks import Secrets, digest_of
from fingerprint.report import DriftReport
from service.api.app import create_app
from service.api.intake import PATH, Intake
from service.api.parts import Parts
from service.db.columns import now
from service.db.queries.deliveries import find_delivery
from service.db.queries.installations import find_on_github
from service.db.queries.repositories import keep_repository, number_of
from service.db.queries.reviews import list_reviews
from service.db.states import DeliveryStatus, RepositoryStatus, ReviewStatus
from service.db.tables import Repository, Review
from service.enqueue import Queue
from service.flows.ingest import load_ingested
from service.flows.registration import StoredApp
from service.jobs.github import github_work, release_checks, sweep_deliveries
from service.jobs.hub import Hub
from service.jobs.work import RepositoryTask, ReviewTask, Work
from service.jobs.worker import Worker
from service.settings import Settings
from tests.contract.github.bench import BASE
from tests.contract.github.contract import MOMENT
from tests.contract.github.fake import FakeGitHub
from tests.contract.github.server import serving
from tests.contract.github.world import APP_ID, Pull, Repo, World, private_key
from tests.service.reports.test_answer import unusual

SECRET = "a secret"
CONFIG = """stage: comment
ignore:
  - path: legacy/*
    reason: frozen since the rewrite
"""


def diff(name: str) -> str:
    """A change of a file that is scored and one that is not."""
    part = "diff --git a/{0} b/{0}\n--- a/{0}\n+++ b/{0}\n@@ -1 +1,2 @@\n import os\n+x = '{1}'\n"
    return part.format("src/app.py", name) + part.format("legacy/old.py", name)


def head(letter: str) -> str:
    return letter * 40


@dataclass
class Scorer:
    """Remembers what it was asked, and waits while it is told to."""

    asked: list[tuple[ReviewTask, str]] = field(default_factory=list)
    may_answer: threading.Event = field(default_factory=threading.Event)

    def score(self, task: ReviewTask, text: str) -> DriftReport:
        self.asked.append((task, text))
        assert self.may_answer.wait(20)
        return unusual()

    def of(self, head_sha: str) -> list[str]:
        return [text for task, text in self.asked if task.head_sha == head_sha]


@dataclass
class Scene:
    """GitHub, the API, a worker, and what lies between them."""

    fake: FakeGitHub
    repo: Repo
    worker: Worker
    work: Work
    hub: Hub
    api: TestClient
    scorer: Scorer
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def world(self) -> World:
        return self.fake.world

    def open_pull(self, number: int, letter: str, **known: Any) -> Pull:
        self.repo.pulls[number] = Pull(number, head(letter), BASE, diff=diff(letter), **known)
        return self.repo.pulls[number]

    def tell(self, event: str, payload: dict[str, Any], guid: str = "", secret: str = SECRET) -> str:
        """A webhook; returns its delivery's id, or the status if it was refused."""
        guid = guid or f"delivery-{next(self.numbers)}"
        installation = next(iter(self.world.installations))
        whole = {
            "repository": {"id": self.repo.id, "full_name": self.repo.full_name, "default_branch": "main"},
            "installation": {"id": installation}, "sender": self.fake.user("ada"), **payload,
        }  # fmt: skip
        body = json.dumps(whole).encode()
        headers = {"X-GitHub-Event": event, "X-GitHub-Delivery": guid, "Content-Type": "application/json"}
        headers |= {"X-Hub-Signature-256": digest_of(body, secret)} if secret else {}
        answer = self.api.post(PATH, content=body, headers=headers)
        return guid if answer.status_code == 202 else str(answer.status_code)

    def push(self, pull: Pull, action: str = "synchronize", guid: str = "") -> str:
        shown = self.fake.pull(self.repo, pull)
        return self.tell("pull_request", {"action": action, "pull_request": shown}, guid)

    def say(self, pull: Pull, words: str, login: str) -> None:
        comment = {"id": next(self.world.ids), "body": words, "user": self.fake.user(login)}
        issue = {"number": pull.number, "pull_request": {"url": "https://github.example"}}
        guid = self.tell("issue_comment", {"action": "created", "comment": comment, "issue": issue})
        self.settle(guid, "issue_comment")

    def press(self, pull: Pull, button: str, login: str = "ada") -> None:
        check = {"id": 1, "head_sha": pull.head_sha, "external_id": "", "app": {"id": APP_ID}}
        payload = {"action": "requested_action", "check_run": check, "sender": self.fake.user(login)}
        guid = self.tell("check_run", payload | {"requested_action": {"identifier": button}})
        self.settle(guid, "check_run")

    def settle(self, guid: str, event: str) -> None:
        """Wait until a delivery has been acted on."""

        def is_done() -> bool:
            with self.worker.database.reading() as session:
                row = find_delivery(session, guid, event)
                assert row is not None
                assert row.status is not DeliveryStatus.FAILED, row.error
                return row.status is DeliveryStatus.DONE

        self.wait(is_done)

    def wait(self, holds: Callable[[], object], seconds: float = 20) -> None:
        ends = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < ends, [(r.number, r.status, r.reason) for r in self.reviews()]
            time.sleep(0.03)

    def row(self) -> Repository:
        with self.worker.database.reading() as session:
            found = find_on_github(session, self.repo.id)
            assert found is not None
            return found

    def reviews(self, number: int | None = None) -> list[Review]:
        with self.worker.database.reading() as session:
            found = find_on_github(session, self.repo.id)
            return [] if found is None else list(list_reviews(session, number_of(found), number=number))

    def checks(self, head_sha: str) -> list[tuple[str, str | None]]:
        runs = list(self.world.check_runs.values())
        return [(run["status"], run["conclusion"]) for run in runs if run["head_sha"] == head_sha]

    def comments(self, number: int) -> list[str]:
        return [c["body"] for c in self.world.comments.values() if c["number"] == number]

    def is_answered(self, number: int, count: int = 1) -> bool:
        return sum(row.status is ReviewStatus.DONE for row in self.reviews(number)) == count


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    world = World()
    repo = world.add_repo("acme/rocket", people={"ada": "write", "eve": "read"})
    repo.files[BASE, ".routeprint.yml"] = CONFIG
    scorer = Scorer()
    with ExitStack() as stack:
        fake = stack.enter_context(serving(world))
        settings = Settings(
            home=tmp_path_factory.mktemp("home"), github_url=fake.url, github_write_pause_s=0, poll_s=0.05,
            drain_timeout_s=1,
        )  # fmt: skip
        stored = StoredApp(AppKey(APP_ID, private_key()), Secrets(SECRET), "routeprint")
        work = github_work(
            settings, stored, score=scorer.score, mirror_dials=MirrorDials(protocols=("file",))
        )
        worker = Worker.start(settings, [Queue.REVIEW, Queue.DELIVERY], work)
        stack.callback(worker.stop)
        intake = Intake(worker.database, Secrets(SECRET), worker.enqueuer.delivery, APP_ID)
        hub = Hub(settings, stored)
        stack.callback(hub.close)
        api = stack.enter_context(TestClient(create_app(Parts(worker.database, 1000, intake=intake))))
        yield Scene(fake, repo, worker, work, hub, api, scorer)


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
    tip = scene.work.ingest(task, lambda _: None)
    assert tip == scene.work.ingest(task, lambda _: None)
    assert [c.commit for c in load_ingested(task.path, scene.hub.settings).store] == [tip]
    with scene.worker.database.writing() as session:
        folder = number_of(keep_repository(session, "a folder", path=str(tmp_path)))
    assert scene.work.ingest(RepositoryTask("job", folder, "a folder", tmp_path), lambda _: None) == tip


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
