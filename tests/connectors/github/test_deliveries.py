"""The sweep of failed deliveries."""

from __future__ import annotations

from datetime import UTC, datetime

from connectors.github.deliveries import failed_deliveries, redeliver

SINCE = datetime(2026, 1, 5, tzinfo=UTC)


def attempt(identity: int, guid: str, status: int, moment: str = "2026-01-05T09:00:00Z") -> dict[str, object]:
    known = {"id": identity, "guid": guid, "status_code": status, "delivered_at": moment, "status": "x"}
    nothing = {"action": None, "installation_id": None, "repository_id": None}
    return {**known, **nothing, "event": "push", "redelivery": False}


def test_what_was_never_answered_is_asked_for_again(bench):
    bench.world.deliveries = [
        attempt(9, "late", 202), attempt(8, "lost", 0), attempt(7, "late", 500), attempt(6, "lost", 502),
        attempt(5, "good", 202), attempt(4, "old", 500, "2026-01-04T09:00:00Z"),
    ]  # fmt: skip
    client = bench.app.client
    found = failed_deliveries(client, SINCE)
    assert [(d.id, d.guid, d.status) for d in found] == [(8, "lost", 0)]
    redeliver(client, found[0].id)
    assert bench.world.attempts == [8]


def test_all_pages_are_looked_at_until_the_moment(bench):
    bench.world.deliveries = [attempt(1000 - n, f"g{n}", 500) for n in range(150)]
    bench.world.deliveries += [attempt(n, f"o{n}", 500, "2026-01-01T00:00:00Z") for n in range(300)]
    assert len(failed_deliveries(bench.app.client, SINCE)) == 150
    assert len(bench.requests("GET", "deliveries")) == 2


def test_a_fault_on_the_way_is_survived(bench):
    bench.world.deliveries = [attempt(1, "lost", 500)]
    bench.world.fail("GET", "deliveries", 502)
    bench.world.fail("POST", "attempts", 502, acts=True)
    (lost,) = failed_deliveries(bench.app.client, SINCE)
    redeliver(bench.app.client, lost.id)
    assert set(bench.world.attempts) == {1}
