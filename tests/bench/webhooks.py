"""Webhooks under load: how soon they are answered, and whether every one becomes one job that runs once.

One API process, one worker process, and this one, which sends. A pull request is opened each time; the
worker reads the delivery again and asks for a review, whose scorer sleeps for a set time and writes down
that it ran. With ``--direct`` the delivery's own job does that, without a review. Latency counts from when a
request was due, not from when it could be sent.

Run as ``python -m tests.bench.webhooks --rate 50 --seconds 60``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import multiprocessing
import os
import statistics
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path

import httpx2 as httpx
import psutil
import sqlalchemy as sa
import structlog
import uvicorn
from rich.console import Console

from connectors.github.events import Event
from connectors.github.webhooks import Secrets, digest_of
from fingerprint.report import DriftReport, Verdict
from service.api.app import create_app
from service.api.intake import Intake
from service.api.parts import Parts
from service.db.migrate import upgrade
from service.db.queries.repositories import keep_repository, number_of
from service.db.queries.reviews import ReviewQuestion
from service.db.session import Database, connect
from service.db.tables import Delivery, Job, Review
from service.enqueue import Enqueuer, Queue, prepare_engine
from service.flows.history_rows import HistoryRead
from service.jobs.tree import ANSWERING_NICENESS
from service.jobs.work import Learned, Published, PullNow, ReviewPorts, ReviewTask, Work
from service.jobs.worker import run_worker
from service.settings import Settings

SECRET = Secrets("a secret of the benchmark")
GITHUB_ID = 11


@dataclass(frozen=True)
class Plan:
    """What is measured."""

    rate: float
    seconds: float
    service_s: float
    database_url: str | None
    drain_s: float
    is_direct: bool
    has_worker: bool

    @property
    def n(self) -> int:
        """Deliveries in all."""
        return round(self.rate * self.seconds)


@dataclass(frozen=True)
class Found:
    """``seconds`` until each answer, ``drained_s`` until all was done, ``ran``: by number."""

    seconds: list[float]
    statuses: Counter[int]
    drained_s: float
    cpu_ms: float
    ran: Counter[str]


def body_of(number: int) -> bytes:
    """A pull request that was opened, with as much around it as GitHub sends."""
    repository = {
        "id": GITHUB_ID,
        "full_name": "acme/shop",
        "default_branch": "main",
        "padding": "x" * 20_000,
    }
    pull = {
        "number": number, "state": "open", "head": {"sha": f"{number:040x}"},
        "base": {"sha": "b" * 40, "ref": "main"}, "user": {"id": 1, "login": "ann", "type": "User"},
    }  # fmt: skip
    return json.dumps({"action": "opened", "repository": repository, "pull_request": pull}).encode()


# ------------------------------------------------------------------------------------------ the processes


def serve(settings: Settings, port: multiprocessing.Queue[int]) -> None:
    """The API process."""
    logging.disable(logging.WARNING)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    database = connect(settings)
    enqueuer = Enqueuer.of(database)
    parts = Parts(database, 1_000_000, intake=Intake(database, SECRET, enqueuer.delivery, 7))
    config = uvicorn.Config(create_app(parts), port=0, log_config=None, access_log=False, lifespan="off")
    server = uvicorn.Server(config)

    async def run() -> None:
        serving = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        port.put(server.servers[0].sockets[0].getsockname()[1])
        await serving

    asyncio.run(run())


def work(settings: Settings, plan: Plan, ran: Path) -> None:
    """A worker as `serve` starts it: acts on deliveries, and its scorer sleeps and writes down."""
    os.nice(ANSWERING_NICENESS)
    enqueuer: list[Enqueuer] = []

    def run(number: int) -> None:
        time.sleep(plan.service_s)
        with ran.open("a") as log:
            log.write(f"{number}\n")

    def act(event: Event) -> None:
        assert event.pull is not None
        if plan.is_direct:
            run(event.pull.number)
            return
        if not enqueuer:
            enqueuer.append(Enqueuer.of(connect(settings)))
        enqueuer[0].review(ReviewQuestion(1, event.pull.number, event.pull.head_sha, event.pull.base_sha))

    def score(task: ReviewTask, _diff: str) -> DriftReport:
        run(task.number)
        return DriftReport(verdict=Verdict.NOT_SCORED, reason="nothing is scored in a benchmark")

    ports = ReviewPorts(
        read_pull=lambda task: PullNow(task.head_sha, task.base_sha), read_diff=lambda _: "+x = 1\n",
        score=score, publish=lambda *_: Published(None, "neutral"), withdraw=lambda *_: None,
    )  # fmt: skip
    none = Work(ports, lambda *_: HistoryRead(""), lambda *_: Learned("", "", "", "", "", 0), act=act)
    run_worker(settings, [Queue.DELIVERY, Queue.REVIEW], none)


# ------------------------------------------------------------------------------------------ the sender


async def send_all(plan: Plan, port: int) -> tuple[list[float], Counter[int]]:
    """Seconds from when each was due to its answer, and the statuses."""
    seconds: list[float] = []
    statuses: Counter[int] = Counter()
    limits = httpx.Limits(max_connections=200, max_keepalive_connections=200)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60, limits=limits) as client:

        async def send(number: int, due: float) -> None:
            body = body_of(number)
            headers = {
                "X-GitHub-Event": "pull_request", "X-GitHub-Delivery": f"bench-{number}",
                "X-Hub-Signature-256": digest_of(body, SECRET.current), "Content-Type": "application/json",
            }  # fmt: skip
            response = await client.post("/webhooks/github", content=body, headers=headers)
            seconds.append(time.perf_counter() - due)
            statuses[response.status_code] += 1

        begins, sending = time.perf_counter() + 0.5, set()
        for number in range(1, plan.n + 1):
            due = begins + number / plan.rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            sending.add(asyncio.create_task(send(number, due)))
        await asyncio.gather(*sending)
    return seconds, statuses


def wait_until_done(database: Database, plan: Plan) -> float:
    """Seconds until everything is done, at most ``plan.drain_s``."""
    started = time.monotonic()
    last = Delivery if plan.is_direct else Review
    while time.monotonic() - started < plan.drain_s and count(database, last, status="done") < plan.n:
        time.sleep(1)
    return time.monotonic() - started


def cpu_of(child: BaseProcess) -> float:
    """CPU-seconds that a process has used: the figure that other work on the machine changes least."""
    times = psutil.Process(child.pid).cpu_times()
    return times.user + times.system


def count(database: Database, table: type, **wanted: str) -> int:
    """Rows of a table."""
    statement = sa.select(sa.func.count()).select_from(table).filter_by(**wanted)
    with database.reading() as session:
        return session.execute(statement).scalar_one()


def measure(plan: Plan, home: Path) -> None:
    """Run the three processes and print what came of it."""
    settings = Settings(home=home, database_url=plan.database_url)
    database = connect(settings)
    upgrade(database)
    prepare_engine(database)
    with database.writing() as session:
        assert number_of(keep_repository(session, "acme/shop", github_id=GITHUB_ID)) == 1, "an empty database"
    context, ran = multiprocessing.get_context("spawn"), home / "ran"
    ran.touch()
    port: multiprocessing.Queue[int] = context.Queue()
    children: list[BaseProcess] = [
        context.Process(target=serve, args=(settings, port)),
        context.Process(target=work, args=(settings, plan, ran)),
    ]
    if not plan.has_worker:
        children.pop()
    for child in children:
        child.start()
    address = port.get(timeout=120)
    while plan.has_worker and not list((home / "executors").glob("*")):
        time.sleep(0.2)
    time.sleep(5)  # the worker registers its queues
    before = cpu_of(children[0])
    seconds, statuses = asyncio.run(send_all(plan, address))
    cpu_ms = 1000 * (cpu_of(children[0]) - before) / plan.n
    drained_s = wait_until_done(database, plan) if plan.has_worker else 0.0
    for child in children:
        child.kill()
        child.join()
    report(database, plan, Found(seconds, statuses, drained_s, cpu_ms, Counter(ran.read_text().split())))
    database.close()


def report(database: Database, plan: Plan, found: Found) -> None:
    """Print the figures."""
    cuts = [round(1000 * cut) for cut in statistics.quantiles(found.seconds, n=100)]
    kind, load = database.engine.dialect.name, os.getloadavg()[0]
    done = {table.__name__: count(database, table, status="done") for table in (Delivery, Job, Review)}
    scored = Counter("once" if n == 1 else "more often" for n in found.ran.values())
    most = 1000 * max(found.seconds)
    Console().print(
        f"{plan.n} deliveries at {plan.rate:g}/s on {kind}; load of the machine {load:.1f}\n"
        f"statuses {dict(found.statuses)}\n"
        f"answer in ms: median {cuts[49]}, p95 {cuts[94]}, p99 {cuts[98]}, most {most:.0f}\n"
        f"CPU of the API per delivery: {found.cpu_ms:.1f} ms\n"
        f"done {done}, {found.drained_s:.0f} s after the last answer; scored {dict(scored)}",
        highlight=False,
    )


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rate", type=float, default=50)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--service-s", type=float, default=0.05)
    parser.add_argument("--drain-s", type=float, default=900)
    parser.add_argument("--direct", action="store_true", help="the delivery's job itself runs the scorer")
    parser.add_argument("--no-worker", action="store_true", help="measure the answers alone")
    parser.add_argument("--database-url", help="an empty database; default: SQLite in a temporary folder")
    asked = parser.parse_args()
    plan = Plan(
        asked.rate,
        asked.seconds,
        asked.service_s,
        asked.database_url,
        asked.drain_s,
        asked.direct,
        not asked.no_worker,
    )
    with tempfile.TemporaryDirectory() as home:
        measure(plan, Path(home))


if __name__ == "__main__":
    main()
