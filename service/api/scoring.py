"""The scoring process beside the API: torch lives there, and a crash there is not a crash here."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, Literal

LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Request:
    """One diff to score against a registered repository's profile, or against one version of any.

    Attributes:
        profile: digest of the profile to score with; "" for the registered repository's own.
    """

    repository: str
    diff: str
    profile: str = ""


@dataclass(frozen=True, slots=True)
class Reply:
    """What the scoring process says.

    Attributes:
        kind: "ready" once, when everything is loaded; "report" with the JSON answer; "refused" when
            the request cannot be used; "failed" when something unexpected happened.
        text: the JSON, or the sentence for the user.
    """

    kind: Literal["ready", "report", "refused", "failed"]
    text: str = ""


class RefusedError(Exception):
    """The request itself is at fault; the message says what to change."""


class UnavailableError(Exception):
    """No answer now; the message says why, ``retry_after_s`` when to ask again."""

    def __init__(self, message: str, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class ScoringProcess:
    """Starts, watches and replaces one process that answers one request at a time.

    Args:
        target: module-level function run in the process as ``target(connection, *arguments)``: it
            sends Reply("ready"), then answers each Request with one Reply until the pipe closes.
        arguments: picklable.
        timeout_s: seconds for one review; a process that takes longer is stopped and replaced.
        start_timeout_s: seconds until "ready".
        queue_timeout_s: seconds a request waits for those before it.
    """

    def __init__(
        self, target: Callable[..., None], arguments: tuple[Any, ...], *, timeout_s: float = 120.0,
        start_timeout_s: float = 180.0, queue_timeout_s: float = 30.0,
    ) -> None:  # fmt: skip
        self._target, self._arguments = target, arguments
        self._timeout_s, self._start_timeout_s = timeout_s, start_timeout_s
        self._queue_timeout_s = queue_timeout_s
        self._turn = threading.Lock()
        self._context = multiprocessing.get_context("spawn")  # fork would copy torch's threads and locks
        self._process: BaseProcess | None = None
        self._connection: Connection | None = None
        self._is_ready = threading.Event()
        self._is_stopped = threading.Event()

    @property
    def is_ready(self) -> bool:
        """Whether a live process has said that it is ready."""
        return self._is_ready.is_set() and self._process is not None and self._process.is_alive()

    def start(self) -> None:
        """Start the process and wait until it is ready.

        Raises:
            UnavailableError: it failed or took too long.
        """
        with self._turn:
            self._ensure_running()

    def stop(self) -> None:
        """End the process, now."""
        self._is_stopped.set()
        self._end_process()

    def review(self, request: Request) -> str:
        """Return the report's JSON. Safe to call from many threads; they take turns.

        Raises:
            RefusedError: the request cannot be used.
            UnavailableError: busy, restarting, too slow or failed.
        """
        if not self._turn.acquire(timeout=self._queue_timeout_s):
            raise UnavailableError("other reviews are being scored; try again soon", 10)
        try:
            self._ensure_running()
            return self._ask(request)
        finally:
            self._turn.release()

    def _ask(self, request: Request) -> str:
        reply = self._exchange(request, self._timeout_s)
        if reply.kind == "report":
            return reply.text
        if reply.kind == "refused":
            raise RefusedError(reply.text)
        raise UnavailableError(reply.text or "the scoring process failed; see its log", 30)

    def _exchange(self, request: Request | None, timeout_s: float) -> Reply:
        """Send a request (None: only wait for "ready") and receive its reply."""
        assert self._connection is not None
        try:
            if request is not None:
                self._connection.send(request)
            if self._connection.poll(timeout_s):
                return self._connection.recv()
        except (EOFError, OSError) as error:
            LOG.warning("the scoring process died: %r", error)
            self._restart_soon()
            raise UnavailableError("the scoring process died and is being replaced", 15) from error
        self._restart_soon()
        raise UnavailableError(f"no answer within {timeout_s:g} seconds; the process is being replaced", 15)

    def _ensure_running(self) -> None:
        if self.is_ready:
            return
        if self._is_stopped.is_set():
            raise UnavailableError("the service is stopping", 30)
        self._end_process()
        here, there = self._context.Pipe()
        process = self._context.Process(target=self._target, args=(there, *self._arguments), daemon=True)
        process.start()
        there.close()  # else its end of file would never be seen
        assert isinstance(here, Connection)
        self._process, self._connection = process, here
        started = time.monotonic()
        reply = self._exchange(None, self._start_timeout_s)
        if reply.kind != "ready":
            self._end_process()
            raise UnavailableError(reply.text or "the scoring process could not start", 60)
        LOG.info("scoring process %s ready after %.1f s", process.pid, time.monotonic() - started)
        self._is_ready.set()

    def _restart_soon(self) -> None:
        """Replace the process without making the next request pay for it."""
        was_ready = self._is_ready.is_set()
        self._end_process()
        if was_ready and not self._is_stopped.is_set():
            threading.Thread(target=self._restart, name="restart-scoring", daemon=True).start()

    def _restart(self) -> None:
        with contextlib.suppress(UnavailableError):
            self.start()

    def _end_process(self) -> None:
        self._is_ready.clear()
        process, connection = self._process, self._connection
        self._process = self._connection = None
        if connection is not None:
            connection.close()
        if process is not None and process.is_alive():
            process.terminate()
            process.join(5)
            if process.is_alive():
                process.kill()
                process.join()
