"""Webhooks that were written down are acted on, also when a worker dies of one, and again after a failure."""

from __future__ import annotations

import json

import pytest

from service.db.queries.deliveries import Arrival, find_delivery, keep_delivery
from service.db.states import DeliveryStatus
from service.db.tables import Delivery
from tests.service.jobs.conftest import Scene


def take(scene: Scene, guid: str, payload: object) -> bool:
    """What the API does with a delivery; whether it asked for work."""
    arrival = Arrival(guid, "push", "", 3, 11, json.dumps(payload).encode())
    with scene.database.writing() as session:
        number = keep_delivery(session, arrival)
        if number is not None:
            scene.enqueuer.delivery(session, number)
    return number is not None


def row(scene: Scene, guid: str) -> Delivery:
    with scene.database.reading() as session:
        found = find_delivery(session, guid, "push")
    assert found is not None
    return found


@pytest.mark.parametrize("point", ["act:before", "act:after"])
def test_a_worker_that_dies_of_a_delivery_is_followed_by_one_that_acts(scene: Scene, point: str) -> None:
    scene.world.order(point)
    assert take(scene, "a", {"repository": {"id": 11, "full_name": "shop/till"}})
    assert not take(scene, "a", {})
    scene.fleet.start()
    scene.wait(lambda: row(scene, "a").status is DeliveryStatus.DONE)
    assert (row(scene, "a").attempts, row(scene, "a").body, scene.fleet.n_started) == (2, None, 2)
    acted = scene.world.happened("acted")
    assert len(acted) == (1 if point == "act:before" else 2)  # so what it asks for must be asked for once
    assert {fact["delivery"] for fact in acted} == {"a"}


def test_one_that_failed_is_kept_and_acted_on_when_it_comes_again(scene: Scene) -> None:
    assert take(scene, "b", {"without": "repository"})
    scene.fleet.start()
    scene.wait(lambda: row(scene, "b").status is DeliveryStatus.FAILED)
    assert row(scene, "b").error == "a webhook of no repository"
    assert row(scene, "b").body is not None
    assert take(scene, "b", {"repository": {"id": 11}})
    scene.wait(lambda: row(scene, "b").status is DeliveryStatus.DONE)
    assert scene.world.counts()["acted"] == 1
