from __future__ import annotations

import re
from dataclasses import replace

import pytest

from service.reports.pages import charts
from service.reports.pages.page import render_single_file
from service.reports.pages.team import CalibrationPoint, TeamReport, team_page
from tests.service.reports.pages import people
from tests.service.reports.pages.markup import Elements


def read(report: TeamReport) -> Elements:
    return Elements(render_single_file(team_page(report)))


def test_the_promise_is_held_or_not_in_words() -> None:
    report = people.team_report()
    assert "2 of 21 held-out commits were flagged at a promised 5 %" in read(report).text
    assert "which holds the promise" in read(report).text
    broken = replace(report, calibration=(CalibrationPoint(0.05, 9, 21, 0.22, 0.66),))
    assert "More than promised: do not gate on this signature." in read(broken).text
    assert "No held-out commit was left" in read(replace(report, calibration=())).text


def test_the_timeline_marks_agents_alarms_and_the_held_out_part() -> None:
    report = people.team_report()
    page = render_single_file(team_page(report))
    chart = page[page.index('aria-label="Drift of 105 commits') :].partition("</svg>")[0]
    agents = [point for point in report.stream if point.kind == "agent"]
    flagged = [point for point in report.stream if point.p_value <= 0.05]
    assert len(re.findall(r'<rect class="agent', chart)) == len(agents)
    assert len(re.findall(r'class="(?:agent )?flagged"', chart)) == len(flagged) > 0
    assert "held out" in chart


def test_signatures_over_time_stand_beside_their_nulls_and_chance() -> None:
    page = read(people.team_report())
    assert "adds, nats per token its null false alarms moved since" in page.text
    assert "120 commits +0.141 +0.020 1 of 12 0.61 (chance 0.17)" in page.text
    assert "190 commits +0.200 none not measured not comparable" in page.text
    assert "252 commits +0.236 +0.011 2 of 21 this page’s" in page.text
    named = [svg.get("aria-label") or "" for svg in page.named("svg")]
    assert any(name.startswith("What 3 signatures of the team add") for name in named)
    alone = read(replace(people.team_report(), versions=people.versions()[-1:]))
    assert "One signature so far" in alone.text and "What 1 signatures" not in alone.text
    assert "Not kept yet" in read(TeamReport(people.summary())).text


def test_no_one_is_named_without_having_opted_in() -> None:
    page = read(people.team_report())
    table = page.text[page.text.index("logger.bind(") : page.text.index("Map of authors")]
    assert table.count("Ann Other") == 1
    idioms = people.team_report().idioms[:1]
    unnamed = read(replace(people.team_report(), authors=None, n_opted_in=4, n_signed=2, idioms=idioms))
    assert "Ann" not in unnamed.text
    assert (
        "4 authors opted in to be named, 2 of them with a signature of their own; a map needs three"
        in unnamed.text
    )


def test_a_bare_profile_has_empty_states_and_no_charts() -> None:
    page = read(TeamReport(people.summary()))
    assert [svg for svg in page.named("svg") if svg.get("role") == "img"] == []
    for words in ("No timeline yet", "Not measured", "With fewer than two authors", "No map"):
        assert words in page.text


def test_hostile_text_does_not_act() -> None:
    page = read(people.hostile_team())
    assert page.acts() == []
    assert not {"\u202e", "\x1b"} & set(page.text)
    assert page.text.count("<script>alert(1)</script>") > 8, page.text


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [(0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]), (0, 0.3, [0, 0.1, 0.2, 0.3]), (-3, 12, [0, 5, 10]), (2, 2, [2]),
     (0, 4000, [0, 1000, 2000, 3000, 4000])],
)  # fmt: skip
def test_ticks_are_round(low: float, high: float, ticks: list[float]) -> None:
    assert charts.Axis(low, high, 0, 100).ticks() == ticks


def test_an_axis_cuts_and_quantiles_interpolate() -> None:
    axis = charts.Axis(0, 10, 100, 200)
    assert (axis(5), axis(-1), axis(99)) == (150, 100, 200)
    assert charts.quantile([3, 1, 2], 0.5) == 2
    assert charts.quantile([0, 10], 0.05) == 0.5
