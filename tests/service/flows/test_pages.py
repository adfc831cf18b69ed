from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from connectors.contribution import Contribution, Hunk
from fingerprint.sae.config import RateShiftConfig
from fingerprint.sae.report import LatentShift, RateShift, ShiftSummary
from fingerprint.signature import RoutingSignature
from service.flows.author_map import LEAST_FOR_UMAP, map_authors
from service.flows.browsable import changed_latents
from service.flows.idioms import lone_idioms
from service.flows.team_page import calibration_points
from tests.service.reports.pages import people


def contribution(author: str, commit: int, *lines: str, path: str = "") -> Contribution:
    hunk = Hunk(1, 0, 1, len(lines), "", tuple(f"+{line}" for line in lines))
    when = datetime(2026, 1, 1 + commit, tzinfo=UTC)
    return Contribution(f"{author}{commit}", author, when, path or f"{commit % 3}.py", "python", (hunk,))


def test_an_idiom_is_carried_by_one_author_in_several_commits_and_files() -> None:
    history = [
        contribution("ann", n, "log = logger.bind(user)", "x = shared(1)", "def helper(a):", "helper(2)")
        for n in range(5)
    ]
    history += [contribution("bob", n, "shared(2)", "once(3)", path="one.py") for n in range(5)]
    (idiom,) = lone_idioms(history, {})
    assert (idiom.text, idiom.n_commits, idiom.n_files, idiom.author) == ("logger.bind(", 5, 3, "")
    assert (idiom.line, idiom.path, idiom.last) == (
        "log = logger.bind(user)",
        "1.py",
        datetime(2026, 1, 5, tzinfo=UTC),
    )
    assert lone_idioms(history, {"ann": "Ann"})[0].author == "Ann"
    assert lone_idioms(history[:3], {}) == ()


def test_measured_false_alarms_are_those_of_held_out_commits() -> None:
    stream = [{"slice": "calibration", "p_value": 0.01, "n_tokens": 90}] * 30
    stream += [{"slice": "held-out", "p_value": p, "n_tokens": 90} for p in (0.01, 0.04, 0.2, 0.5)]
    points = {point.level: point for point in calibration_points(stream, 60)}
    assert [points[level].n_flagged for level in (0.01, 0.05, 0.2, 0.3)] == [1, 2, 3, 3]
    assert points[0.05].n == 4
    assert points[0.05].low == pytest.approx(0.0676, abs=1e-3)  # Clopper-Pearson, 2 of 4
    assert calibration_points(stream[:30], 60) == ()


def latent(number: int, *, is_changed: bool, band: tuple[float, float] | None = None) -> LatentShift:
    low, high = band or (None, None)
    return LatentShift(
        latent=number, n_clusters=9, start_events=10, end_events=40, start_rate=0.01, end_rate=0.04,
        log_ratio=1.35, low=0.9, high=1.8, p_value=0.001, q_value=0.01, start_mean=0.4, end_mean=0.5,
        is_changed=is_changed, null_low=low, null_high=high,
    )  # fmt: skip


def test_a_latent_that_null_adapters_change_as_much_is_not_marked_as_changed() -> None:
    line = ShiftSummary(n_tested=4, n_changed=3, n_beyond=None, median=0.1, high=1.0, divergence=0.01)
    latents = (
        latent(3, is_changed=True), latent(5, is_changed=False),
        latent(7, is_changed=True, band=(-0.2, 0.3)), latent(8, is_changed=True, band=(-0.2, 1.4)),
    )  # fmt: skip
    shift = RateShift(
        base="b", revision="r", layer=2, dictionary="d", n_latents=9, n_tokens=900, n_clusters=30,
        config=RateShiftConfig.tiny(), shift=line, control=line, nulls=(), latents=latents,
    )  # fmt: skip
    assert changed_latents(shift) == {3, 7}


def test_the_map_puts_alike_authors_near_and_ignores_how_much_they_wrote() -> None:
    signatures = {name: people.signature() for name in "abc"}
    signatures["b"].readings["difference_by_route"] *= 3
    rng = np.random.default_rng(5)
    signatures["c"].readings["difference_by_route"][:] = rng.uniform(0, 1, (20, 4))
    found = map_authors(signatures)
    assert found is not None
    place = {point.name: np.array([point.x, point.y]) for point in found.points}
    assert np.linalg.norm(place["a"] - place["b"]) == pytest.approx(0, abs=1e-9)
    assert np.linalg.norm(place["a"] - place["c"]) > 0.1
    assert found.explained == pytest.approx(1.0)
    assert "Principal components" in found.method
    assert map_authors({"a": signatures["a"]}) is None


def two_kinds(n: int) -> dict[str, RoutingSignature]:
    """Authors of two planted habits, each with a little of their own."""
    rng = np.random.default_rng(1)
    habits = rng.uniform(0, 1, (2, 20, 4))
    found = {}
    for number in range(n):
        found[f"a{number:02}"] = people.signature()
        own = habits[number % 2] + rng.normal(0, 0.05, (20, 4))
        found[f"a{number:02}"].readings["difference_by_route"][:] = own
    return found


@pytest.mark.slow
def test_with_fifteen_authors_and_the_extra_umap_keeps_two_kinds_apart() -> None:
    pytest.importorskip("umap", reason="pip install routeprint[maps]")
    signatures = two_kinds(LEAST_FOR_UMAP + 1)
    found, again = map_authors(signatures), map_authors(signatures)
    assert found is not None and found.method.startswith("UMAP")
    assert found == again, "a map that moves by itself says nothing"
    place = np.array([[point.x, point.y] for point in found.points])
    apart = np.linalg.norm(place[:, None] - place[None], axis=-1)
    is_alike = np.add.outer(range(len(place)), range(len(place))) % 2 == 0
    assert apart[is_alike].max() < apart[~is_alike].min()
    fewer = map_authors(dict(list(signatures.items())[: LEAST_FOR_UMAP - 1]))
    assert fewer is not None and "Principal components" in fewer.method
