"""A profile's summary: by name, with its nulls, and inert."""

from __future__ import annotations

import io

from rich.console import Console

from service.reports.profile_summary import AuthorRow, ProfileSummary, author_cells, render, render_markdown


def summary() -> ProfileSummary:
    rows = (
        AuthorRow(key="zed@example.org", name="Zed", n_commits=90, n_tokens=52_000, n_trained_tokens=40_000,
                  base_loss=3.1, team_loss=2.3, reference_loss=2.4, author_loss=2.25,
                  null_gains=(0.01, 0.03)),
        AuthorRow(key="bot:helper", name="helper @all", kind="agent", tier="B", is_declared=True,
                  n_tokens=900, n_missing_tokens=7_100),
    )  # fmt: skip
    return ProfileSummary(
        repository="example", team="the whole repository", signature="cd" * 32, base_loss=3.0, team_loss=2.5,
        null_team_loss=2.95, n_commits={"train": 60, "dev": 15}, n_tokens=90_000, n_trained_tokens=80_000,
        n_calibration=21, least_tokens=60, realised_false_alarms=0.05, n_held_out=20,
        ledger={"vendored": 1200, "merge": 3}, n_lines=9_000, languages={"python": 90_000},
        authors=rows, provenance={"base": "starter"},
    )  # fmt: skip


def test_authors_are_listed_by_name_with_their_null_band() -> None:
    shown = render_markdown(summary())
    assert shown.index("helper") < shown.index("Zed")
    assert "+0.150 | +0.010 to +0.030" in shown
    assert "7,100 more tokens needed" in shown
    assert "helper @all" not in shown
    assert "must not be used to compare" in shown


def test_own_report_holds_one_author() -> None:
    assert [row.name for row in summary().only("zed@example.org").authors] == ["Zed"]


def test_terminal_shows_the_ledger() -> None:
    console = Console(file=io.StringIO(), width=160, color_system=None)
    console.print(render(summary()))
    assert isinstance(console.file, io.StringIO)
    shown = console.file.getvalue()
    assert "vendored" in shown
    assert "1,200" in shown
    assert "null team adapter 2.950" in shown


def test_cells_say_what_is_undeclared() -> None:
    assert author_cells(summary().authors[0])[1] == "human, undeclared"
    assert author_cells(summary().authors[1])[1] == "agent (tier B)"
