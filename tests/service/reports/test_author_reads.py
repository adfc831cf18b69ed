from __future__ import annotations

from fingerprint.readings.report import PartSummary, Place
from service.reports.author_reads import agreement_rows, reads_page
from service.reports.page import render_markdown
from tests.service.reports.pages.people import reads


def part(n_nulls: int) -> PartSummary:
    place = Place(place="config", own=2.0, low=0.1 if n_nulls else None, high=0.3 if n_nulls else None)
    return PartSummary(
        read="routes", axis="tokens", unit="nats", n_places=900, n_nulls=n_nulls,
        n_above=250 if n_nulls else None, expected_above=180.0 if n_nulls else None, top=(place,),
    )  # fmt: skip


def test_every_read_stands_beside_its_nulls_and_what_is_missing_is_named():
    told = render_markdown(reads_page(reads().model_copy(update={"parts": (part(4),)})))
    assert "| routes | tokens | 900 | 4 | 250 | 180.0 | config |" in told
    assert "NOT CONTROLLED" not in told
    assert "| alive sets | no dictionary | routeprint decompose train |" in told
    assert "2,993 tokens of 12 commits that no adapter was trained on" in told


def test_a_read_without_nulls_warns():
    told = render_markdown(reads_page(reads().model_copy(update={"parts": (part(0),)})))
    assert "NOT CONTROLLED: no null adapter stands beside routes." in told
    assert "| routes | tokens | 900 | 0 | - | - | config |" in told


def test_only_tested_pairs_are_rows_of_the_page():
    (row,) = agreement_rows(reads())
    assert row == (
        "routes, latents", "tokens", "+0.61", "+0.32", "0.0005", "0.001", "-0.02 to +0.05", "agree", "config",
    )  # fmt: skip
