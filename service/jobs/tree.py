"""The workers of one machine as children of one process: started, watched, and stopped together."""

from __future__ import annotations

import logging
import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess

from service.enqueue import Queue
from service.jobs.work import Work
from service.jobs.worker import run_worker
from service.logs import configure_logs
from service.settings import Settings

LOG = logging.getLogger(__name__)
CREWS = ((Queue.REVIEW, Queue.DELIVERY, Queue.INGEST), (Queue.TRAIN,))
"""One process answers and reads, another trains: a review never waits for a training's memory or lock."""
TRAINING_NICENESS, ANSWERING_NICENESS = 10, 5
"""On a machine with few cores the API goes first, then reviews, whatever trains meanwhile."""
_LOOK_EVERY_S = 0.5
_MOST_WAIT_S = 60.0


@dataclass
class WorkerTree:
    """Worker processes that live and end with this one.

    Args:
        make_work: module-level function of the settings, called in each child.
    """

    settings: Settings
    make_work: Callable[[Settings], Work]
    crews: Sequence[tuple[Queue, ...]] = CREWS
    _children: dict[tuple[Queue, ...], BaseProcess] = field(default_factory=dict)
    _stopping: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Start every worker, and start again whichever dies."""
        self._thread = threading.Thread(target=self._watch, name="worker-tree", daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        waits = dict.fromkeys(self.crews, _LOOK_EVERY_S)
        due = dict.fromkeys(self.crews, 0.0)
        while not self._stopping.is_set():
            for crew in self.crews:
                child = self._children.get(crew)
                if (child is not None and child.is_alive()) or time.monotonic() < due[crew]:
                    continue
                if child is not None:
                    LOG.warning("the worker of %s ended with %s", ", ".join(crew), child.exitcode)
                self._children[crew] = self._start(crew)
                due[crew] = time.monotonic() + waits[crew]
                waits[crew] = min(2 * waits[crew], _MOST_WAIT_S)  # one that cannot start must not spin
            self._stopping.wait(_LOOK_EVERY_S)

    def _start(self, crew: tuple[Queue, ...]) -> BaseProcess:
        spawn = multiprocessing.get_context("spawn")  # a fork would copy this process's threads and locks
        # not a daemon: a worker has children of its own, which it must be able to stop
        child = spawn.Process(target=run_crew, args=(self.settings, crew, self.make_work))
        child.start()
        return child

    def stop(self) -> None:
        """Let every worker drain, then end those that did not."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
        for child in self._children.values():
            child.terminate()
        ends = time.monotonic() + self.settings.drain_timeout_s + 15
        for child in self._children.values():
            child.join(max(0.1, ends - time.monotonic()))
            if child.is_alive():
                child.kill()
                child.join()


def run_crew(settings: Settings, queues: tuple[Queue, ...], make_work: Callable[[Settings], Work]) -> None:
    """A worker process of the tree: ends when it is told to, or when its parent is gone."""
    configure_logs(settings.log_format, settings.log_level)  # a spawned process inherits no handlers
    os.nice(TRAINING_NICENESS if queues == (Queue.TRAIN,) else ANSWERING_NICENESS)
    run_worker(settings, queues, make_work(settings), ends_with_parent=True)
