"""Webhook deliveries: written down once, dropped when they come again, tried again when they failed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session, col, select

from service.db.columns import now
from service.db.queries.jobs import changed
from service.db.states import DeliveryStatus
from service.db.tables import Delivery

LONGEST = timedelta(hours=3)
"""No attempt at a delivery takes so long, with every wait that GitHub may ask for."""
MOST_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Arrival:
    """What is kept of a delivery.

    Attributes:
        guid: GitHub's id of it; a redelivery carries the same. installation, repository: GitHub's ids, 0
            where the payload names none.
    """

    guid: str
    event: str
    action: str
    installation: int
    repository: int
    body: bytes


def keep_delivery(session: Session, arrival: Arrival) -> int | None:
    """Write a delivery down; returns its row's number, or None when it needs nothing more.

    One that waits, runs or is done is left alone; one that failed waits again. Two processes that get the
    same delivery at once cannot both be told to work: the second waits for the first one's transaction.
    """
    number = _insert(session, arrival)
    if number is not None:
        return number
    wanted = select(Delivery).where(Delivery.guid == arrival.guid, Delivery.event == arrival.event)
    row = session.exec(wanted.with_for_update()).one()
    if row.status is not DeliveryStatus.FAILED:
        return None
    row.status, row.error, row.body = DeliveryStatus.RECEIVED, "", arrival.body
    row.received_at, row.started_at, row.finished_at = now(), None, None
    session.flush()
    return row.id


def _insert(session: Session, arrival: Arrival) -> int | None:
    insert = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
    values = {
        "guid": arrival.guid, "event": arrival.event, "action": arrival.action,
        "installation_id": arrival.installation or None, "repository_github_id": arrival.repository or None,
        "status": DeliveryStatus.RECEIVED, "attempts": 0, "body": arrival.body, "error": "",
        "payload_digest": hashlib.sha256(arrival.body).hexdigest(), "received_at": now(),
    }  # fmt: skip
    statement = insert(Delivery).values(**values).on_conflict_do_nothing(index_elements=["guid", "event"])
    return session.execute(statement.returning(col(Delivery.id))).scalar_one_or_none()


def begin_delivery(session: Session, delivery_id: int) -> Delivery | None:
    """Let a delivery run and count the attempt; None when it is done or was forgotten."""
    wanted = select(Delivery).where(Delivery.id == delivery_id)
    row = session.exec(wanted.with_for_update()).one_or_none()
    if row is None or row.status is DeliveryStatus.DONE:
        return None
    row.status, row.attempts, row.started_at = DeliveryStatus.RUNNING, row.attempts + 1, now()
    return row


def end_delivery(session: Session, delivery_id: int, *, error: str = "") -> None:
    """Write a delivery's end down: done, and its body is dropped; or failed with an error, and it is kept."""
    status = DeliveryStatus.FAILED if error else DeliveryStatus.DONE
    values: dict[str, object] = {"status": status, "error": error, "finished_at": now()}
    if not error:
        values["body"] = None
    session.execute(sa.update(Delivery).where(col(Delivery.id) == delivery_id).values(**values))


def wait_again(session: Session, at: datetime, *, first_pause: timedelta, most_attempts: int) -> list[int]:
    """Let deliveries that failed wait again, each after a pause that doubles; returns their rows' numbers.

    GitHub was told that we have them, so nobody else repeats them. One that has run for so long that no
    attempt can be at it any more is taken for failed.
    """
    is_lost = (col(Delivery.status) == DeliveryStatus.RUNNING) & (col(Delivery.started_at) < at - LONGEST)
    wanted = select(Delivery).where(
        (col(Delivery.status) == DeliveryStatus.FAILED) | is_lost,
        col(Delivery.body).is_not(None), col(Delivery.attempts) < most_attempts,
    )  # fmt: skip
    due = [
        row
        for row in session.exec(wanted.order_by(col(Delivery.id)).limit(MOST_AT_ONCE).with_for_update())
        if (row.finished_at or row.started_at or at) + first_pause * 2 ** max(0, row.attempts - 1) <= at
    ]
    for row in due:
        row.status, row.started_at, row.finished_at = DeliveryStatus.RECEIVED, None, None
    session.flush()
    return [row.id for row in due if row.id is not None]


def reopen_delivery(session: Session, delivery_id: int) -> bool:
    """Let a delivery that was being acted on wait again; False when it has ended."""
    running = (col(Delivery.id) == delivery_id, col(Delivery.status) == DeliveryStatus.RUNNING)
    values = {"status": DeliveryStatus.RECEIVED, "started_at": None}
    return changed(session, sa.update(Delivery).where(*running).values(**values))


def drop_old_deliveries(session: Session, before: datetime, limit: int) -> list[tuple[int, int]]:
    """Delete deliveries that ended before a moment, bodies and all; returns (number, attempts)."""
    wanted = select(Delivery.id, Delivery.attempts).where(col(Delivery.finished_at) < before)
    found = [(number, n) for number, n in session.exec(wanted.limit(limit)) if number is not None]
    session.execute(sa.delete(Delivery).where(col(Delivery.id).in_([number for number, _ in found])))
    return found


def find_delivery(session: Session, guid: str, event: str) -> Delivery | None:
    """A delivery by GitHub's id."""
    return session.exec(select(Delivery).where(Delivery.guid == guid, Delivery.event == event)).one_or_none()
