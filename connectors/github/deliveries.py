"""Deliveries that failed: GitHub does not repeat them by itself, so they are asked for again.

https://docs.github.com/webhooks/using-webhooks/handling-failed-webhook-deliveries
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from connectors.github.client import Client
from connectors.github.payload import Json, number, text


@dataclass(frozen=True, slots=True)
class Delivery:
    """One attempt. guid: the same for every attempt; it is what X-GitHub-Delivery holds."""

    id: int
    guid: str
    event: str
    status: int
    delivered_at: datetime

    @property
    def is_answered(self) -> bool:
        """Whether we said that we have it."""
        return 200 <= self.status < 300


def failed_deliveries(client: Client, since: datetime) -> tuple[Delivery, ...]:
    """The latest attempt of every delivery that was never answered well, the newest first.

    Args:
        client: the app's own. since: GitHub keeps three days; it lists the newest first.
    """
    latest: dict[str, Delivery] = {}
    answered: set[str] = set()
    for value in client.pages("/app/hook/deliveries"):
        found = _delivery(value)
        if found.delivered_at < since:
            break
        latest.setdefault(found.guid, found)
        if found.is_answered:
            answered.add(found.guid)
    return tuple(found for guid, found in latest.items() if guid not in answered)


def redeliver(client: Client, delivery: int) -> None:
    """Ask for a delivery again. Asking twice does no harm: it comes with the same guid."""
    client.create(f"/app/hook/deliveries/{delivery}/attempts", {})


def _delivery(value: Json) -> Delivery:
    moment = text(value, "delivered_at") or "1970-01-01T00:00:00Z"
    return Delivery(
        number(value, "id"), text(value, "guid"), text(value, "event"), number(value, "status_code"),
        datetime.fromisoformat(moment.replace("Z", "+00:00")),
    )  # fmt: skip
