"""Scoring processes with a clear job each, for the supervisor's tests: they obey the diff's first word."""

from __future__ import annotations

import os
import time
from multiprocessing.connection import Connection
from pathlib import Path

from fingerprint.report import DriftReport, Verdict
from service.api.scoring import Reply


def obey(connection: Connection, marks: Path) -> None:
    """Answer, die, sleep or fail as told; leave one mark per start."""
    (marks / str(os.getpid())).touch()
    connection.send(Reply("ready"))
    while True:
        try:
            request = connection.recv()
        except EOFError:
            return
        word = request.diff.split(maxsplit=1)[0] if request.diff.strip() else ""
        if word == "die":
            os._exit(9)
        if word == "sleep":
            time.sleep(60)
        kinds = {"refuse": "refused", "fail": "failed"}
        connection.send(Reply(kinds.get(word, "report"), f'{{"said": "{word}"}}'))  # pyright: ignore[reportArgumentType]


def fail_to_start(connection: Connection) -> None:
    """Say why nothing can be served."""
    connection.send(Reply("failed", "repository x has no profile; run `routeprint profile`"))


def score_nothing(connection: Connection) -> None:
    """Answer every diff with a report that says NOT SCORED."""
    connection.send(Reply("ready"))
    report = DriftReport(verdict=Verdict.NOT_SCORED, reason="nothing is scored here").model_dump_json()
    while True:
        try:
            connection.recv()
        except EOFError:
            return
        connection.send(Reply("report", report))
