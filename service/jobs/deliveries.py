"""A webhook that was written down, as a workflow: read it again, act on it, write its end down."""

from __future__ import annotations

from collections.abc import Callable

from dbos import DBOS

from connectors import ConnectorError
from connectors.github.events import Event
from connectors.github.webhooks import parse_event
from service import ServiceError
from service.db.queries.deliveries import begin_delivery, end_delivery
from service.db.session import Database

TRIES = 4
"""Over about seven seconds. One that still fails is kept; `Enqueuer.deliveries_again` asks for it later."""


def act_on(delivery_id: int, database: Database, act: Callable[[Event], None]) -> str:
    """The workflow's body; returns what became of the delivery.

    Args:
        act: asks for the work that follows. A worker can die between its end and our note of it, so what it
            asks for twice must be done once.
    """
    with database.writing() as session:
        row = begin_delivery(session, delivery_id)
        if row is None or row.body is None:
            return "nothing to do"
        name, guid, body = row.event, row.guid, row.body
    told = ""

    def once() -> None:
        nonlocal told
        try:
            act(parse_event(name, guid, body))
        except (ServiceError, ConnectorError) as error:
            told = str(error)  # the engine's own error after the last try does not say what was wrong
            raise

    try:
        DBOS.run_step(
            {"name": "act", "retries_allowed": True, "max_attempts": TRIES, "interval_seconds": 1.0}, once
        )
    except Exception as error:
        _end(database, delivery_id, told or type(error).__name__)
        if told:
            return told
        raise
    _end(database, delivery_id, "")
    return "done"


def _end(database: Database, delivery_id: int, error: str) -> None:
    with database.writing() as session:
        end_delivery(session, delivery_id, error=error)
