"""GitHub, the API and a worker around one repository; only the scorer stands in."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient

from connectors.git.mirror import MirrorDials
from connectors.github.app import AppKey
from connectors.github.webhooks import Secrets, digest_of
from fingerprint.report import DriftReport
from service.api.app import create_app
from service.api.intake import PATH, Intake
from service.api.parts import Parts
from service.db.queries.deliveries import find_delivery
from service.db.queries.installations import find_on_github
from service.db.queries.repositories import number_of
from service.db.queries.reviews import list_reviews
from service.db.states import DeliveryStatus, ReviewStatus
from service.db.tables import Repository, Review
from service.enqueue import Queue
from service.flows.registration import StoredApp
from service.jobs.github import github_work
from service.jobs.hub import Hub
from service.jobs.work import ReviewTask, Work
from service.jobs.worker import Worker
from service.settings import Settings
from tests.contract.github.bench import BASE
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


def diff(name: str, paths: Sequence[str] = ("src/app.py", "legacy/old.py")) -> str:
    """A change of files, by default of one that is scored and one that is not."""
    part = "diff --git a/{0} b/{0}\n--- a/{0}\n+++ b/{0}\n@@ -1 +1,2 @@\n import os\n+x = '{1}'\n"
    return "".join(part.format(path, name) for path in paths)


def head(letter: str) -> str:
    return letter * 40


@dataclass
class Scorer:
    """Remembers what it was asked, and waits while it is told to."""

    asked: list[tuple[ReviewTask, str]] = field(default_factory=list)
    may_answer: threading.Event = field(default_factory=threading.Event)
    fails: int = 0

    def score(self, task: ReviewTask, text: str) -> DriftReport:
        self.asked.append((task, text))
        assert self.may_answer.wait(20)
        if self.fails:
            self.fails -= 1
            raise RuntimeError("the model is on fire")
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

    def open_pull(self, number: int, letter: str, path: str | Sequence[str] = (), **known: Any) -> Pull:
        paths = (path,) if isinstance(path, str) else path
        text = diff(letter, paths) if paths else diff(letter)
        self.repo.pulls[number] = Pull(number, head(letter), BASE, diff=text, **known)
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

    def say(self, pull: Pull, words: str, login: str, written_at: str = "") -> None:
        comment = {"id": next(self.world.ids), "body": words, "user": self.fake.user(login)}
        comment |= {"created_at": written_at} if written_at else {}
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


@contextmanager
def running(home: Path) -> Iterator[Scene]:
    """The whole of it, on a database of its own."""
    world = World()
    repo = world.add_repo("acme/rocket", people={"ada": "write", "eve": "read"})
    repo.files[BASE, ".routeprint.yml"] = CONFIG
    scorer = Scorer()
    with ExitStack() as stack:
        fake = stack.enter_context(serving(world))
        settings = Settings(
            home=home, github_url=fake.url, github_write_pause_s=0, poll_s=0.05,
            drain_timeout_s=1, public_url="https://routeprint.example",
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
