"""Work that leaves traces, takes its time and can be ordered to die: for killing real workers at every step.

GitHub is a folder: a file for every check run and comment that was ever created, so that nothing can be
published twice unseen.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from connectors.github.events import Event
from fingerprint.report import DriftReport, Verdict
from fingerprint.storage import write_json
from service import ServiceError
from service.artifacts import ArtifactStore, read_json
from service.db.queries.jobs import JobProgress
from service.enqueue import Queue
from service.flows.history_rows import HistoryRead
from service.jobs.work import (
    Learned,
    Published,
    PullNow,
    RepositoryTask,
    ReviewPorts,
    ReviewTask,
    Rolled,
    Tell,
    Work,
)
from service.jobs.worker import run_worker
from service.settings import Settings

STEPS = 6
CHECKPOINT_EVERY = 2
ADAPTERS = ("team", "author-a", "author-b")
REVIEW_POINTS = (
    "read:before", "read:after", "diff:before", "diff:after", "score:before", "score:after", "publish:before",
    "publish:created", "publish:completed", "publish:commented",
)  # fmt: skip
TRAIN_POINTS = (
    "history:before", "history:after", "train:before", "author-a:0", "author-a:3", "author-b:5",
    "train:after",
)  # fmt: skip


@dataclass(frozen=True)
class World:
    """A folder that all the workers of a test share."""

    place: Path

    def note(self, what: str, **facts: Any) -> None:
        """Add to what happened; a line is written at once and whole."""
        line = json.dumps({"what": what, "pid": os.getpid(), "at": time.monotonic(), **facts}) + "\n"
        with (self.place / "happened.jsonl").open("a") as log:
            log.write(line)

    def happened(self, what: str = "") -> list[dict[str, Any]]:
        path = self.place / "happened.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        return [fact for fact in map(json.loads, lines) if fact["what"].startswith(what)]

    def counts(self) -> Counter[str]:
        return Counter(fact["what"] for fact in self.happened())

    def order(self, point: str, n: int = 1, what: str = "kill") -> None:
        """Let the next n workers that come to a point die there, wait for ``release`` ("hold"), or sleep."""
        write_json(self.place / "orders" / point, {"n": n, "what": what})

    def release(self, point: str) -> None:
        """Let those go on that are held at a point, and those that come to it."""
        write_json(self._released(point), True)  # a file of its own: those who come write the order's

    def reach(self, point: str) -> None:
        """Come to a point where an order may wait."""
        self.note(f"at {point}")
        path = self.place / "orders" / point
        if not path.exists() or (order := read_json(path))["n"] < 1:
            return
        write_json(path, order | {"n": order["n"] - 1})
        if order["what"] == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if order["what"] != "hold":
            time.sleep(float(order["what"]))
            return
        while not self._released(point).exists():
            time.sleep(0.01)

    def _released(self, point: str) -> Path:
        return self.place / "released" / point

    def head(self, number: int, head: str | None = None) -> str:
        """The head of a pull request, as GitHub knows it."""
        path = self.place / "heads" / str(number)
        if head is not None:
            write_json(path, head)
        return read_json(path)

    # ------------------------------------------------------------------------------ what GitHub would keep

    def create(self, kind: str, **facts: Any) -> Path:
        path = self.place / kind / secrets.token_hex(6)
        write_json(path, facts)
        return path

    def all(self, kind: str) -> list[dict[str, Any]]:
        return [read_json(path) for path in sorted((self.place / kind).glob("[!.]*"))]

    def find(self, kind: str, **facts: Any) -> Path | None:
        for path in (self.place / kind).glob("[!.]*"):
            found = read_json(path)
            if all(found.get(name) == value for name, value in facts.items()):
                return path
        return None

    # ---------------------------------------------------------------------------------------- the review

    def read_pull(self, task: ReviewTask) -> PullNow:
        self.reach("read:before")
        head = self.head(task.number)
        self.reach("read:after")
        return PullNow(head, task.base_sha)

    def read_diff(self, task: ReviewTask) -> str:
        self.reach("diff:before")
        text = f"diff of {task.head_sha}\n+caf\u00e9 \udc80\n"
        self.reach("diff:after")
        return text

    def score(self, task: ReviewTask, diff: str) -> DriftReport:
        self.reach("score:before")
        assert task.head_sha in diff
        report = DriftReport(verdict=Verdict.NOT_SCORED, reason=f"a stand-in has seen {task.head_sha}")
        self.reach("score:after")
        return report

    def publish(self, task: ReviewTask, report: DriftReport) -> Published:
        self.reach("publish:before")
        run = self.find("checks", external_id=task.external_id)
        if run is None:
            run = self.create("checks", external_id=task.external_id, number=task.number, conclusion="")
        self.reach("publish:created")
        if not read_json(run)["conclusion"]:
            write_json(run, read_json(run) | {"conclusion": "neutral", "title": report.reason})
            self.note("completed", external_id=task.external_id)
        self.reach("publish:completed")
        if self.find("comments", number=task.number) is None:
            self.create("comments", number=task.number, text=report.reason)
        self.reach("publish:commented")
        return Published(int(run.name, 16), "neutral")

    def withdraw(self, task: ReviewTask, head: str) -> None:
        self.note("withdrawn", head=task.head_sha, by=head)

    # -------------------------------------------------------------------------------------- the learning

    def ingest(self, task: RepositoryTask, tell: Tell) -> HistoryRead:
        self.reach("history:before")
        tell(JobProgress("read history", 1, 1))
        self.reach("history:after")
        return HistoryRead("c" * 40)

    def train(self, store: ArtifactStore, task: RepositoryTask, tell: Tell) -> Learned:
        self.reach("train:before")
        digests = {name: f"{task.full_name}-{name}".replace("/", "-") for name in ADAPTERS}
        for name, digest in digests.items():
            store.put("adapter", digest, lambda directory, name=name, digest=digest: write_json(
                directory / "weights.json", self._train_one(store, name, digest, tell)))  # fmt: skip
            store.drop_checkpoints(digest)
        self.reach("train:after")
        authors = {"human:a": digests["author-a"], "human:b": digests["author-b"]}
        return Learned("p" * 8, digests["team"], "base", "config", "c" * 40, 120, authors=authors)

    def refresh(self, task: RepositoryTask, profile: str, tell: Tell) -> Rolled:
        self.reach("refresh:before")
        tell(JobProgress("newer commits", 1, 1))
        self.reach("refresh:after")
        return Rolled(f"{profile}, rolled", "rolled", 6)

    def _train_one(self, store: ArtifactStore, name: str, digest: str, tell: Tell) -> list[int]:
        """The result is the list of its steps: a torn or mixed-up resumption would show in it."""
        checkpoint = store.begin_checkpoint(digest)
        done: list[int] = read_json(checkpoint) if checkpoint.exists() else []
        for step in range(len(done), STEPS):
            self.reach(f"{name}:{step}")
            time.sleep(0.02)
            self.note("step", name=name, step=step)
            done.append(step)
            if len(done) % CHECKPOINT_EVERY == 0:
                write_json(checkpoint, done)
            tell(JobProgress(name, len(done), STEPS, 100.0, 0.02 * (STEPS - len(done)), loss=1 / len(done)))
        return done

    def act(self, event: Event) -> None:
        self.reach("act:before")
        if event.repository is None:
            raise ServiceError("a webhook of no repository")
        self.note("acted", delivery=event.delivery, event=event.name)
        self.reach("act:after")

    def work(self, store: ArtifactStore) -> Work:
        ports = ReviewPorts(self.read_pull, self.read_diff, self.score, self.publish, self.withdraw)
        return Work(
            ports, self.ingest, lambda task, tell: self.train(store, task, tell), act=self.act,
            refresh=self.refresh,
        )  # fmt: skip


def run(settings: Settings, queues: tuple[Queue, ...], place: Path) -> None:
    """A worker process of a test."""
    with contextlib.suppress(KeyboardInterrupt):
        run_worker(settings, queues, World(place).work(ArtifactStore(settings.home)))


def make_work(settings: Settings) -> Work:
    """For the tree of workers, whose home lies beside the world."""
    return World(settings.home.parent / "world").work(ArtifactStore(settings.home))
