"""Rendered answers against golden files. Write them anew with UPDATE_GOLDEN=1 and read the difference."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from rich.console import Console, RenderableType

from fingerprint.report import (
    DriftReport,
    Evidence,
    Finding,
    Guess,
    HunkDrift,
    LineDrift,
    RouteShare,
    ScorePart,
    TeamLine,
    TokenShift,
    Verdict,
)  # fmt: skip
from service.reports import escape, machine, markdown, terminal, wording

GOLDEN = Path(__file__).parents[2] / "golden" / "reports"


def evidence(p: float = 2 / 62, n: int = 61, cell: str = "all") -> Evidence:
    return Evidence(
        p_value=p, n_calibration=n, cell=cell, log_ratio_per_token=-0.31, typical_log_ratio_per_token=0.42,
        distance=5.2, typical_distance=2.9, combination="low-and-far", score=3.4, threshold=3.1,
        parts=(ScorePart(name="routes", score=3.71, share=0.77, p_value=0.033),
               ScorePart(name="n-grams", score=1.1, share=0.23, p_value=0.16)),
        null_p_value=0.48, gap_nats=0.011,
        gap_bound_nats=0.9, context_share=0.22, position0_share=0.04, realised_false_alarms=0.06,
        n_held_out=16,
    )  # fmt: skip


def finding(text: str = "error", line: int = 14) -> Finding:
    shift = TokenShift(
        line=line, column=8, text=text, probability=0.041, base_probability=0.09, log_ratio=-0.79,
        expected=(Guess(text="config", probability=0.26), Guess(text="self", probability=0.1)),
        base_expected=(Guess(text="self", probability=0.2),),
    )  # fmt: skip
    lines = (TeamLine(text="    config = load_config(path)", path="app/main.py"),
             TeamLine(text="    config = config or defaults()", path="app/cli.py"))  # fmt: skip
    return Finding(shift=shift, team_lines=lines)


def unusual(**changes: object) -> DriftReport:
    hunks = (
        HunkDrift(
            path="app/errors.py", header="def fail(path):", first_line=12, n_tokens=118, log_ratio=-41.2,
            percentile=0.97, lines=(LineDrift(line=14, n_tokens=9, log_ratio=-6.1),), findings=(finding(),),
            shares=(RouteShare(site="layers.3.mlp.down_proj", route=None, nats=-12.5),
                    RouteShare(site="layers.0.self_attn.q_proj", route=4, nats=1.25, is_context=True)),
            gap_nats=0.004, gap_bound_nats=0.24,
        ),
        HunkDrift(path="app/ok.py", header="", first_line=1, n_tokens=30, log_ratio=3.0, percentile=0.2),
    )  # fmt: skip
    report = DriftReport(
        verdict=Verdict.UNUSUAL, evidence=evidence(), hunks=hunks, n_tokens=148, n_lines=17,
        dropped={"not code": 40, "lockfile": 1}, signature="ab" * 32,
        provenance={"base": "starter", "code": "0.1.0"},
        warnings=("Only 61 calibration commits: no p-value below .016 is possible.",),
    )  # fmt: skip
    return report.model_copy(update=changes)


def hostile() -> DriftReport:
    """A diff that tries to act on whatever shows it."""
    text = "\x1b[31mred\x07 `code` [bold]x[/bold] <script>alert(1)</script> @team \u202egnp.exe | #12"
    evil = finding(text=text)
    evil = evil.model_copy(update={"team_lines": (TeamLine(text=text, path="a`|`@b.py"),)})
    hunk = (
        unusual()
        .hunks[0]
        .model_copy(update={"path": f"a/{text}.py", "header": f"{text}\n# @all", "findings": (evil,)})
    )
    return unusual(hunks=(hunk,), warnings=(f"the path {text} is new",), dropped={text: 2})


def not_scored() -> DriftReport:
    return DriftReport(
        verdict=Verdict.NOT_SCORED, reason="the diff only deletes lines; there is nothing to score"
    )


def plain(renderable: RenderableType) -> str:
    console = Console(file=io.StringIO(), width=100, force_terminal=False, color_system=None)
    console.print(renderable)
    assert isinstance(console.file, io.StringIO)
    return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines()) + "\n"


def check_golden(name: str, text: str) -> None:
    path = GOLDEN / name
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


CASES = {"unusual": unusual, "hostile": hostile, "not-scored": not_scored}


@pytest.mark.parametrize("name", CASES)
def test_golden_terminal(name: str) -> None:
    check_golden(f"{name}.txt", plain(terminal.render(CASES[name]())))


@pytest.mark.parametrize("name", CASES)
def test_golden_markdown(name: str) -> None:
    check_golden(f"{name}.md", markdown.render(CASES[name]()))


def test_golden_expert() -> None:
    check_golden("expert.txt", plain(terminal.render(unusual(), is_expert=True)))
    check_golden("expert.md", markdown.render(unusual(), is_expert=True))


def test_json_reads_back() -> None:
    report = hostile()
    assert DriftReport.model_validate(json.loads(machine.render(report))) == report


def test_hostile_text_does_not_act() -> None:
    shown = plain(terminal.render(hostile()))
    assert not {"\x1b", "\x07", "\u202e"} & set(shown)
    assert "[bold]x[/bold]" in shown.replace("\n", "")
    page = MarkdownIt("commonmark").enable("table").render(markdown.render(hostile()))
    assert "<script" not in page
    assert "href" not in page
    outside_code = "".join(part.split("</code>")[-1] for part in page.split("<code>"))
    assert "@team" not in outside_code
    assert "#12" not in outside_code


@given(st.text(st.characters(codec=None), max_size=60))
def test_code_spans_hold_any_text(text: str) -> None:
    shown = escape.code(text, 200)
    html = MarkdownIt("commonmark").render(f"x {shown} y")
    if escape.visible(text).strip():
        assert html.startswith("<p>x <code>")
        assert html.endswith("</code> y</p>\n")
        assert html.count("<code>") == 1
    assert "\n" not in shown


@given(st.text(max_size=60))
def test_prose_makes_no_markup(text: str) -> None:
    html = MarkdownIt("commonmark").render("x " + escape.prose(text))
    assert "<" not in html.removeprefix("<p>").removesuffix("</p>\n")


@pytest.mark.parametrize(
    ("p", "n", "cell", "expected"),
    [
        (2 / 62, 61, "all", "drifts more than 98 % of this team's last 61 commits (p = .03)"),
        (1 / 62, 61, "all", "drifts more than all of this team's last 61 commits (p = .02)"),
        (1.0, 61, "python", "drifts more than 0 % of this team's last 61 python commits (p = 1)"),
        (0.5, 1, "all", "drifts more than all of this team's last 1 commits (p = .50)"),
    ],
)
def test_verdict_line(p: float, n: int, cell: str, expected: str) -> None:
    report = DriftReport(verdict=Verdict.TYPICAL, evidence=evidence(p, n, cell))
    assert wording.verdict_line(report) == f"TYPICAL · {expected}"


def test_not_scored_is_never_a_number() -> None:
    assert wording.verdict_line(not_scored()).startswith("NOT SCORED: the diff only deletes lines")


def test_probabilities_are_short() -> None:
    values = (1.0, 0.9996, 0.26, 0.041, 0.0041, 0.00001, 0.996)
    assert [wording.probability(value) for value in values] == [
        "1",
        "1",
        ".26",
        ".04",
        ".004",
        "<.001",
        ".996",
    ]
