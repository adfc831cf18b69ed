"""Deliveries of GitHub's webhooks: verify the bytes, write one row; somebody else does the work."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import anyio.to_thread
from pydantic import BaseModel, ConfigDict, Field

from connectors.github.asks import Nothing, decide
from connectors.github.events import Event
from connectors.github.webhooks import (
    MAX_BYTES,
    MalformedError,
    Secrets,
    read_delivery,
)
from service.api.writer import DeliveryWriter, EnqueueDelivery
from service.db.queries.deliveries import Arrival
from service.db.session import Database

PATH = "/webhooks/github"
_LONGEST_NAME = 100
_LARGEST_ID = 2**63 - 1


class Outcome(StrEnum):
    """What became of a delivery."""

    QUEUED = "queued"
    DUPLICATE = "duplicate"
    IGNORED = "ignored"


class Receipt(BaseModel):
    """The answer to a delivery that was accepted."""

    model_config = ConfigDict(frozen=True)

    outcome: Outcome = Field(
        description="queued: it will be worked on. duplicate: it waits, runs or is done already. "
        "ignored: nothing follows from it.",
        examples=["queued"],
    )
    delivery: str = Field(description="GitHub's id of the delivery.", examples=["72d3162e-cc78-11e3-81ab"])


@dataclass
class Intake:
    """How deliveries are taken in. Safe to share between threads.

    Attributes:
        app_id: GitHub's number of our app, to know our own checks; None (only its client id is known)
            leaves that question to whoever does the work.
    """

    database: Database
    secrets: Secrets
    enqueue: EnqueueDelivery
    app_id: int | None = None
    max_bytes: int = MAX_BYTES
    _writer: DeliveryWriter = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._writer = DeliveryWriter(self.database, self.enqueue)

    def read(self, headers: Mapping[str, str], body: bytes) -> tuple[Event, Arrival | None]:
        """Judge one delivery: what it says, and what is to be kept of it (None: nothing follows from it).

        Raises:
            WebhookError: it must not be acted on.
        """
        event = read_delivery(headers, body, self.secrets, max_bytes=self.max_bytes)
        if max(len(event.name), len(event.delivery)) > _LONGEST_NAME:
            raise MalformedError(f"expected an event and a delivery id of at most {_LONGEST_NAME} characters")
        return event, _arrival(event, body) if self._is_wanted(event) else None

    async def take(self, headers: Mapping[str, str], body: bytes) -> tuple[Event, Outcome]:
        """Judge one delivery, write it down, and return when that is safe.

        Raises:
            WebhookError: it must not be acted on.
        """
        event, arrival = await anyio.to_thread.run_sync(self.read, headers, body)
        if arrival is None:
            return event, Outcome.IGNORED
        number = await asyncio.wrap_future(self._writer.write(arrival))  # no thread waits for the database
        return event, Outcome.DUPLICATE if number is None else Outcome.QUEUED

    def _is_wanted(self, event: Event) -> bool:
        of_check = event.check.app if event.check else 0
        asks = decide(event, app_id=of_check if self.app_id is None else self.app_id)
        return not all(isinstance(ask, Nothing) for ask in asks)


def _arrival(event: Event, body: bytes) -> Arrival:
    # PostgreSQL keeps no NUL in text and no integer beyond 64 bits; neither may cost us the delivery
    action = event.action.replace("\0", "")[:_LONGEST_NAME]
    repository = event.repository.id if event.repository else 0
    return Arrival(event.delivery, event.name, action, _id(event.installation), _id(repository), body)


def _id(number: int) -> int:
    return number if 0 < number <= _LARGEST_ID else 0
