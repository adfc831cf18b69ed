from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fingerprint.provenance import Provenance
from fingerprint.signature import TeamSignature
from fingerprint.storage import write_json
from service.artifacts import ArtifactStore, RepositoryRecord
from service.flows.signature_versions import routing_shift, signature_versions
from service.flows.signatures import save_signature
from tests.service.reports.pages import people

DATES = {f"c{day}": datetime(2026, 1, day, tzinfo=UTC) for day in range(1, 29)}


def signature(mean: float, days: range, routes: str = "routes") -> TeamSignature:
    readings = {
        "normaliser_phi_mean": np.full((1, 4), mean),
        "normaliser_phi_variance": np.repeat([[3.0], [60.0]], 4, axis=1),
        **{
            f"normaliser_{name}": np.zeros(3)
            for name in ("log_ratio_mean", "log_ratio_variance", "precision", "log_ratio_scale",
                         "distance_scale", "typical")
        },
    }  # fmt: skip
    stream = [{"commit": f"c{day}", "n_tokens": 60} for day in days]
    facts = {
        "stream": stream, "n_commits": {"dev": 50}, "phi_names": ["a", "b", "c", "d"],
        "normaliser_languages": [], "combination": "far",
    }  # fmt: skip
    return TeamSignature(readings, {}, facts, Provenance("b", "r", routes, "c", "d", 0))


def keep(record: RepositoryRecord, name: str, found: TeamSignature, adapter: str, **choice: Any) -> str:
    digest, whole = f"profile-{name}", {"paths": [], "authors": [], "with_agents": False, **choice}
    facts = {
        "choice": whole, "adapters": {"team": adapter}, "signature": f"signature-{name}",
        "summary": people.summary(signature=name).model_dump(mode="json"),
    }  # fmt: skip
    record.store.put("team-signature", f"signature-{name}", lambda place: save_signature(found, place))
    record.store.put("profile", digest, lambda place: write_json(place / "profile.json", facts))
    record.use("profile", digest)
    return digest


def test_each_adapter_is_one_signature_as_it_was_calibrated_last(tmp_path: Path) -> None:
    record = ArtifactStore(tmp_path / "home").record(tmp_path / "shop")
    keep(record, "first", signature(2.0, range(1, 5)), "one")
    keep(record, "rolled", signature(2.0, range(1, 9)), "one")
    keep(record, "others", signature(9.0, range(1, 3)), "three", paths=["web/*"])
    present = keep(record, "present", signature(0.0, range(9, 20)), "two", n_forgotten=1)
    lost = keep(record, "lost", signature(0.0, range(9, 25)), "four")
    record.store.remove("team-signature", "signature-lost")
    found = signature_versions(record, present, DATES)
    assert [one.signature for one in found] == ["signature-rolled", "signature-present"]
    assert [one.at for one in found] == [DATES["c8"], DATES["c19"]]
    assert [one.is_shown for one in found] == [False, True]
    assert (found[0].gain, found[0].null_gain) == pytest.approx((1.913 - 1.677, 1.913 - 1.902))
    assert (found[0].n_flagged, found[0].n_held_out) == (2, 21)
    assert found[1].shift is None and lost not in {one.signature for one in found}


def test_a_shift_is_in_standard_deviations_of_one_commit_beside_chance() -> None:
    """Variance 3 + 60 / 60 tokens = 4: 3 away is 1.5; means of 50 commits differ by sqrt(2 / 50) of it."""
    now = signature(0.0, range(9, 20))
    assert routing_shift(signature(3.0, range(1, 5)), now) == pytest.approx((1.5, 0.2))
    assert routing_shift(now, now) == pytest.approx((0.0, 0.2))
    assert routing_shift(signature(3.0, range(1, 5), routes="others"), now) is None
