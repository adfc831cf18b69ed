from __future__ import annotations

from fingerprint.storage import write_json
from service.artifacts import ArtifactStore
from service.db.queries.people import keep_author
from service.db.queries.repositories import keep_repository, number_of
from service.enqueue import Enqueuer
from service.flows.forgetting import forget_person
from service.flows.kept_pages import keep_components, whose
from service.settings import Settings
from tests.service.reports.pages import insides


def test_forgetting_deletes_windows_of_everybody_s_code(asking: Enqueuer, settings: Settings) -> None:
    store, shop = ArtifactStore(settings.home), settings.home / "shop"
    record = store.record(shop)
    for kind in ("harvest", "labels", "sae"):
        store.put(kind, "d", lambda place: write_json(place / "x.json", 1))
        record.use(kind, "d")
    cards = insides.browsed(insides.component_cards(3))
    for who in ("base", "human:ann"):
        keep_components(record, who, cards, "decomposition")
    with asking.database.writing() as session:
        number = number_of(keep_repository(session, "shop/till", path=str(shop)))
        keep_author(session, number, "human:ann", name="Ann", kind="human", tier="B")
    assert forget_person(asking, settings, number, "human:ann", by="lead") == 2
    assert [store.find(kind, "d") is None for kind in ("harvest", "labels", "sae")] == [True, True, False]
    assert whose(store.record(shop), "decomposition") == ()
