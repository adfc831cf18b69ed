"""What runs in the scoring process: profiles loaded once, then one review after another."""

from __future__ import annotations

import logging
import signal
from multiprocessing.connection import Connection
from pathlib import Path

from connectors import ConnectorError
from fingerprint import FingerprintError
from service import ServiceError
from service.api.scoring import Reply, Request
from service.flows.profile import load_profile_version
from service.flows.review import Reviewer, load_reviewer
from service.logs import configure_logs
from service.reports import machine
from service.settings import Settings

LOG = logging.getLogger(__name__)
MOST_VERSIONS = 4
"""Profiles loaded on request that stay loaded; each holds a base of its own."""


def serve_reviews(connection: Connection, settings: Settings, repositories: dict[str, Path]) -> None:
    """Answer Requests on ``connection`` until it closes.

    Args:
        repositories: paths of profiled repositories by the name requests use.
    """
    configure_logs(settings.log_format, settings.log_level)  # else an error would quote the code it is about
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when to stop
    reviewers = _load(connection, settings, repositories)
    if reviewers is None:
        return
    connection.send(Reply("ready"))
    while True:
        try:
            request = connection.recv()
        except EOFError:
            return
        connection.send(_answer(request, reviewers, settings))


def _load(
    connection: Connection, settings: Settings, repositories: dict[str, Path]
) -> dict[str, Reviewer] | None:
    try:
        return {name: load_reviewer(path, settings) for name, path in repositories.items()}
    except (ConnectorError, FingerprintError, ServiceError) as error:
        connection.send(Reply("failed", str(error)))
        return None


def _reviewer_for(request: Request, reviewers: dict[str, Reviewer], settings: Settings) -> Reviewer:
    """The registered one, or a version loaded when first asked for; the longest unused makes room."""
    if not request.profile:
        return reviewers[request.repository]
    found = reviewers.pop(request.profile, None) or Reviewer(load_profile_version(request.profile, settings))
    reviewers[request.profile] = found  # dictionaries remember the order
    versions = [name for name in reviewers if name == reviewers[name].profile.digest]
    for name in versions[:-MOST_VERSIONS]:
        del reviewers[name]
    return found


def _answer(request: Request, reviewers: dict[str, Reviewer], settings: Settings) -> Reply:
    try:
        report = _reviewer_for(request, reviewers, settings).review(request.diff)
        return Reply("report", machine.render(report))
    except (ConnectorError, FingerprintError, ServiceError) as error:
        return Reply("refused", str(error))
    except Exception:  # one bad diff must not end the process
        LOG.exception("a review failed")
        return Reply("failed", "the review failed unexpectedly; see the service's log")
