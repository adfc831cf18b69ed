"""One machine's workers: started again when they die, drained when their parent stops or is gone."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from service.db.queries.executors import list_executors
from service.db.states import ExecutorStatus, JobStatus
from service.enqueue import Queue
from service.jobs.tree import WorkerTree, run_crew
from service.settings import Settings
from tests.service.jobs.conftest import Scene
from tests.service.jobs.stand_in import make_work

PARENT = """
import sys, threading
from pathlib import Path

import pytest
from service.jobs.tree import WorkerTree
from service.settings import Settings
from tests.service.jobs.stand_in import make_work
if __name__ == "__main__":
    WorkerTree(Settings.model_validate_json(sys.argv[1]), make_work).start()
    threading.Event().wait()
"""


def statuses(scene: Scene) -> list[ExecutorStatus]:
    with scene.database.reading() as session:
        return [row.status for row in list_executors(session)]


def pids(scene: Scene) -> dict[str, int]:
    with scene.database.reading() as session:
        return {row.id: row.pid for row in list_executors(session) if row.status is ExecutorStatus.LIVE}


@pytest.mark.slow
def test_a_tree_replaces_its_dead_and_drains(scene: Scene):
    tree = WorkerTree(scene.settings, make_work)
    tree.start()
    try:
        scene.wait(lambda: len(pids(scene)) == 2)
        before = pids(scene)
        scene.world.order("score:before")
        asked, learned = scene.ask(7, "h1"), scene.enqueuer.profile(scene.repository)
        scene.finish(asked.job_id, learned)
        assert {scene.job(j).status for j in (asked.job_id, learned)} == {JobStatus.DONE}
        assert set(pids(scene)) == set(before), "the same two workers"
        assert len(set(pids(scene).values()) & set(before.values())) == 1, "one of them another process"
    finally:
        tree.stop()
    assert statuses(scene) == [ExecutorStatus.STOPPED] * 2


def test_a_spawned_worker_logs_as_the_settings_say(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    told: list[object] = []
    monkeypatch.setattr("service.jobs.tree.configure_logs", lambda *how: told.append(how))
    monkeypatch.setattr("service.jobs.tree.run_worker", lambda *_, **__: told.append("works"))
    monkeypatch.setattr("os.nice", lambda _: None)
    settings = Settings(home=tmp_path, log_format="json", log_level="warning")
    run_crew(settings, (Queue.TRAIN,), lambda _: None)  # pyright: ignore[reportArgumentType] - nothing works
    assert told == [("json", "warning"), "works"]


@pytest.mark.slow
def test_workers_end_when_their_parent_is_gone(scene: Scene):
    line = [sys.executable, "-c", PARENT, scene.settings.model_dump_json()]
    parent = subprocess.Popen(line, cwd=Path(__file__).parents[3], start_new_session=True)
    try:
        scene.wait(lambda: len(pids(scene)) == 2)
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait()
        scene.wait(lambda: statuses(scene) == [ExecutorStatus.STOPPED] * 2)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(parent.pid, signal.SIGKILL)
