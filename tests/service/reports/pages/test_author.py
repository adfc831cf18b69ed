from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fingerprint.report import SeedStability
from service.reports.pages import moved
from service.reports.pages.author import author_page
from service.reports.pages.page import render_single_file
from tests.service.reports.pages import people
from tests.service.reports.pages.markup import Elements


def read(report) -> Elements:
    return Elements(render_single_file(author_page(report)))


def test_every_figure_stands_beside_its_null() -> None:
    text = read(people.author_report()).text
    assert "+0.022 nats per token against everybody’s adapter" in text
    assert "−0.045 to −0.037 the same for adapters of shuffled authors (n = 2)" in text
    assert "shuffled authors +0.29 to +0.41; first half +1.45; 13 + 17 places" in text
    told = "the base’s first guess is ·class .31, the own adapter’s ·object .77."
    assert f"After '''Init·the {told}" in text
    assert "+0.68 correlation of the words’ gains" in text
    assert "The same for adapters of shuffled authors: +0.40 to +0.43" in text
    assert "a band, not a p-value" in text


def test_a_gain_within_the_nulls_warns() -> None:
    within = replace(people.author_report(), row=people.row(null_gains=(-0.05, 0.03)))
    assert "read nothing into the rest of this page" in read(within).text
    no_better = replace(people.author_report(), row=people.row(author_loss=1.68))
    assert "no better than everybody’s of the same size, though better" in read(no_better).text
    assert "read nothing" not in read(people.author_report()).text


def test_insufficient_data_is_said_and_nothing_estimated() -> None:
    page = read(people.insufficient())
    assert "Insufficient data: 3,100 more tokens of code are needed" in page.text
    assert "Nothing is estimated from less" in page.text
    assert "nats per token against" not in page.text
    assert [svg for svg in page.named("svg") if svg.get("role") == "img"] == []
    assert "routeprint forget --repo ." in page.text


def test_an_uncontrolled_signature_says_so() -> None:
    report = replace(people.author_report(), signature=people.signature(n_null=0))
    text = read(report).text
    assert "NOT CONTROLLED" in text
    assert "without any null adapter to hold it against" in text
    assert "the largest first, for no null adapter was read" in text
    moved_part = text.split("What moved")[1]
    assert [word for word in ("nan", "+nan", "within", "yes") if f" {word} " in moved_part] == []
    assert not any(move.is_beyond for move in moved.strongest(people.signature(n_null=0)))


def test_only_the_person_is_on_the_page() -> None:
    text = read(people.author_report()).text
    assert "must not be used to compare or evaluate people" in text
    assert "Bob" not in text


def test_what_was_left_out_is_told_by_lines_and_commits() -> None:
    text = read(people.author_report()).text
    assert "with a declared agent 40 lines in 3 commits" in text
    assert "vendored, whole repository 1,322 lines merge, whole repository 0 lines, 12 whole commits" in text


def test_promoted_and_suppressed_by_matrix_stand_beside_the_nulls() -> None:
    found = people.signature()
    found.readings["use_cosine"][0] = [0.5, -0.5, 0.1, -0.1]
    found.readings["difference_by_route"][0] = [3.0, 1.0, 1.0, 1.0]
    row = moved.site_rows(found)[0]
    assert row.promoted == pytest.approx(10 / 12)
    assert row.promoted_nulls is not None and row.promoted_nulls[0] <= row.promoted_nulls[1]
    text = read(replace(people.author_report(), signature=found)).text
    assert "83 % 17 %" in text and "promoted, nulls" in text
    assert moved.site_rows(people.signature(n_null=0))[0].promoted_nulls is None


def test_stability_across_seeds_stands_beside_shuffled_authors() -> None:
    bare = read(people.author_report()).text
    assert "Across seeds: not measured. This command trains twice more and compares:" in bare
    found = SeedStability(n_seeds=3, cosines=(0.91, 0.87, 0.9), null_cosines=(0.41, 0.38))
    text = read(replace(people.author_report(), seeds=found)).text
    assert "+0.87 to +0.91 cosine of the learned differences of 3 seeds" in text
    assert "Of each with adapters of shuffled authors: +0.38 to +0.41" in text


def test_where_readings_agree_stands_beside_the_nulls() -> None:
    bare = read(replace(people.author_report(), missing={"reads": "routeprint explain human:ann"})).text
    assert "Not compared for this profile. This command compares them:" in bare
    text = read(replace(people.author_report(), reads=people.reads())).text
    assert "1 of 1 pairs of reads agree on what is human:ann's beyond null adapters" in text
    assert "routes, latents tokens +0.61 +0.32 0.0005 0.001 −0.02 to +0.05 agree config" in text.replace(
        "-0.02", "−0.02"
    )
    assert "routes, edits" not in text and "Not read: alive sets." in text


def test_hostile_text_does_not_act() -> None:
    page = read(people.hostile_author())
    assert page.acts() == []
    assert not {"\u202e", "\x1b"} & set(page.text)
    assert page.text.count("<script>alert(1)</script>") > 10


def test_the_heat_map_compares_with_the_largest_null() -> None:
    found = people.signature()
    rows = moved.site_rows(found)
    size = np.linalg.norm(found.readings["difference_by_route"], axis=1)
    assert [r.size for r in rows] == pytest.approx(size.tolist())
    assert [r.high for r in rows] == pytest.approx((0.9 * size).tolist())
    assert str(moved.heat_map(found)).count("+11 %") == len(rows)


def test_routes_are_ordered_by_how_far_they_left_the_nulls() -> None:
    found = people.signature()
    found.readings["difference_by_route"][3, 1] *= 5
    first = moved.strongest(found)[0]
    assert (first.site, first.route) == (found.facts["sites"][3], 1)
    assert first.is_beyond
    assert first.excess == pytest.approx(5 / 0.9)
    assert first.is_promoted == (found.readings["use_cosine"][3, 1] > 0)


def test_energy_and_stable_rank_by_hand() -> None:
    assert moved.energy_curve([(2.0, 0.0), (0.0, 0.0)]) == (0.0, 1.0, 1.0)
    assert moved.energy_curve([(2.0, 1.0), (1.0, 0.0)]) == pytest.approx((0.0, 5 / 6, 1.0))
    assert moved.energy_curve([(0.0,)]) == (0.0,)
    assert moved.stable_rank((2.0, 2.0, 0.0)) == 2.0
    assert moved.stable_rank((0.0, 0.0)) == 0.0


def test_a_band_is_its_ends() -> None:
    assert moved.band((0.2, -0.1)) == "−0.100 to 0.200"
    assert moved.band((float("nan"),)) == "no null"
